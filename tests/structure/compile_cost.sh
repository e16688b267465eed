#!/usr/bin/env bash
# What including the whole API costs a user's file, beside <string> and <vector> alone.
#
#   compile_cost.sh [LIMIT]      lines after preprocessing, in percent of those two headers; 200 by default
#
# Lines are gated because other load on the machine does not move them. The time they stand for, the least
# user time of several alternating runs, is printed beside them.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
limit=${1:-200}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
printf '#include <string>\n#include <vector>\n' >"$work/base.cpp"
printf '#include <deepseek/deepseek.hpp>\n' >"$work/api.cpp"

compiler=("${CXX:-g++}" -std=c++17 -O0 -DDEEPSEEK_COMPILED -Iinclude)
lines() { "${compiler[@]}" -E -P "$1" | grep -c .; }
cost() { # user milliseconds
  local TIMEFORMAT=%3U seconds
  seconds=$({ time "${compiler[@]}" -c -o /dev/null "$1" >/dev/null 2>&1; } 2>&1)
  printf '%d\n' "$((10#${seconds/./}))"
}
least() { sort -n "$1" | head -n 1; }

for _ in {1..5}; do
  cost "$work/base.cpp" >>"$work/base"
  cost "$work/api.cpp" >>"$work/api"
done
base=$(least "$work/base") api=$(least "$work/api")
percent=$(($(lines "$work/api.cpp") * 100 / $(lines "$work/base.cpp")))
words="deepseek/deepseek.hpp: $percent % of the lines of <string> and <vector> (limit $limit), $api ms against $base ms"
if [[ $percent -le $limit ]]; then printf 'ok %s\n' "$words"; else printf 'FAILED %s\n' "$words"; exit 1; fi
