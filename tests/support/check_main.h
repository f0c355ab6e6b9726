// The main() of a unit test: one suite, TAP on stdout so that Meson names every case.
// <check.h> defines macros `fail` and so on that break standard headers: they are taken away.
#pragma once

#include <check.h>

#undef fail
#undef fail_if
#undef fail_unless

#define TRANSCRIBE_CHECK_MAIN(make_suite)               \
  int main() {                                          \
    SRunner* runner = srunner_create(make_suite());     \
    srunner_set_tap(runner, "-");                       \
    srunner_run_all(runner, CK_SILENT);                 \
    const int failures = srunner_ntests_failed(runner); \
    srunner_free(runner);                               \
    return failures == 0 ? 0 : 1;                       \
  }
