#!/bin/sh
# Take from a source tree of llama.cpp what the build reads, if it is what it should be:
#
#   take_source.sh FROM TO SHA256
#
# SHA256 is over the lines of `sha256sum`, one per file, sorted by path: contents and names, not modes or times. Left
# out, and so impossible to compile, are the web page (the folders in tools/ui), and what other platforms
# and LLAMA_SUBPROCESS=ON would need: Metal's device file and vendor/sheredom/subprocess.h.
set -eu
from=$1 to=$2 expected=$3

cd "$from"
list=$(mktemp)
find -L CMakeLists.txt LICENSE cmake common ggml include licenses scripts/ui-assets.cmake src tools vendor -type f \
    ! -path 'tools/ui/*/*' \
    ! -path ggml/src/ggml-metal/ggml-metal-device.m ! -path vendor/sheredom/subprocess.h \
    -print0 | LC_ALL=C sort -z >"$list"
got=$(xargs -0 sha256sum <"$list" | sha256sum | cut -d ' ' -f 1)
if [ "$got" != "$expected" ]; then
    echo "the source of llama.cpp in $from is not the pinned one: its hash is $got, expected $expected" >&2
    exit 1
fi
mkdir -p "$to"
tar --create --dereference --null --files-from="$list" | tar --extract --directory="$to"
rm "$list"
