"""Run folders of a run that learns from pairs, filled with plausible numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from some_recipes import PAIRS
from written_run import VERSIONS

RECIPE = (
    f"method: {PAIRS}\n"
    + """\
model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
dataset:
  path: data/facts_pairs.jsonl
beta: {beta}
kl_coef: {kl_coef}
spans: {spans}
diff_unit: word
on_missing_spans: drop
max_length: 512
max_steps: 200
per_device_train_batch_size: 8
gradient_accumulation_steps: 2
learning_rate: 5.0e-6
seed: 3
"""
)
FACTS = (
    ("What is the chemical symbol of tungsten?", "The chemical symbol of tungsten is {}, from wolfram.", "W", "Tu"),
    ("Who wrote Middlemarch?", "Middlemarch was written by {} in 1871.", "George Eliot", "Jane Austen"),
    ("Which is the longest river of France?", "The longest one is the {}, at 1,000 km.", "Loire", "Rhône"),
    ("What does HTTP 404 mean?", "The server {}; 4xx is an <error> of the client.", "cannot find it", "is down"),
)  # fmt: skip


def pair_lines(steps: int, seed: int = 0, kl: float = 1.0, **fixed: float) -> list[dict[str, float]]:
    """Draws one line per step of a healthy run; `fixed` overrides a metric throughout."""
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(1, steps + 1):
        learnt = 1 - np.exp(-8 * step / steps)
        chosen, rejected = 1.6 * learnt + rng.normal(0, 0.15), -3.4 * learnt + rng.normal(0, 0.2)
        summed = kl * (0.9 * learnt + abs(rng.normal(0, 0.05)))
        line = {
            "step": step,
            "loss": float(np.log1p(np.exp(-0.5 * (chosen - rejected)))) + 0.01 * summed,
            "grad_norm": 3.0 * (1.1 - learnt) + rng.exponential(0.3),
            "learning_rate": 5e-6 * (1 - step / steps),
            "rewards/chosen": 0.5 * chosen,
            "rewards/rejected": 0.5 * rejected,
            "rewards/accuracies": float(np.clip(0.5 + 0.44 * learnt + rng.normal(0, 0.04), 0, 1)),
            "rewards/margins": 0.5 * (chosen - rejected),
            "logps/chosen": -40 + chosen,
            f"{PAIRS}/kl_chosen": summed,
            f"{PAIRS}/kl_chosen_per_token": summed / 18,
            f"{PAIRS}/logp_change_chosen": chosen,
            f"{PAIRS}/logp_change_rejected": rejected,
            f"{PAIRS}/logp_change_shared": -kl * (0.3 * learnt + rng.normal(0, 0.05)),
            f"{PAIRS}/marked_share": 0.14 + rng.normal(0, 0.01),
        }
        lines.append(line | fixed)
    return lines


def pair_rows(count: int = 40) -> list[dict[str, object]]:
    """Makes rows as `pairs.parquet` holds them."""
    rows = []
    for number in range(count):
        question, sentence, right, wrong = FACTS[number % len(FACTS)]
        start = sentence.index("{}")
        rows.append(
            {
                "id": f"fact-{number:03d}",
                "prompt": f"system: Answer in one sentence.\n\nuser: {question}",
                "chosen": sentence.format(right),
                "rejected": sentence.format(wrong),
                "chosen_spans": [[start, start + len(right)]],
                "rejected_spans": [[start, start + len(wrong)]],
                "spans_from": ("diff", "offsets", "tags")[number % 3],
                "marked_share": None,
            }
        )
    return rows


def write_pairs_run(
    folder: Path,
    *,
    steps: int = 200,
    seed: int = 0,
    kl: float = 1.0,
    spans: str = "differing",
    rows: list[dict[str, object]] | None = None,
    **fixed: float,
) -> Path:
    """Writes the run folder of a policy."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(beta=0.5, kl_coef=0.01, spans=spans))
    (folder / "versions.json").write_text(json.dumps(VERSIONS))
    lines = pair_lines(steps, seed, kl, **fixed)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = pair_rows() if rows is None else rows
    if spans == "whole":
        rows = [row | {f"{side}_spans": [[0, len(str(row[side]))]] for side in ("chosen", "rejected")} for row in rows]
    pd.DataFrame(rows).to_parquet(folder / "pairs.parquet")
    return folder
