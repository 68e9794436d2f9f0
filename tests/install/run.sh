#!/bin/bash
# What `make install` puts down is enough for a stranger: the program runs from there, and a program outside the tree
# builds with pkg-config and nothing else, meets no internal name, and runs.
#   tests/install/run.sh
set -u
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
unset MAKEFLAGS MFLAGS MAKELEVEL PKG_CONFIG_PATH LD_LIBRARY_PATH

check() { # NAME COMMAND...: exits with 0
    local name=$1 text
    shift
    if text=$("$@" 2>&1 </dev/null); then
        echo "ok $name"
        passed=$((passed + 1))
    else
        printf 'FAIL %s: %s\n%s\n' "$name" "$*" "$text"
        failed=$((failed + 1))
    fi
}

prefix=$work/prefix
jobs=-j$(nproc)
check install make -C "$top" "$jobs" install PREFIX="$prefix"
check install_staged make -C "$top" install PREFIX=/opt/sluice DESTDIR="$work/stage"

same_files() {
    diff <(cd "$prefix" && find . | LC_ALL=C sort) <(cd "$work/stage/opt/sluice" && find . | LC_ALL=C sort)
}
check staged_and_direct_are_the_same same_files
check staged_pc_names_the_prefix grep -qx 'prefix=/opt/sluice' "$work/stage/opt/sluice/lib/pkgconfig/sluice.pc"
check program_runs "$prefix/bin/sluice" version
check man_pages_are_there test -s "$prefix/share/man/man1/sluice.1"

names_no_tree() { # the search path of libraries is the program's own folder's
    ! readelf -d "$prefix/bin/sluice" | grep -E 'R(UN)?PATH' | grep -F "$top"
}
check program_needs_no_tree names_no_tree

finds_libraries() {
    ! ldd "$prefix/bin/sluice" | grep 'not found'
}
check program_finds_its_libraries finds_libraries

exports_the_list() {
    diff <(nm --defined-only --extern-only "$prefix/lib/libsluice.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | LC_ALL=C sort) \
        <(LC_ALL=C sort "$top/libsluice.sym")
}
check library_exports_the_list_and_no_more exports_the_list

headers_alone() {
    local header
    cd "$prefix/include" || return 1
    for header in $(find sluice -name '*.h'); do
        printf '#include <%s>\nint main(void) { return 0; }\n' "$header" |
            gcc -std=c11 -Wall -Wextra -Werror -I. -x c -fsyntax-only - || return 1
        ! command -v g++ >/dev/null || printf '#include <%s>\nint main() { return 0; }\n' "$header" |
            g++ -std=c++17 -Wall -Wextra -Werror -I. -x c++ -fsyntax-only - || return 1
    done
}
check headers_compile_alone headers_alone

cp -r "$top/tests/install/example" "$work/example"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
check example_builds make -C "$work/example"
check example_runs make -C "$work/example" run
unset PKG_CONFIG_PATH
check example_knows_no_tree bash -c "! readelf -d '$work/example/hello' | grep -F '$top'"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
