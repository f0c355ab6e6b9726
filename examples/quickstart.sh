#!/bin/bash
# From a fresh clone to a transcript: installs what is missing, builds, transcribes.
#
# usage: examples/quickstart.sh [MEDIA-OR-URI] [PROPERTY=VALUE...]
#
# Without MEDIA-OR-URI: five sentences of a LibriVox recording. With OPENAI_API_KEY or
# OPENAI_BASE_URL that service does the work, otherwise examples/local-recognizer, which needs
# neither key nor network but knows English only, and that roughly.
set -euo pipefail

case ${1:-} in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
esac

if [ $# -gt 0 ] && [ ! -e "$1" ] && [[ ! $1 =~ ^([a-z][a-z0-9-]*=|[A-Za-z][A-Za-z0-9+.-]*:|-) ]]; then
  echo "There is no file $1." >&2
  exit 1
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
sample_dir=/usr/share/pocketsphinx/test/data/librivox
server_pid=

stop_server() {
  if [ -n "$server_pid" ]; then
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
  fi
}
trap stop_server EXIT

# Shows what the command said only when it failed.
quietly() {
  local log
  if ! log=$("$@" 2>&1); then
    printf '%s\n' "$log" >&2
    exit 1
  fi
}

build_all() {
  if [ ! -f "$build/build.ninja" ]; then
    quietly meson setup "$build" "$root" --buildtype=release -Dwerror=false -Dtests=disabled
  fi
  # On a terminal ninja tells in one line how far it is.
  if [ -t 2 ]; then ninja -C "$build" >&2; else quietly ninja -C "$build"; fi
}

# Prints the name of a WAV file made of the sample's sentences, one after the other.
make_sample() {
  local wav=$build/librivox.wav sentence
  local -a inputs=()
  for sentence in "$sample_dir"/*.wav; do
    inputs+=(filesrc "location=$sentence" ! wavparse ! "sentences.")
  done
  gst-launch-1.0 -q concat name=sentences ! wavenc ! filesink "location=$wav" "${inputs[@]}" >&2
  echo "$wav"
}

# Without SIGINT: what was recorded until a Ctrl-C still needs it.
start_server() {
  exec {ready}< <(trap '' INT && exec "$build/examples/local-recognizer/local-recognizer" \
    --port 0 --exit-with-parent)
  server_pid=$!
  if ! read -r -t 60 OPENAI_BASE_URL <&"$ready"; then
    echo "local-recognizer did not start." >&2
    exit 1
  fi
  export OPENAI_BASE_URL
  echo "Recognising on this machine (neither OPENAI_API_KEY nor OPENAI_BASE_URL is set)." >&2
}

"$root/debian/install-build-deps" nocheck
echo "Building (some minutes the first time) ..." >&2
build_all

export GST_PLUGIN_PATH_1_0=$build/gst-plugin${GST_PLUGIN_PATH_1_0:+:$GST_PLUGIN_PATH_1_0}
export GST_REGISTRY_1_0=$build/registry.dat

if [ $# -eq 0 ] || { [ ! -e "$1" ] && [[ $1 =~ ^[a-z][a-z0-9-]*= ]]; }; then
  set -- "$(make_sample)" "$@"
fi
if [ -z "${OPENAI_API_KEY:-}${OPENAI_BASE_URL:-}" ]; then
  start_server
  # It tells the times of words, and short pieces keep all cores busy.
  set -- "$1" timestamp-granularities=word+segment max-chunk-duration=10000000000 "${@:2}"
fi
"$build/examples/transcribe" "$@"
