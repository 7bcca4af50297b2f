#!/usr/bin/env bash
# Make the pinned environment on one node. Every node runs this, so that all have the same Python
# and the same packages; run again, it only does what has changed.
set -euo pipefail

code="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
environment="$HOME/smil-ray-env"
export PATH="$HOME/.local/bin:$PATH"

command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
[ -x "$environment/bin/python" ] || uv venv --python 3.11 "$environment"

# Hashes are checked. Byte-compiling halves Ray's start-up time.
uv pip install --python "$environment/bin/python" --compile-bytecode --require-hashes \
  --requirement "$code/constraints.txt"
uv pip install --python "$environment/bin/python" --no-deps --editable "$code"

# Ray runs every command as `bash --login -i`, which reads ~/.bashrc: these lines put `ray`, `python`
# and `smil-ray` of the environment first, and demand the token of whoever talks to Ray.
for line in "export PATH=\"$environment/bin:\$HOME/.local/bin:\$PATH\"" "export RAY_AUTH_MODE=token"; do
  grep -qxF "$line" "$HOME/.bashrc" || echo "$line" >>"$HOME/.bashrc"
done
chmod 600 "$HOME/.ray/auth_token"
