#!/usr/bin/env bash
# Puts npm's oidc-provider and oauth2-mock-server into FOLDER/oauth, for tests/integration/auth/*_test.cpp:
#
#   bash install_oauth.sh FOLDER
#
# Uses the Node that is here if it is at least 20.19, else the one that install.sh put into FOLDER. What cannot be had
# leaves oauth.missing with the reason. Always ends with 0; what is there already is not installed again.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: install_oauth.sh FOLDER}" && cd "$1" && dir=$PWD || exit 0

missing() { printf '%s\n' "$1" >"$dir/oauth.missing"; printf 'oauth: %s\n' "$1"; exit 0; }
suits() {
  [[ -x $1 ]] && "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
                          process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
}

mkdir -p oauth && cp "$here"/oauth_*.mjs oauth/
[[ -e oauth.ready ]] && exit 0
node=$(readlink -f "$(command -v node || echo /nowhere)") npm=$(command -v npm)
if ! { [[ -n $npm ]] && suits "$node"; }; then
  node=$(readlink -f "$dir/node" || echo /nowhere) npm=$dir/aimock-venv/bin/npm
  { [[ -x $npm ]] && suits "$node"; } || missing "no Node >= 20.19"
fi
echo '{"private":true}' >oauth/package.json
PATH=$(dirname "$node"):$(dirname "$npm"):$PATH "$npm" install --prefix "$dir/oauth" --no-audit --no-fund \
  --ignore-scripts --fetch-retries 1 --loglevel error oidc-provider@9.13.3 oauth2-mock-server@8.2.3 \
  >oauth.log 2>&1 </dev/null || missing "npm install failed: $(tail -n 1 oauth.log | tr -d '\r' | cut -c1-200)"
rm -f oauth.missing && ln -sfn "$node" oauth/node && : >oauth.ready
