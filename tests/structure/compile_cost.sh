#!/usr/bin/env bash
# What including the whole API costs a user's file, as a multiple of <string> and <vector>.
#
#   compile_cost.sh [LIMIT]      4 by default
#
# User time of the compiler's front end, the least of several alternating runs: other load on the machine
# adds to both sides and to single runs, hardly to the least.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
limit=${1:-4}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
printf '#include <string>\n#include <vector>\n' >"$work/base.cpp"
printf '#include <deepseek/deepseek.hpp>\n' >"$work/api.cpp"

cost() { # user milliseconds
  local TIMEFORMAT=%3U seconds
  seconds=$({ time "${CXX:-g++}" -std=c++17 -O0 -fsyntax-only -DDEEPSEEK_COMPILED -Iinclude "$1" >/dev/null 2>&1; } 2>&1)
  printf '%d\n' "$((10#${seconds/./}))"
}
least() { sort -n "$1" | head -n 1; }

for _ in {1..12}; do
  cost "$work/base.cpp" >>"$work/base"
  cost "$work/api.cpp" >>"$work/api"
done
base=$(least "$work/base") api=$(least "$work/api")
ratio=$(printf '%d.%02d' $((api / base)) $((api * 100 / base % 100)))
if [[ $((api)) -le $((limit * base)) ]]; then
  printf 'ok deepseek/deepseek.hpp costs %s times <string> and <vector> (%d ms against %d)\n' "$ratio" "$api" "$base"
else
  printf 'FAILED deepseek/deepseek.hpp costs %s times <string> and <vector> (%d ms against %d), limit %s\n' \
    "$ratio" "$api" "$base" "$limit"
  exit 1
fi
