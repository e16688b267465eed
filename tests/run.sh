#!/usr/bin/env bash
# Builds and runs every test on a Debian 12 machine; installs what is missing from Debian's packages.
#
#   bash tests/run.sh [STEP...]
#
#   unit         all test programs: unit, transport, integration, structure, the other two modes, fuzz corpora
#   consumers    small applications against an installed tree
#   deploy       what lies in examples/deploy: rules, dashboard, log shipping
#   structure    every public header alone in two modes; the library's symbols
#   asan         the test programs under the address and undefined-behaviour sanitizers
#   tsan         the tests tagged [concurrent] under the thread sanitizer
#   fuzz         each fuzz target for FUZZ_SECONDS (10)
#   format tidy  clang-format and clang-tidy
#   gates        budgets of tests/bench/gates.sh
#
# Without arguments all of them. Build folders and full logs lie in $DEEPSEEK_BUILD_DIR (build/tests).
# Every step runs even if one before it failed. The last line is "N passed, N failed, N skipped" in test
# cases; a case that passed in two builds counts twice. Exit status 0: none failed and some passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
root=$PWD
all_steps=(unit consumers deploy structure asan tsan fuzz format tidy gates)
steps=("$@"); [[ $# -gt 0 ]] || steps=("${all_steps[@]}")
for step in "${steps[@]}"; do
  [[ " ${all_steps[*]} " == *" $step "* ]] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
done

build=${DEEPSEEK_BUILD_DIR:-build/tests}
mkdir -p "$build/logs" && build=$(cd "$build" && pwd) || exit 2
logs=$build/logs
jobs=$(nproc)
passed=0 failed=0
installers=() tools=$build/foreign
skips=$logs/skips; : >"$skips"
# Build folders of the same sources share what the compiler cache holds. No CCACHE_BASEDIR: paths relative
# to the build folder would differ from one to the next.
export CCACHE_NOHASHDIR=1
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1
ulimit -S -n "$(ulimit -H -n)" 2>/dev/null

# --- reporting ------------------------------------------------------------------------------------
line() { printf '%-10s %-30s %s\n' "$1" "$2" "$3"; }
fail() { failed=$((failed + 1)); line "$1" "$2" "FAILED ($3)"; }
show() { sed 's/^/    | /' | cut -c1-200; }

# --- packages -------------------------------------------------------------------------------------
wanted_packages() {
  echo g++ cmake ninja-build ccache pkg-config libcurl4-openssl-dev libssl-dev libfmt-dev nlohmann-json3-dev \
    libsimdjson-dev libboost-dev catch2 ca-certificates openssl nginx-light nghttp2-proxy tinyproxy-bin \
    microsocks python3 python3-venv libhiredis-dev libsqlite3-dev prometheus-cpp-dev redis-server
  for step in "${steps[@]}"; do
    case $step in
      unit | asan | tsan) echo default-jre-headless ;;
      deploy) echo prometheus ;;
      fuzz) echo clang-19 libclang-rt-19-dev ;;
      tidy) echo clang-tidy-19 ;;
      format) echo clang-format-19 ;;
      gates) echo valgrind strace ;;
    esac
  done
}
is_installed() { # any package that provides the tool will do (nginx for nginx-light)
  case $1 in
    nginx-light) command -v nginx >/dev/null && return ;;
    prometheus) command -v promtool >/dev/null && return ;;
    default-jre-headless) command -v java >/dev/null && return ;;
  esac
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}
install_missing() {
  local missing=() package as_root=()
  for package in $(wanted_packages | tr " " "\n" | sort -u); do is_installed "$package" || missing+=("$package"); done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $EUID == 0 ]] || as_root=(sudo -n)
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600)
  line packages "${#missing[@]} missing" "installing"
  "${apt[@]}" update >"$logs/apt.log" 2>&1
  "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$logs/apt.log" 2>&1 && return
  # One that this release lacks must not take the others along.
  for package in "${missing[@]}"; do
    "${apt[@]}" install --no-install-recommends "$package" >>"$logs/apt.log" 2>&1 ||
      printf 'SKIPPED: package %s cannot be installed\n' "$package" | tee -a "$skips"
  done
}

# --- building -------------------------------------------------------------------------------------
build_preset() { # build_preset STEP PRESET [-D...] -- [TARGET...]
  local step=$1 preset=$2 options=(); shift 2
  while [[ $# -gt 0 && $1 != -- ]]; do options+=("$1"); shift; done
  shift
  local log=$logs/$preset-build.log
  if ! cmake --preset "$preset" -B "$build/$preset" "${options[@]}" >"$log" 2>&1; then
    fail "$step" configure "$log"; grep -A 5 "CMake Error" "$log" | head -n 20 | show; return 1
  fi
  if ! ninja -C "$build/$preset" -j "$jobs" -k 0 "$@" >>"$log" 2>&1; then
    fail "$step" build "$log"
    grep -E ': (fatal )?error: |undefined reference|multiple definition|^FAILED:' "$log" | awk '!seen[$0]++' | head -n 15 | show
  fi
}

# --- running --------------------------------------------------------------------------------------
take_skips() { grep -ahE '^SKIPPED: ' "$1" | sort -u | tee -a "$skips" | wc -l; }

catch_program() { # catch_program STEP PROGRAM [ARG...]: one Catch2 program, counted in test cases
  local step=$1 program=$2 name log status summary good=0 bad=0 skipped
  shift 2
  name=$(basename "$program") log=$logs/$step-$(basename "$program").log
  { (cd "$(dirname "$program")" && exec timeout -k 10 900 "./$name" "$@") >"$log" 2>&1 </dev/null; } 2>/dev/null
  status=$?
  summary=$(grep -aE '^(All tests passed \(|test cases: |No tests ran)' "$log" | tail -n 1)
  case $summary in
    'All tests passed'*) good=$(sed -E 's/.* in ([0-9]+) test cases?\).*/\1/' <<<"$summary") ;;
    'test cases:'*)
      good=$(grep -oE '[0-9]+ passed' <<<"$summary" | grep -oE '[0-9]+')
      bad=$(grep -oE '[0-9]+ failed($| \|)' <<<"$summary" | grep -oE '[0-9]+') ;;
    'No tests ran'*) [[ $* == *'['* ]] && return ;;
  esac
  good=${good:-0} bad=${bad:-0}
  # A crash, a leak, a race or a timeout fails the program even if no case did.
  [[ $status != 0 && $bad == 0 ]] && bad=1
  [[ $status == 0 && $good == 0 ]] && bad=1
  skipped=$(take_skips "$log")
  passed=$((passed + good - skipped)) failed=$((failed + bad))
  if [[ $bad == 0 ]]; then
    line "$step" "$name" "$((good - skipped)) passed${skipped:+$([[ $skipped == 0 ]] || echo ", $skipped skipped")}"
  else
    line "$step" "$name" "$bad FAILED, $good passed, exit status $status ($log)"
    grep -aE -A 12 ': FAILED:|ERROR: |WARNING: ThreadSanitizer|runtime error' "$log" | head -n 40 | show
  fi
}
plain_program() { # plain_program STEP NAME COMMAND...: one case, by exit status
  local step=$1 name=$2 log=$logs/$1-$2.log; shift 2
  if timeout -k 10 900 "$@" >"$log" 2>&1 </dev/null; then
    passed=$((passed + 1)); line "$step" "$name" passed
  else
    fail "$step" "$name" "$log"; tail -n 12 "$log" | show
  fi
}
line_script() { # line_script STEP NAME COMMAND...: a script that prints "ok ...", "FAILED ..." and "SKIPPED: ..."
  local step=$1 name=$2 log=$logs/$1-$2.log status good bad skipped; shift 2
  timeout -k 10 1200 "$@" >"$log" 2>&1 </dev/null
  status=$?
  good=$(grep -acE '^ok ' "$log") bad=$(grep -acE '^FAILED ' "$log") skipped=$(take_skips "$log")
  [[ $status != 0 && $bad == 0 ]] && bad=1
  [[ $status == 0 && $((good + skipped)) == 0 ]] && bad=1
  passed=$((passed + good)) failed=$((failed + bad))
  if [[ $bad == 0 ]]; then
    line "$step" "$name" "$good passed"
  else
    line "$step" "$name" "$bad FAILED, $good passed ($log)"
    { grep -aE -A 8 '^FAILED ' "$log" || tail -n 12 "$log"; } | head -n 40 | show
  fi
}

programs_of() { find "$build/$1/tests" -maxdepth 1 -type f -executable -name "$2" | sort; }
replay_all() { # replay_all STEP PRESET
  local program name
  for program in $(programs_of "$2" 'replay_*'); do
    name=$(basename "$program")
    plain_program "$1" "$name" "$program" "tests/fuzz/corpus/${name#replay_}"
  done
}

# --- the steps ------------------------------------------------------------------------------------
step_unit() {
  build_preset unit dev -- || return
  await_tools
  local program
  for program in $(programs_of dev 'test_*'); do
    case $program in
      */test_one_tu | */test_header_only) catch_program unit "$program" '[modes]' ;;
      *) catch_program unit "$program" ;;
    esac
  done
  replay_all unit dev
}

step_structure() {
  line_script structure headers bash tests/structure/headers.sh
  line_script structure compile-cost bash tests/structure/compile_cost.sh
  line_script structure readme bash tests/structure/readme_check.sh
  build_preset structure dev -- deepseek_deepseek || return
  line_script structure symbols-static bash tests/structure/symbols.sh "$build/dev/libdeepseek.a"
  local shared=$build/dev/consumers/build-shared/libdeepseek.so
  if [[ -f $shared ]]; then
    line_script structure symbols-shared bash tests/structure/symbols.sh "$shared"
  else
    printf 'SKIPPED: structure: shared library: the step consumers builds it\n' | tee -a "$skips"
  fi
}

step_consumers() {
  build_preset consumers dev -- || return
  line_script consumers all bash tests/consumers/run.sh "$build/dev"
}

step_deploy() {
  build_preset deploy dev -- test_integration || return
  # The checks read what the library really writes.
  local observed=$build/observed
  rm -rf "$observed" && mkdir -p "$observed"
  DEEPSEEK_OBSERVED_DIR=$observed catch_program deploy "$build/dev/tests/test_integration" '[observed]'
  await_tools
  line_script deploy examples bash tests/deploy/run.sh "$tools" "$observed"
}

# The bodies are the same in the other modes, and the structure tests read files.
sanitized_targets() { # sanitized_targets TAG: programs that have a test with this tag; all for none
  local layer files=()
  for layer in core http transport auth policy model client double cli; do
    files=(tests/unit/"${layer}"_*_test.cpp)
    [[ -f ${files[0]} ]] && grep -qF -- "$1" "${files[@]}" && echo "test_$layer"
  done
  for layer in prometheus redis sqlite; do
    files=(tests/integration/"${layer}"_*_test.cpp)
    grep -qF -- "$1" "${files[@]}" && echo "test_$layer"
  done
  files=(tests/transport/*_test.cpp); [[ -f ${files[0]} ]] && grep -qF -- "$1" "${files[@]}" && echo test_conformance
  files=(tests/integration/*_test.cpp tests/integration/*/*_test.cpp); [[ -f ${files[0]} ]] && grep -qF -- "$1" "${files[@]}" && echo test_integration
}
sanitized() { # sanitized STEP TAG [TARGET...]
  local step=$1 tag=$2 targets target
  mapfile -t targets < <(sanitized_targets "$tag"); shift 2
  [[ ${#targets[@]} -gt 0 ]] || return 0
  build_preset "$step" "$step" -- "${targets[@]}" "$@" || return
  await_tools
  for target in "${targets[@]}"; do
    if [[ -x $build/$step/tests/$target ]]; then
      catch_program "$step" "$build/$step/tests/$target" ${tag:+"$tag"}
    fi
  done
}
step_asan() {
  local replays=() source
  for source in tests/fuzz/fuzz_*.cpp; do
    [[ -f $source ]] && replays+=("replay_$(basename "$source" .cpp | sed s/^fuzz_//)")
  done
  sanitized asan '' "${replays[@]}"
  replay_all asan asan
}
step_tsan() { sanitized tsan '[concurrent]'; }

step_fuzz() {
  local targets=() source name
  for source in tests/fuzz/fuzz_*.cpp; do [[ -f $source ]] && targets+=("$(basename "$source" .cpp)"); done
  [[ ${#targets[@]} -gt 0 ]] || return 0
  if ! command -v clang++-19 >/dev/null; then
    printf 'SKIPPED: fuzz: clang++-19 is not installed\n' | tee -a "$skips"; return
  fi
  build_preset fuzz fuzz -- "${targets[@]}" || return
  for name in "${targets[@]}"; do
    mkdir -p "$build/fuzz/corpus/$name"
    plain_program fuzz "$name" "$build/fuzz/tests/$name" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 \
      -rss_limit_mb=2048 -artifact_prefix="$logs/" "$build/fuzz/corpus/$name" "tests/fuzz/corpus/${name#fuzz_}"
  done
}

step_format() {
  if ! command -v clang-format-19 >/dev/null; then
    printf 'SKIPPED: format: clang-format-19 is not installed\n' | tee -a "$skips"; return
  fi
  local files
  mapfile -t files < <(find include src tests examples -name '*.[hi]pp' -o -name '*.cpp' | sort)
  plain_program format "${#files[@]}-files" clang-format-19 --dry-run --Werror "${files[@]}"
}

tidy_one() { # one translation unit of the library
  local name; name=$(basename "$1")
  if out=$(clang-tidy-19 -p "$2" --quiet --extra-arg=-Wno-unknown-warning-option "$1" 2>/dev/null); then
    printf 'ok %s\n' "$name"
  else
    printf 'FAILED %s\n%s\n' "$name" "$(grep -E 'error:|warning:' <<<"$out" | sort -u | head -n 20)"
  fi
}
step_tidy() {
  if ! command -v clang-tidy-19 >/dev/null; then
    printf 'SKIPPED: tidy: clang-tidy-19 is not installed\n' | tee -a "$skips"; return
  fi
  build_preset tidy dev -- catch_main || return
  export -f tidy_one
  line_script tidy library bash -c 'printf "%s\n" src/*.cpp | xargs -P "$1" -I{} bash -c "tidy_one {} \"$2\""' _ \
    "$jobs" "$build/dev"
}

step_gates() {
  [[ -f tests/bench/gates.sh ]] || return 0
  build_preset gates release -DDEEPSEEK_DEVELOPER=OFF -DDEEPSEEK_BUILD_TESTS=OFF -- bench_sdk || return
  line_script gates budgets bash tests/bench/gates.sh "$build/release"
}

# What npm, PyPI and Go's proxy have comes while the compiler works: servers that nobody here wrote, and the checkers of
# examples/deploy.
begin_tools() {
  export DEEPSEEK_FOREIGN_DIR=$tools
  local wanted=" ${steps[*]} "
  [[ $wanted != *' unit '* && $wanted != *' asan '* && $wanted != *' tsan '* ]] ||
    { bash tests/support/foreign/install.sh "$tools" >"$logs/foreign.log" 2>&1 & installers+=($!); }
  [[ $wanted != *' deploy '* ]] ||
    { bash tests/deploy/install.sh "$tools" >"$logs/deploy-tools.log" 2>&1 & installers+=($!); }
}
await_tools() {
  [[ ${#installers[@]} == 0 ]] || wait "${installers[@]}"
  installers=()
}

install_missing
begin_tools
for step in "${steps[@]}"; do
  SECONDS=0
  "step_$step"
  line "$step" "" "${SECONDS} s"
done

skipped=$(sort -u "$skips" | wc -l)
[[ $skipped == 0 ]] || { printf '\nSkipped:\n'; sort -u "$skips" | sed 's/^SKIPPED: /  /'; }
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[[ $failed == 0 && $passed -gt 0 ]]
