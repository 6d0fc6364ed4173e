#!/usr/bin/env bash
# Writes the locked requirements, those of pyproject.toml and of the examples on docs/clients.md: every package by exact
# version. The .lock files have the hashes of all their files as well, and `make` installs from them. pip takes no
# editable install beside hashes, so the .txt files, with `-e .`, are for whoever installs with plain pip.
set -euo pipefail
uv=$1
compile() {
  "$uv" pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 "$@"
}
# What installs the project itself, so that no build fetches anything.
build=$(sed -n 's/^requires = \["\(setuptools==[^"]*\)"\]$/\1/p' pyproject.toml)
[[ -n $build ]] || { echo "lock_requirements: pyproject.toml names no exact setuptools" >&2; exit 1; }

product=$(compile pyproject.toml)
development=$(compile --extra dev pyproject.toml)
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
{
  echo "# Written by \`make requirements\`: requirements.txt with hashes, and what installs the project itself."
  compile --generate-hashes --constraint <(echo "$product") pyproject.toml - <<<"$build"
} >requirements.lock
{
  echo "# Written by \`make requirements\`: requirements-dev.txt with hashes."
  compile --generate-hashes --extra dev --constraint <(echo "$development") pyproject.toml - <<<"$build"
} >requirements-dev.lock
clients=tests/integration/clients
{
  echo "# Written by \`make requirements\`. What the examples on docs/clients.md import beyond boto3."
  compile --generate-hashes - <<<$'openai\nsagemaker>=3,<4'
} >$clients/requirements.lock
{
  echo "# Written by \`make requirements\`. The SageMaker SDK before version 3, for its example on docs/clients.md."
  compile --generate-hashes - <<<'sagemaker>=2.257,<3'
} >$clients/requirements-sagemaker-2.lock
