#!/usr/bin/env bash
# Compiles every C++ snippet of README.md and compares its tables of options and outcomes with the headers.
#
# A comment before a fence says what the block is:
#
#   <!-- snippet: program -->        a whole translation unit
#   <!-- snippet: declarations -->   at namespace scope; the blocks behind it see it too
#   <!-- snippet: statements -->     inside a function, with `client` (a Result<DeepSeekClient>) at hand
#   <!-- snippet: coroutine -->      the same inside a C++20 coroutine
#
# A block without one is a fault. Prints "ok ..." or "FAILED ..." for each check; the exit status says
# whether all passed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
export CXX=${CXX:-g++}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
failed=0

perl tests/structure/readme_check.pl README.md include "$work" || failed=1

# Results are shown, not used: hence no warning about that.
compile() { # compile FILE
  local file=$1 name flags=(-std=c++17) out
  name=$(basename "$file" .cpp)
  [[ $name == *coroutine* ]] && flags=(-std=c++20)
  if out=$("$CXX" "${flags[@]}" -Wall -Wextra -Wpedantic -Werror -Wno-unused -DDEEPSEEK_COMPILED -Iinclude \
        -O0 -S -o /dev/null "$file" 2>&1); then
    printf 'ok README.md %s compiles\n' "$name"
  else
    printf 'FAILED README.md %s\n%s\n' "$name" "$(head -n 12 <<<"$out")"; return 1
  fi
}
export -f compile
find "$work" -name '*.cpp' | sort | xargs -P "$(nproc)" -I{} bash -c 'compile "$@"' _ {} || failed=1

if cmp -s <(sed -n '/^```cpp$/,/^```$/{/^```/d;p};/^```$/q' README.md) <(sed '/^\/\//d' examples/stream.cpp); then
  printf 'ok README.md ten lines are examples/stream.cpp\n'
else
  printf 'FAILED README.md ten lines differ from examples/stream.cpp\n'; failed=1
fi
exit $failed
