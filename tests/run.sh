#!/bin/bash
# Installs what the tests need, builds with sanitizers and runs every suite.
#
# usage: tests/run.sh [--full]
#
# --full adds: thread sanitizer on unit and fuzz, valgrind on unit, element and redis, the long loops
# (TRANSCRIBE_FULL=1) and the benchmarks. The last line is "N passed, N failed".
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
full=
case ${1:-} in
  "") ;;
  --full) full=1 ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac

passed=0
failed=0

# configure DIRECTORY [MESON OPTION...]
configure() {
  local directory=$root/$1
  shift
  if [ -f "$directory/build.ninja" ]; then
    meson configure "$directory" "$@"
  else
    meson setup "$directory" "$root" -Dtests=enabled "$@"
  fi
}

# run DIRECTORY [ARGUMENT...]: meson test, which builds what it needs; adds to the counts.
run() {
  local directory=$root/$1 status=0 counts
  shift
  echo "== meson test $* ($(basename "$directory"))"
  rm -f "$directory"/meson-logs/*log*.json
  meson test -C "$directory" --print-errorlogs "$@" || status=$?
  counts=$(python3 "$root/tests/support/count_results.py" "$directory"/meson-logs/*log*.json)
  count "${counts% *}" "${counts#* }"
  # A run that ended badly without a failed test must not pass for a good one.
  if [ "$status" -ne 0 ] && [ "${counts#* }" -eq 0 ]; then count 0 1; fi
}

count() {
  passed=$((passed + $1))
  failed=$((failed + $2))
}

# As somebody without a key types it after cloning.
quick_start() {
  local directory
  directory=$(mktemp -d)
  echo "== examples/quickstart.sh"
  if (cd "$directory" && env -u OPENAI_API_KEY -u OPENAI_BASE_URL "$root/examples/quickstart.sh") &&
     grep -q -- '-->' "$directory/librivox.srt"; then
    count 1 0
  else
    echo "The quick start failed."
    count 0 1
  fi
  rm -r "$directory"
}

# With the quick start's build: gst-inspect-1.0 can't load an instrumented plugin.
check_docs() {
  local build=$root/build
  echo "== docs/element.md against gst-inspect-1.0"
  if GST_PLUGIN_PATH_1_0=$build/gst-plugin GST_REGISTRY_1_0=$build/registry.dat \
     PYTHONDONTWRITEBYTECODE=1 \
     python3 "$root/tests/element/check_docs.py" "$root/docs/element.md" "$root/gst-plugin"; then
    count 1 0
  else
    echo "docs/element.md does not fit the element."
    count 0 1
  fi
}

"$root/debian/install-build-deps"

# Optimised for debugging: the optimiser takes most of the time of an instrumented build.
configure build-tests -Db_sanitize=address,undefined -Doptimization=g
ninja -C "$root/build-tests"
if [ -n "$full" ]; then
  # The long loops take many times what the limits of the short ones allow.
  export TRANSCRIBE_FULL=1 CK_TIMEOUT_MULTIPLIER=20
  run build-tests --timeout-multiplier 20
else
  run build-tests
fi
quick_start
check_docs

if [ -n "$full" ]; then
  configure build-thread -Db_sanitize=thread -Doptimization=g
  # These are slow enough without the long loops.
  export TRANSCRIBE_FULL=
  run build-thread --suite unit --suite fuzz --timeout-multiplier 20
  configure build-plain
  run build-plain --setup valgrind --suite unit --suite element --suite redis
  configure build-release --buildtype=release -Dwerror=false
  run build-release --benchmark --verbose
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
