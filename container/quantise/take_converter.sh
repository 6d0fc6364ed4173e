#!/bin/sh
# Take from a source tree of llama.cpp its converter of Hugging Face models, if it is what it should be:
#
#   take_converter.sh FROM TO SHA256
#
# SHA256 is over the lines of `sha256sum`, one per file, sorted by path, as in llamacpp/take_source.sh: that hash does
# not cover the converter, which the server's build does not read.
set -eu
from=$1 to=$2 expected=$3

cd "$from"
list=$(mktemp)
find -L convert_hf_to_gguf.py conversion gguf-py/LICENSE gguf-py/gguf -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z >"$list"
got=$(xargs -0 sha256sum <"$list" | sha256sum | cut -d ' ' -f 1)
if [ "$got" != "$expected" ]; then
    echo "the converter of llama.cpp in $from is not the pinned one: its hash is $got, expected $expected" >&2
    exit 1
fi
mkdir -p "$to"
tar --create --dereference --null --files-from="$list" | tar --extract --directory="$to"
chmod 755 "$to/convert_hf_to_gguf.py"
rm "$list"
