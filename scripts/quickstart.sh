#!/usr/bin/env bash
# From nothing to a trained policy and a report, on a CPU: bash scripts/quickstart.sh
# Trains the embedded tiny model with GRPO and with ACRE, evaluates both, and prints what it found.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
install_truealign "train${ALIGN_EXTRAS:+,$ALIGN_EXTRAS}"
exec "$PYTHON" -m scripts.quickstart "$@"
