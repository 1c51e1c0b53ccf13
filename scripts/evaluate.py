r"""Evaluates a policy or a reward model; the same as `align eval`.

    python scripts/evaluate.py --model DIR --baseline OTHER --data questions.jsonl --out outputs/evaluation
    python scripts/evaluate.py --model DIR --data questions.jsonl --suite accuracy best_of_n --num_samples 8 \
        --temperature 1.0 --out outputs/pool
    python scripts/evaluate.py --reward_model DIR --baseline OTHER --data pairs.jsonl --probes --out outputs/rewards
    python scripts/evaluate.py --reward_model DIR --data allenai/reward-bench --split filtered --out outputs/rewards
    python scripts/evaluate.py --reward_model DIR --best_of_n candidates.jsonl --out outputs/rewards

A policy leaves `evaluation.json`, every answer (`items.parquet`) and `report.html`; a reward model `evaluation.json`,
the margin of every pair (`pairs.jsonl`) and what was chosen (`best_of_n.jsonl`). `--help` lists the
suites, and `any --help` all options.
"""

import os
import sys

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from align.cli.app import app


def main(argv: list[str] | None = None) -> int:
    """Evaluates; an error that the user can mend becomes one sentence and exit code 1."""
    words = sys.argv[1:] if argv is None else argv
    return int(app(["eval", *words], prog_name="evaluate.py", standalone_mode=False) or 0)


if __name__ == "__main__":
    sys.exit(main())
