// The main() of a unit test: one suite, TAP on stdout so that Meson names every case.
// Include it last: <check.h> defines a macro `fail` that breaks standard headers.
#pragma once

#include <check.h>

#include <string>

// ck_assert_str_eq() for strings, temporary ones too.
#define assert_text(actual, expected)                             \
  do {                                                            \
    const std::string actual_text = (actual);                     \
    const std::string expected_text = (expected);                 \
    ck_assert_str_eq(actual_text.c_str(), expected_text.c_str()); \
  } while (0)

#define TRANSCRIBE_CHECK_MAIN(make_suite)               \
  int main() {                                          \
    SRunner* runner = srunner_create(make_suite());     \
    srunner_set_tap(runner, "-");                       \
    srunner_run_all(runner, CK_SILENT);                 \
    const int failures = srunner_ntests_failed(runner); \
    srunner_free(runner);                               \
    return failures == 0 ? 0 : 1;                       \
  }
