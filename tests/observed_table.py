"""A small table of headlines with clicks: words are worth something, and popularity moves clicks by 2 per unit."""

import csv
import json
from pathlib import Path

import numpy as np
import yaml
from some_recipes import OUTCOMES

WORDS = ("cat", "dog", "sun", "war", "tax", "sea", "art", "ice")
WORTH = np.linspace(-1.0, 1.0, len(WORDS))
EFFECT = 2.0
UPWORTHY = {
    "created_at": "2014-11-20 06:43:16.005", "clickability_test_id": "546d88fb", "excerpt": "Things", "slug": "x",
    "headline": "They Thought It Was Over", "lede": "<p>So</p>", "impressions": 3052, "clicks": 150, "winner": True,
}  # fmt: skip


def observed_rows(count: int = 300, seed: int = 0) -> list[dict]:
    """Makes rows whose popularity goes with the worth of the text, with an unobserved cause, and with the shock."""
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(WORDS), size=(count, 3))
    worth, shock, cause = WORTH[picked].sum(axis=1), rng.normal(size=count), rng.normal(size=count)
    popularity = 0.5 * worth + shock + 0.5 * cause
    clicks = worth + EFFECT * popularity + 0.5 * cause + 0.3 * rng.normal(size=count)
    return [
        {
            "headline": " ".join(WORDS[word] for word in picked[row]),
            "clicks": float(clicks[row]),
            "popularity": float(popularity[row]),
            "hour": int(rng.integers(24)),
            "shock": float(shock[row]),
            "author": f"a{row // 6}",
            "topic": f"q{row % 12}?",
        }
        for row in range(count)
    ]


def columns_of(rows: list[dict]) -> dict[str, list]:
    """Turns rows into columns."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def write_table(path: Path, rows: list[dict]) -> Path:
    """Writes rows as CSV, JSONL or Parquet, as the name says; None is missing."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_outcome_recipe(folder: Path, model: Path, **changes) -> Path:
    """Writes tables and a recipe that trains a model of outcomes in seconds; keywords change keys."""
    write_table(folder / "train.csv", observed_rows(240))
    write_table(folder / "eval.csv", observed_rows(60, seed=1))
    dataset = {
        "path": "./train.csv", "text": "headline", "outcome": "clicks", "confounders": ["popularity"],
        "instruments": ["shock"], "groups": "author", "prompt": "topic",
    }  # fmt: skip
    content = {
        "method": OUTCOMES,
        "model_name_or_path": str(model),
        "dataset": dataset | changes.pop("dataset", {}),
        "per_device_train_batch_size": 8,
        "max_length": 64,
        "max_steps": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_steps": 2,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "output_dir": "./run",
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False), encoding="utf-8")
    return path
