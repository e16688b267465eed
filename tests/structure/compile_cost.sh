#!/usr/bin/env bash
# What including the whole API costs a user's file, beside <string> and <vector> alone.
#
#   compile_cost.sh [LINES [BODIES]]   limits in percent of those two headers, by default 200 and 400: lines after
#                                      preprocessing, and bodies of functions that the compiler has to make, used or not
#
# Both are gated because other load on the machine does not move them. Bodies are what creeps in unseen: an inline member
# that copies a struct drags in the copying of every vector inside. The time they stand for, the least user time of
# several alternating runs, is printed beside them.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
limit=${1:-200} body_limit=${2:-400}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
printf '#include <string>\n#include <vector>\n' >"$work/base.cpp"
printf '#include <deepseek/deepseek.hpp>\n' >"$work/api.cpp"

compiler=("${CXX:-g++}" -std=c++17 -O0 -DDEEPSEEK_COMPILED -Iinclude)
lines() { "${compiler[@]}" -E -P "$1" | grep -c .; }
bodies() { # of g++ alone: other compilers have no such list
  "${compiler[@]}" -fdump-tree-original="$work/bodies" -S -o /dev/null "$1" && grep -c '^;; Function' "$work/bodies"
}
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
body_percent=$(($(bodies "$work/api.cpp") * 100 / $(bodies "$work/base.cpp"))) || exit 1
printf -v words 'deepseek/deepseek.hpp: of <string> and <vector> %d %% of the lines (limit %d), %d %% of the function bodies (limit %d), %d ms against %d ms' \
  "$percent" "$limit" "$body_percent" "$body_limit" "$api" "$base"
if [[ $percent -le $limit && $body_percent -le $body_limit ]]; then
  printf 'ok %s\n' "$words"
else
  printf 'FAILED %s\n' "$words"; exit 1
fi
