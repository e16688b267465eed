#!/usr/bin/env bash
# Budgets that do not depend on how busy the machine is: instructions, heap allocations, system calls.
#
#   gates.sh [BUILD_DIR [PROGRAM]]     a build folder (made if it is not there); a bench_sdk that is built already
#
# Each figure is a difference of two runs, so that starting the process drops out. The server is
# bench/sse_server.cpp of the shared folder (DEEPSEEK_SHARED_DIR), compiled into the build folder.
# Prints "ok ...", "FAILED ..." or "SKIPPED: ..." for each budget, then the sum.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build/release}
shared=${DEEPSEEK_SHARED_DIR:-../shared}
passed=0 failed=0 skipped=0

skip() { printf 'SKIPPED: gates: %s\n' "$1"; skipped=$((skipped + 1)); }
finish() {
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [[ $failed == 0 ]]; exit
}
# gate NAME VALUE BAR: numbers with a fraction, so awk compares. An empty value is a run that failed.
gate() {
  if [[ -n $2 ]] && awk -v value="$2" -v bar="$3" 'BEGIN { exit !(value <= bar) }'; then
    printf 'ok %s: %s (bar %s)\n' "$1" "$2" "$3"; passed=$((passed + 1))
  else
    printf 'FAILED %s: %s (bar %s)\n' "$1" "${2:-no figure}" "$3"; failed=$((failed + 1))
  fi
}
# slope FEW MANY COUNT: what one of COUNT costs; nothing if a run failed.
slope() { awk -v few="$1" -v many="$2" -v count="$3" 'BEGIN { if (few != "" && many != "") printf "%.4g", (many - few) / count }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a != "" && b > 0) printf "%.3f", a / b }'; }

# --- what is needed -------------------------------------------------------------------------------
if [[ ! -f $shared/bench/sse_server.cpp ]]; then
  skip "the load server is not there (bench/sse_server.cpp in DEEPSEEK_SHARED_DIR)"
  finish
fi
mkdir -p "$build" && build=$(cd "$build" && pwd) || exit 2
sdk=${2:-}
if [[ -z $sdk ]]; then
  sdk=$build/tests/bench_sdk
  { [[ -f $build/CMakeCache.txt ]] || cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DDEEPSEEK_BENCH=ON; } >/dev/null &&
    cmake --build "$build" --target bench_sdk >/dev/null ||
    { printf 'FAILED bench_sdk cannot be built\n'; failed=1; finish; }
fi
server=$build/sse_server
if [[ ! -x $server || $shared/bench/sse_server.cpp -nt $server ]]; then
  "${CXX:-g++}" -std=c++20 -O2 -w -o "$server" "$shared/bench/sse_server.cpp" -lssl -lcrypto -lpthread ||
    { printf 'FAILED the load server cannot be compiled\n'; failed=1; finish; }
fi

work=$(mktemp -d)
# The port is its first line; a server that ends before that closes the pipe.
exec {port_line}< <(exec "$server" --life 900)
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null; rm -rf "$work"' EXIT
read -r -t 30 port <&"$port_line" || { printf 'FAILED the load server does not start\n'; failed=1; finish; }
url=http://127.0.0.1:$port

# --- counting -------------------------------------------------------------------------------------
instructions() { # instructions MODE PATH REQUESTS
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$sdk" "$1" "$url$2" "$3" 1 0 2>&1 >/dev/null |
    awk '/Collected :/ { print $NF }'
}
allocations() { # allocations MODE PATH REQUESTS, after two requests of warm-up
  DEEPSEEK_BENCH_ALLOCS=1 "$sdk" "$1" "$url$2" "$3" 1 2 | sed -nE 's/.*"allocs":([0-9]+).*/\1/p'
}
system_calls() { # system_calls MODE PATH REQUESTS
  strace -f -c -o "$work/strace" "$sdk" "$1" "$url$2" "$3" 1 0 >/dev/null 2>&1 || return
  awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { sum += $4 } END { print sum }' "$work/strace"
}

for face in callback pull; do
  export DEEPSEEK_BENCH_FACE=$face
  gate "heap allocations per event, $face" \
    "$(slope "$(allocations parse /n2000 1)" "$(allocations parse /n52000 1)" 50000)" 0.01
done
unset DEEPSEEK_BENCH_FACE

if command -v strace >/dev/null && strace -f -c -o /dev/null true 2>/dev/null; then
  gate "system calls per paced event" \
    "$(slope "$(system_calls parse /n200/p2000 1)" "$(system_calls parse /n1200/p2000 1)" 1000)" 2.1
else
  skip "system calls: strace is not there or may not trace"
fi

# Under valgrind a reply has always arrived whole when it is read; otherwise the count wavers by a few.
heap_blocks() { # heap_blocks MODE PATH REQUESTS
  valgrind --tool=memcheck --leak-check=no "$sdk" "$1" "$url$2" "$3" 1 0 2>&1 >/dev/null |
    sed -nE 's/.*total heap usage: ([0-9,]+) allocs.*/\1/p' | tr -d ,
}

if command -v valgrind >/dev/null; then
  gate "heap allocations per call, not streamed" "$(slope "$(heap_blocks json / 50)" "$(heap_blocks json / 150)" 100)" 24
  gate "instructions per event, callback" \
    "$(slope "$(instructions parse /n2000 1)" "$(instructions parse /n12000 1)" 10000)" 800
  # The pull face copies each event out of the read buffer once. Long streams: its buffers have grown by then.
  export DEEPSEEK_BENCH_FACE=pull
  gate "instructions per event, pull" \
    "$(slope "$(instructions parse /n30000 1)" "$(instructions parse /n40000 1)" 10000)" 1150
  unset DEEPSEEK_BENCH_FACE
  # Every policy on against none: the price of an event, and of a call.
  none=$(slope "$(instructions parse /n2000 1)" "$(instructions parse /n12000 1)" 10000)
  none_call=$(slope "$(instructions json / 50)" "$(instructions json / 150)" 100)
  export DEEPSEEK_BENCH_POLICIES=all
  all=$(slope "$(instructions parse /n2000 1)" "$(instructions parse /n12000 1)" 10000)
  all_call=$(slope "$(instructions json / 50)" "$(instructions json / 150)" 100)
  unset DEEPSEEK_BENCH_POLICIES
  gate "instructions per event with all policies / with none" "$(ratio "$all" "$none")" 1.03
  gate "instructions per call, all policies minus none" "$(slope "$none_call" "$all_call" 1)" 20000
  # The cost of an event in streams of 20000, of 1000, and of 1000 with a comment after every fourth.
  one=$(instructions parse /n1 1) ten=$(instructions parse /n1 10)
  long=$(slope "$one" "$(instructions parse /n20000 1)" 19999)
  short=$(slope "$ten" "$(instructions parse /n1000 10)" 9990)
  commented=$(slope "$ten" "$(instructions parse /n1000/k4 10)" 9990)
  gate "cost of an event of 20000 / of 1000" "$(ratio "$long" "$short")" 1.1
  gate "cost of an event with keep-alive comments / without" "$(ratio "$commented" "$short")" 1.1
else
  skip "instructions: valgrind is not there"
fi
finish
