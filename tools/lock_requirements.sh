#!/usr/bin/env bash
# Writes requirements.txt and requirements-dev.txt from pyproject.toml: every package by exact version.
set -euo pipefail
uv=$1
compile() { "$uv" pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 "$@" pyproject.toml; }

product=$(compile)
development=$(compile --extra dev)
{
  echo "# Written by \`make requirements\` from pyproject.toml. What the product, \`make demo\` and synth need."
  echo "-e ."
  echo "$product"
} >requirements.txt
{
  echo "# Written by \`make requirements\` from pyproject.toml. What \`make test\` needs on top."
  echo "-r requirements.txt"
  comm -13 <(sort <<<"$product") <(sort <<<"$development")
} >requirements-dev.txt
