#!/usr/bin/env bash
# Checks examples/deploy: rules, dashboard, log shipping.
#
#   run.sh TOOLS OBSERVED
#
# TOOLS is the folder of tests/deploy/install.sh. OBSERVED holds metrics.txt and log.json, which the test program
# test_integration writes there: DEEPSEEK_OBSERVED_DIR=OBSERVED test_integration '[observed]'.
#
# Prints "ok ...", "FAILED ..." or "SKIPPED: ..." for each check; the exit status says whether none failed. Filebeat and
# Logstash themselves are never run: neither can be had from Debian, PyPI, npm or the Go module proxy.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2
tools=$(cd "${1:?usage: run.sh TOOLS OBSERVED}" && pwd) || exit 2
observed=$(cd "${2:?usage: run.sh TOOLS OBSERVED}" && pwd) || exit 2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
deploy=examples/deploy rules=examples/deploy/prometheus/deepseek.rules.yml
failed=0

check() { # check NAME COMMAND...
  local name=$1 out; shift
  if out=$("$@" 2>&1); then
    printf 'ok %s\n' "$name"
  else
    printf 'FAILED %s\n%s\n' "$name" "$(head -n 12 <<<"$out" | cut -c1-200)"; failed=1
  fi
}
# A check that lets everything pass is worth nothing: each is also shown something broken.
check_refuses() { # check_refuses NAME COMMAND...
  local name=$1; shift
  if "$@" >/dev/null 2>&1; then printf 'FAILED %s passes\n' "$name"; failed=1; else printf 'ok %s is refused\n' "$name"; fi
}
have() { # have TOOL CHECK...: false, and said, if it is not installed
  local tool=$1; shift
  [[ -e $tools/$tool.ready ]] && return
  printf 'SKIPPED: deploy: %s: %s\n' "$*" "$(cat "$tools/$tool.missing" 2>/dev/null || echo "$tool is not installed")"
  return 1
}
checks() { "$tools/checks-venv/bin/python" tests/deploy/checks.py "$@"; }
compiles() { # compiles FILE.ts: against the types that npm brought
  cp "$1" "$tools/types/" && (cd "$tools/types" && "$tools/node" node_modules/typescript/bin/tsc --noEmit --strict \
    --skipLibCheck --module nodenext --moduleResolution nodenext "$(basename "$1")")
}

# --- rules ----------------------------------------------------------------------------------------
if command -v promtool >/dev/null; then
  check "promtool check rules" promtool check rules "$rules"
  check "promtool check config" promtool check config "$deploy/prometheus/prometheus.yml"
  check "promtool test rules" promtool test rules tests/deploy/rules_test.yml
  sed 's|> 0\.5$|> 5|; s|< 0\.95$|< 0.5|; s|> 0\.85$|> 0.99|' "$rules" >"$work/deepseek.rules.yml"
  sed "s|\.\./\.\./$rules|$work/deepseek.rules.yml|" tests/deploy/rules_test.yml >"$work/test.yml"
  check_refuses "a rule with another threshold" promtool test rules "$work/test.yml"
  check "promtool check metrics" promtool check metrics <"$observed/metrics.txt"
else
  printf 'SKIPPED: deploy: rules: promtool (package prometheus) is not installed\n'
fi

# --- names ----------------------------------------------------------------------------------------
if have checks "names of metrics"; then
  check "metrics of rules and dashboard" checks names "$rules" "$deploy/grafana/deepseek.json" "$observed/metrics.txt"
  sed 's/deepseek_retries_total/deepseek_retry_total/' "$deploy/grafana/deepseek.json" >"$work/typo.json"
  check_refuses "a dashboard with a mistyped metric" checks names "$rules" "$work/typo.json" "$observed/metrics.txt"
fi

# --- the dashboard and the log's fields as types --------------------------------------------------
if have types "types of dashboard and log" && have checks "types of dashboard and log"; then
  check "dashboard layout" checks dashboard "$deploy/grafana/deepseek.json" "$work/dashboard.ts"
  check "dashboard is a Dashboard" compiles "$work/dashboard.ts"
  sed 's/"gridPos": {/"gridPos": {"height": 1, /' "$work/dashboard.ts" >"$work/broken_dashboard.ts"
  check_refuses "a dashboard with a wrong key" compiles "$work/broken_dashboard.ts"
  check "log lines begin with their date" checks ecs "$observed/log.json" "$work/lines.ts"
  check "log lines are Ecs" compiles "$work/lines.ts"
  sed 's/"status_code": /"status_kode": /' "$work/lines.ts" >"$work/broken_lines.ts"
  check_refuses "a line with a field that ECS does not have" compiles "$work/broken_lines.ts"
fi

# --- shipping -------------------------------------------------------------------------------------
if have checks "Filebeat and Logstash configuration"; then
  check "filebeat.yml" checks filebeat "$deploy/filebeat/filebeat.yml" "$observed/log.json"
  check "deepseek.conf parses" checks logstash "$deploy/logstash/deepseek.conf" "$work/job.json"
  sed '0,/=>/s//=/' "$deploy/logstash/deepseek.conf" >"$work/broken.conf"
  check_refuses "a pipeline with = for =>" checks logstash "$work/broken.conf" "$work/none.json"
fi
if have grok "grok patterns" && [[ -s $work/job.json ]]; then
  take() { "$tools/grok" "$work/job.json" <"$observed/log.json" >"$work/captures.json" &&
    checks grok "$observed/log.json" "$work/captures.json"; }
  check "grok patterns take the library's lines" take
  others() { printf '%s\n' 'panic: runtime error' '{"level":"info","msg":"of another program"}' |
    "$tools/grok" "$work/job.json" | grep -qvx null; }
  check_refuses "a line of another program" others
fi
exit $failed
