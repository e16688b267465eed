#!/usr/bin/env bash
# Compiles every public header alone, in library and in header-only mode, and looks at what it pulls in.
#
#   headers.sh [library|header_only]...
#
# Prints one line per header and mode, "ok ..." or "FAILED ..."; the exit status says whether all passed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
export CXX=${CXX:-g++}

check() { # check MODE HEADER
  local mode=$1 header=$2 flags=(-std=c++17) out foreign
  [[ $header == deepseek/coro.hpp ]] && flags=(-std=c++20)
  [[ $mode == library ]] && flags+=(-DDEEPSEEK_COMPILED)
  # -M compiles nothing: the list of files comes from the same run as the syntax check.
  local deps; deps=$(mktemp)
  if ! out=$(printf '#include <%s>\n' "$header" |
      "$CXX" "${flags[@]}" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Wno-restrict -Wno-stringop-overflow \
        -fsyntax-only -MD -MF "$deps" -MT x -Iinclude -x c++ - 2>&1); then
    printf 'FAILED %s (%s)\n%s\n' "$header" "$mode" "$(head -n 12 <<<"$out")"
    rm -f "$deps"; return 1
  fi
  foreign=$(tr ' ' '\n' <"$deps" | grep -E '/(curl|openssl|fmt|nlohmann|boost)/|simdjson|\.ipp$' | head -n 3)
  rm -f "$deps"
  # interop/ is there for users of the other library: it may include it.
  if [[ $mode == library && -n $foreign && $header != deepseek/interop/* ]]; then
    printf 'FAILED %s (%s) pulls in %s\n' "$header" "$mode" "${foreign//$'\n'/ }"; return 1
  fi
  printf 'ok %s (%s)\n' "$header" "$mode"
}
export -f check

modes=("$@"); [[ $# -gt 0 ]] || modes=(library header_only)
failed=0
for mode in "${modes[@]}"; do
  find include/deepseek -name '*.hpp' ! -path '*/impl/*' ! -path '*/detail/*' ! -name src.hpp -printf 'deepseek/%P\n' |
    sort | xargs -P "$(nproc)" -I{} bash -c 'check "$@"' _ "$mode" {} || failed=1
done
exit $failed
