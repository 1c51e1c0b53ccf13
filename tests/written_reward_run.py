"""Run folders of a run that trains a reward model, filled with plausible numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from some_recipes import REWARD_PAIRS
from written_run import VERSIONS

RECIPE = (
    f"method: {REWARD_PAIRS}\n"
    + """\
model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
dataset:
  path: data/rated.jsonl
tie_coef: {tie_coef}
model_type: {model_type}
max_length: 1024
num_train_epochs: 1
per_device_train_batch_size: 8
gradient_accumulation_steps: 4
learning_rate: 1.0e-6
seed: 3
"""
)
SOURCES = {"preference": (0.72, 1.1), "upgrade": (0.93, 1.9), "degrade": (0.95, 2.3)}  # accuracy and margin at the end
QUESTION = "Why is the sky blue?"
ANSWERS = {
    "preference": ("Air scatters <blue> light most.", "It mirrors the sea."),
    "upgrade": ("Air scatters blue light most, as 1/wavelength^4.", "Air scatters blue light most."),
    "degrade": ("Air scatters blue light most.", "Air likes blue light most."),
    "irrelevant_query": ("Rinse the rice first.", "Just boil it."),
}


def reward_lines(steps: int, seed: int = 0, tie_margin: float = 0.3, **fixed: float) -> list[dict[str, float]]:
    """Draws one line per step of a healthy run; `fixed` overrides a metric throughout."""
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(1, steps + 1):
        learnt = 1 - np.exp(-6 * step / steps)
        accuracy = {name: 0.5 + (end - 0.5) * learnt + rng.normal(0, 0.02) for name, (end, _) in SOURCES.items()}
        margin = {name: end * learnt + rng.normal(0, 0.05) for name, (_, end) in SOURCES.items()}
        mean = 0.2 + rng.normal(0, 0.05)
        line = {
            "step": step,
            "loss": 0.69 - 0.35 * learnt + rng.normal(0, 0.01),
            "grad_norm": 3.0 * (1.1 - learnt) + rng.exponential(0.3),
            "learning_rate": 1e-6 * (1 - step / steps),
            "accuracy": float(np.mean(list(accuracy.values()))),
            "margin": float(np.mean(list(margin.values()))),
            "min_reward": mean - 0.5 - 2 * learnt,
            "mean_reward": mean,
            "max_reward": mean + 0.5 + 2 * learnt,
            f"{REWARD_PAIRS}/tie_share": 0.25,
            f"{REWARD_PAIRS}/tie_margin": 0.1 + tie_margin * learnt,
        }
        line |= {f"{REWARD_PAIRS}/accuracy_{name}": value for name, value in accuracy.items()}
        line |= {f"{REWARD_PAIRS}/margin_{name}": value for name, value in margin.items()}
        lines.append(line | fixed)
    return lines


def reward_rows() -> list[dict[str, object]]:
    """Makes rows as `pairs.parquet` holds them."""
    rows = []
    for source, (chosen, rejected) in ANSWERS.items():
        common = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), 0)
        is_edit = source in ("upgrade", "degrade")
        rows += [
            {
                "id": f"{source}-{number}",
                "prompt": f"user: {QUESTION}",
                "chosen": chosen,
                "rejected": rejected,
                "chosen_spans": [[common, len(chosen)]] if is_edit else [],
                "rejected_spans": [],
                "spans_from": None,
                "marked_share": None,
                "source": source,
                "attribute": "accuracy" if is_edit else None,
                "tie": source == "irrelevant_query",
            }
            for number in range(10)
        ]
    return rows


def write_reward_run(
    folder: Path,
    *,
    steps: int = 200,
    seed: int = 0,
    tie_margin: float = 0.3,
    tie_coef: float = 1.0,
    model_type: str = "scalar",
    rows: list[dict[str, object]] | None = None,
    **fixed: float,
) -> Path:
    """Writes the run folder of a reward model."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(tie_coef=tie_coef, model_type=model_type))
    (folder / "versions.json").write_text(json.dumps(VERSIONS))
    lines = reward_lines(steps, seed, tie_margin, **fixed)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pd.DataFrame(reward_rows() if rows is None else rows).to_parquet(folder / "pairs.parquet")
    return folder
