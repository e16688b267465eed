#!/usr/bin/env bash
# What libdeepseek defines for its users and what it asks of them.
#
#   symbols.sh LIBRARY...      libdeepseek.a or libdeepseek.so
#
# Strong symbols must lie in deepseek::v1 (the inline namespace of library mode); a shared library may
# besides that export weak instantiations of std:: only. No library may refer to functions that print,
# end the process or change the host's signals.
set -uo pipefail
failed=0
report() { # report NAME OFFENDERS
  if [[ -n $2 ]]; then printf 'FAILED %s\n%s\n' "$1" "$2"; failed=1; else printf 'ok %s\n' "$1"; fi
}

for library in "$@"; do
  name=$(basename "$library")
  dynamic=(); [[ $name == *.so* ]] && dynamic=(-D)
  defined=$(nm -C "${dynamic[@]}" --defined-only --extern-only "$library" 2>/dev/null |
    sed -nE 's/^[0-9a-f]* ([A-Za-z]) /\1 /p' | sort -u)
  if [[ $(grep -c 'deepseek::v1::' <<<"$defined") -lt 10 ]]; then
    report "$name defines the library" "fewer than 10 symbols in deepseek::v1"
    continue
  fi
  ours='^[A-Za-z] ((non-)?virtual thunk to |typeinfo (name )?for |vtable for |VTT for |guard variable for )?deepseek::v1::'
  report "$name: strong symbols lie in deepseek::v1" "$(grep -E '^[A-TX-Z] ' <<<"$defined" | grep -vE "$ours" | head -n 8)"
  report "$name: nothing of another mode" "$(grep -E 'deepseek::v1_(tu|ho)::' <<<"$defined" | head -n 8)"
  if [[ ${#dynamic[@]} -gt 0 ]]; then
    report "$name: weak exports are ours or the standard library's" \
      "$(grep -E '^[VWu] ' <<<"$defined" | grep -vE 'deepseek::v1::|std::|__gnu_cxx|operator (new|delete)' | head -n 8)"
  fi
  # Without optimisation std::list brings a check of its own along, which calls abort; that our sources do not is the
  # layer test's business.
  ends='exit|_exit|quick_exit|abort'
  [[ $(nm -C "$library" 2>/dev/null | grep -c '_M_check_equal_allocators') == 0 ]] || ends='exit|_exit|quick_exit'
  report "$name: calls nothing that prints, exits or touches signals" \
    "$(nm -C "${dynamic[@]}" --undefined-only "$library" 2>/dev/null | sed -nE 's/^ *U ([^@]*).*/\1/p' | sort -u |
      grep -xE "$ends|printf|puts|perror|signal|sigaction|raise|atexit|setlocale|std::c(out|err|log)")"
done
exit $failed
