#!/usr/bin/env bash
# Builds small applications against an installed tree and runs each against `deepseek double`.
#
#   run.sh BUILD        BUILD: a configured and built folder of this project (static)
#
# Prints "ok NAME", "FAILED NAME" or "SKIPPED: NAME" for each; what they said is in BUILD/consumers/*.log.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(cd "${1:?the build folder}" && pwd)
work=$build/consumers
jobs=$(nproc)
launcher=(); command -v ccache >/dev/null && launcher=(ccache)
debug=(-G Ninja -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1" ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER=ccache})
rm -rf "$work"; mkdir -p "$work"
failed=0 double_pid=

stop_double() { [[ -n $double_pid ]] && kill "$double_pid" 2>/dev/null; double_pid=; }
trap stop_double EXIT

consumer() { # consumer NAME FUNCTION [ARG...]: one case
  local name=$1; shift
  (set -e; "$@") >"$work/$name.log" 2>&1   # not inside an if, where -e means nothing
  if [[ $? == 0 ]]; then
    printf 'ok consumer %s\n' "$name"
  else
    printf 'FAILED consumer %s\n' "$name"; tail -n 6 "$work/$name.log"; failed=1
  fi
}

install_static() {
  cmake --install "$build" --prefix "$work/first"
  mv "$work/first" "$work/static"       # a relocated tree must work as well
}
install_shared() {
  # The options of the static build, so that the compiler cache knows the objects.
  cmake -S "$root" -B "$work/build-shared" "${debug[@]}" -DBUILD_SHARED_LIBS=ON -DDEEPSEEK_DEVELOPER=ON \
    -DDEEPSEEK_BUILD_TESTS=OFF -DDEEPSEEK_BUILD_EXAMPLES=OFF
  cmake --build "$work/build-shared" -j "$jobs"
  cmake --install "$work/build-shared" --prefix "$work/first"
  mv "$work/first" "$work/shared"
}
command_runs() { # command_runs PREFIX: from another folder, without any variable
  cd / && env -u LD_LIBRARY_PATH "$work/$1/bin/deepseek" --help
}
cmake_consumer() { # cmake_consumer FOLDER PREFIX [OPTION...]
  local folder=$1 prefix=$2; shift 2
  cmake -S "$here/$folder" -B "$work/$folder-$prefix" "${debug[@]}" -DCMAKE_PREFIX_PATH="$work/$prefix" "$@"
  cmake --build "$work/$folder-$prefix" -j "$jobs"
  "$work/$folder-$prefix/consumer" "$url"
}
find_package_consumer() {
  cmake_consumer find_package "$1"
  "$work/find_package-$1/in_process"
}
compile() { "${launcher[@]}" g++ -std=c++17 -O0 -c "$@"; }
pkg_config() { # pkg_config PREFIX: no CMake at all
  local flags libs
  PKG_CONFIG_PATH=$(dirname "$(find "$work/$1" -name deepseek.pc)"); export PKG_CONFIG_PATH
  flags=$(pkg-config --cflags deepseek) libs=$(pkg-config --libs deepseek)
  # shellcheck disable=SC2086  # flags are words
  for part in main talk; do compile -DDEEPSEEK_TALK=talk $flags "$here/$part.cpp" -o "$work/pc-$part.o"; done
  # shellcheck disable=SC2086
  g++ "$work/pc-main.o" "$work/pc-talk.o" $libs -Wl,-rpath,"$(pkg-config --variable=libdir deepseek)" -o "$work/pkg-config-$1"
  "$work/pkg-config-$1" "$url"
}
has_components() { [[ $(find "$work/static" -name 'deepseek-*-targets.cmake' | wc -l) == 3 ]]; }
components() { # components PREFIX: with CMake, then with pkg-config
  local parts=(deepseek-redis deepseek-sqlite deepseek-prometheus)
  cmake -S "$here/components" -B "$work/components-$1" "${debug[@]}" -DCMAKE_PREFIX_PATH="$work/$1"
  cmake --build "$work/components-$1" -j "$jobs"
  "$work/components-$1/components" "$url" "$work/components-$1/cache"

  PKG_CONFIG_PATH=$(dirname "$(find "$work/$1" -name deepseek.pc)"); export PKG_CONFIG_PATH
  # shellcheck disable=SC2046
  compile $(pkg-config --cflags "${parts[@]}") "$here/components/components.cpp" -o "$work/components-$1.o"
  # shellcheck disable=SC2046
  g++ "$work/components-$1.o" $(pkg-config --libs "${parts[@]}") \
    -Wl,-rpath,"$(pkg-config --variable=libdir deepseek)" -o "$work/components-pc-$1"
  "$work/components-pc-$1" "$url" "$work/components-pc-$1.cache"
}
no_package=(-DCMAKE_DISABLE_FIND_PACKAGE_{SQLite3,prometheus-cpp}=ON)
unneeded() { # who names no component does not need what it stands on; nor do shared libraries
  export PKG_CONFIG_LIBDIR=/nowhere   # no hiredis
  cmake -S "$here/find_package" -B "$work/unneeded" "${debug[@]}" -DCMAKE_PREFIX_PATH="$work/static" "${no_package[@]}"
  cmake -S "$here/components" -B "$work/unneeded-shared" "${debug[@]}" -DCMAKE_PREFIX_PATH="$work/shared" "${no_package[@]}"
}
refuses() { # refuses TEXT PREFIX [OPTION...]: CMake fails and says TEXT
  local text=$1 prefix=$2; shift 2
  rm -rf "$work/refused"
  ! cmake -S "$here/components" -B "$work/refused" "${debug[@]}" -DCMAKE_PREFIX_PATH="$work/$prefix" "$@" >"$work/refused.txt" 2>&1
  cat "$work/refused.txt"
  tr -s ' \n' ' ' <"$work/refused.txt" | grep -qF -- "$text"
}
absent_components() { # each with its own reason
  cp -r "$work/static" "$work/without"
  find "$work/without" -name 'deepseek-redis-targets*' -delete   # as it is where hiredis was missing
  refuses 'deepseek::redis is not in this installation' without
  refuses 'there is no component mongo' static -DCOMPONENTS=mongo
  export PKG_CONFIG_LIBDIR=/nowhere
  refuses 'deepseek::redis needs PkgConfig::HIREDIS, which was not found' static "${no_package[@]}"
  refuses 'deepseek::prometheus needs prometheus-cpp::pull, which was not found' static "${no_package[@]}"
  refuses 'deepseek::sqlite needs SQLite::SQLite3, which was not found' static "${no_package[@]}"
}
third_party() { pkg-config --libs libcurl libcrypto simdjson; }
one_tu() { # copied in: nothing but the headers
  local embedded=(-DDEEPSEEK_EMBEDDED -I"$work/static/include")
  compile "${embedded[@]}" "$here/one_tu/bodies.cpp" -o "$work/bodies.o"
  compile "${embedded[@]}" -DDEEPSEEK_TALK=talk_embedded "$here/talk.cpp" -o "$work/talk-embedded.o"
  compile -DDEEPSEEK_TALK=talk_embedded "$here/main.cpp" -o "$work/main-embedded.o"
  # shellcheck disable=SC2046
  g++ "$work"/{main-embedded,talk-embedded,bodies}.o $(third_party) -pthread -o "$work/one-tu"
  "$work/one-tu" "$url"
}
both_modes() { # needs the objects of one_tu
  local lib; lib=$(dirname "$(find "$work/shared" -name libdeepseek.so)")
  compile -DDEEPSEEK_COMPILED -I"$work/shared/include" -DDEEPSEEK_TALK=talk_library "$here/talk.cpp" -o "$work/talk-library.o"
  compile "$here/one_tu/both.cpp" -o "$work/both.o"
  # shellcheck disable=SC2046
  g++ "$work"/{both,talk-library,talk-embedded,bodies}.o -L"$lib" -ldeepseek $(third_party) -pthread \
    -Wl,-rpath,"$lib" -o "$work/both"
  "$work/both" "$url"
  # The embedded copy stays private to the program.
  ! nm -DC --defined-only "$work/both" | grep 'deepseek::v1_tu'
}
mixed_modes_do_not_link() { # an object of one mode handed to code of the other
  compile -DDEEPSEEK_COMPILED -I"$work/static/include" -DDEEPSEEK_TALK=talk_embedded "$here/talk.cpp" -o "$work/wrong.o"
  # shellcheck disable=SC2046
  ! g++ "$work"/{main-embedded,wrong,bodies}.o $(third_party) -pthread -o "$work/wrong"
}

consumer install-static install_static
consumer install-shared install_shared
consumer command-static command_runs static
consumer command-shared command_runs shared

exec {first_line}< <(exec "$work/static/bin/deepseek" double --port 0 2>"$work/double.log")
double_pid=$!
read -r -t 20 -u "$first_line" port || { printf 'FAILED consumer double: no port\n'; exit 1; }
url=http://127.0.0.1:$port

consumer find-package-static find_package_consumer static
consumer find-package-shared find_package_consumer shared
# The options of the tested build again: the compiler cache then knows the library's objects.
from_source=(-DDEEPSEEK_SOURCE="$root" -DDEEPSEEK_DEVELOPER=ON -DDEEPSEEK_BUILD_TESTS=OFF)
consumer add-subdirectory cmake_consumer add_subdirectory none "${from_source[@]}"
consumer fetch-content cmake_consumer fetch_content none "${from_source[@]}"
consumer header-only cmake_consumer header_only static
consumer pkg-config-static pkg_config static
consumer pkg-config-shared pkg_config shared
if has_components; then
  consumer components-static components static
  consumer components-shared components shared
  consumer components-not-asked-for unneeded
  consumer components-absent absent_components
else
  printf 'SKIPPED: consumers: components: hiredis, SQLite or prometheus-cpp was missing when the library was built\n'
fi
consumer one-tu one_tu
consumer one-tu-beside-library both_modes
consumer modes-do-not-mix mixed_modes_do_not_link
exit $failed
