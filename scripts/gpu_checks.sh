#!/usr/bin/env bash
# What was never run on a GPU, in at most nine minutes on one: bash scripts/gpu_checks.sh [--json F]; --help says more.
# ALIGN_VENV names another virtual environment than .venv; ALIGN_EXTRAS other extras than those that this machine can use.
set -euo pipefail
FROM="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT="$PWD"
source scripts/environment.sh
if command -v nvidia-smi >/dev/null; then EXTRAS=vllm,deepspeed,vision; else EXTRAS=vision; fi
install_truealign "${ALIGN_EXTRAS-$EXTRAS}"
# No extra has it: only a base in 4 bits needs it, and only GPUs make that worth while.
if command -v nvidia-smi >/dev/null && ! "$PYTHON" -c 'import importlib.util as i; exit(not i.find_spec("bitsandbytes"))'; then
  "$PYTHON" -m pip install --quiet bitsandbytes
fi
PYTHON="$(cd "$(dirname "$PYTHON")" && pwd)/python"
cd "$FROM" # a path of --json is the caller's
exec "$PYTHON" "$ROOT/scripts/gpu_checks.py" "$@"
