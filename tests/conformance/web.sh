#!/bin/bash
#
# Hold parsers against the data that others publish: URLs, HTML, charsets, line protocol,
# robots.txt.
#
#   tests/conformance/web.sh                        what lies in ../shared/conformance
#   WEB_DATA=DIR tests/conformance/web.sh           what lies anywhere below DIR
#   VARIANT=asan WEB_DATA=DIR …                     with the unit tests of that build
#
# The data is no part of the tree. It is known by its names, however the folders are called:
#
#   urltestdata.json, *_urltestdata.json    URLs: web-platform-tests (url/resources); ada-url/ada
#                                           has it, and more, in tests/wpt
#   tables01.dat and its neighbours         HTML: html5lib/html5lib-tests up to its commit 9329e64
#                                           (tree-construction), since then web-platform-tests
#   encoding/tests1.dat and its neighbours  charsets: html5lib/html5lib-tests
#   line-protocol/**/corpus.json            line protocol: lineprotocol/testdata of the repository
#                                           influxdata/line-protocol; without it, what tests/vectors
#                                           has of it
#   google_robots_vectors.json              robots.txt: a JSON array of {test, robotstxt, ua, url,
#                                           allowed}, the cases of google/robotstxt
#
# Each part that is not there is skipped with a sentence. The last line is `N passed, N failed`,
# counted in cases.

set -u
cd "$(dirname "$0")/../.." || exit 2

data=${WEB_DATA:-../shared/conformance}
variant=${VARIANT:-debug}
tests=build/$variant/test/codec
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0

# What the tests say of their cases, added up: all that PASSED or FAILED.
sum()
{
    awk -v word="$1" '/^vectors / { sub(/.*: /, ""); n += $(word == "passed" ? 1 : 3) }
                      END { print n + 0 }' "$log"
}

# Run PROGRAM with VARIABLE telling where its data is; add its counts of cases to the totals.
run_part()
{
    local program=$1 variable=$2 path=$3

    if [ ! -x "$tests/$program" ]; then
        echo "skip: $program is not in this build (it wants lexbor)"
        return
    fi
    if ! env "$variable=$path" "$tests/$program" >"$log" 2>&1 && ! grep -q '^vectors ' "$log"; then
        echo "FAIL $program: it ended before its cases did"
        failed=$((failed + 1))
    fi
    grep -v -E '^(ok|FAIL|skip) |^[0-9]+ passed, ' "$log" | sed 's/^vectors //'
    passed=$((passed + $(sum passed)))
    failed=$((failed + $(sum failed)))
}

# The first path below the folder of data that fits the pattern; nothing when there is none.
find_path()
{
    find -L "$data" -path "*/$1" -print -quit 2>/dev/null
}

# NAME PATTERN PROGRAM VARIABLE: a part whose data is a folder of files.
folder_part()
{
    local found

    found=$(find_path "$2")
    if [ -z "$found" ]; then
        echo "skip: no $1 in $data: $2 is not there"
        return
    fi
    run_part "$3" "$4" "$(realpath "$(dirname "$found")")"
}

if [ ! -d "$data" ]; then
    echo "skip: there is no folder $data (set WEB_DATA)"
    echo "0 passed, 0 failed"
    exit 0
fi
if ! make -j2 VARIANT="$variant" check-build T=vectors >"$log" 2>&1; then
    tail -n 20 "$log"
    echo "FAIL web: the tests do not build"
    echo "0 passed, 1 failed"
    exit 1
fi

folder_part "data of URLs" urltestdata.json web_url_vectors_test SLUICE_URL_VECTORS
folder_part "data of HTML" tables01.dat html_vectors_test SLUICE_HTML_VECTORS
folder_part "data of charsets" encoding/tests1.dat charset_vectors_test SLUICE_CHARSET_VECTORS
vectors=$(find_path 'line-protocol/*corpus.json')
run_part line_protocol_vectors_test SLUICE_LINE_VECTORS \
    "$(realpath "${vectors:-tests/vectors/influxdata-line-protocol.json}")"
vectors=$(find_path google_robots_vectors.json)
if [ -n "$vectors" ]; then
    run_part robots_vectors_test SLUICE_ROBOTS_VECTORS "$(realpath "$vectors")"
else
    echo "skip: no vectors of robots.txt in $data: google_robots_vectors.json is not there"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
