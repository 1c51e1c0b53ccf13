"""A recipe that learns from pairs in seconds, with everything it names."""

import json
import random
import shutil
from pathlib import Path

import yaml
from some_recipes import PAIRS, REWARD_PAIRS

SOURCES = ("preference", "upgrade", "degrade", "irrelevant_query")


def fact_pairs(count: int = 12, *, messages: bool = False, seed: int = 0) -> list[dict]:
    """Makes pairs that differ in one number; nothing says where."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        right, wrong = rng.sample(range(10, 99), 2)
        row = {"id": f"p{i}", "prompt": f"q{i}?", "chosen": f"It is {right}, yes.", "rejected": f"It is {wrong}, yes."}
        rows.append(as_messages(row) if messages else row)
    return rows


def as_messages(row: dict) -> dict:
    """Writes a row of texts as one of messages."""
    sides = {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
    return row | sides | {"prompt": [{"role": "user", "content": row["prompt"]}]}


def sourced_pairs(count: int = 12, *, messages: bool = False) -> list[dict]:
    """Makes pairs for a reward model, of four sources in turn; the last one's are ties."""
    rows = fact_pairs(count, messages=messages)
    return [row | {"source": SOURCES[i % 4], "tie": i % 4 == 3} for i, row in enumerate(rows)]


def drop_case(model: Path) -> None:
    """Lets a tokenizer read capital letters as small ones, as some do."""
    file = model / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(tokenizer | {"normalizer": {"type": "Lowercase"}}), encoding="utf-8")


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Writes rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_reward_recipe(folder: Path, model: Path, rows: list[dict] | None = None, **changes) -> Path:
    """Writes model, data and a recipe of a reward model; keywords change keys of the recipe."""
    return write_pair_recipe(folder, model, sourced_pairs() if rows is None else rows, method=REWARD_PAIRS, **changes)


def write_pair_recipe(folder: Path, model: Path, rows: list[dict] | None = None, **changes) -> Path:
    """Writes model, data and a recipe that learns from pairs; keywords change keys of the recipe."""
    write_rows(folder / "train.jsonl", fact_pairs() if rows is None else rows)
    if not (folder / "model").exists():
        shutil.copytree(model, folder / "model")
    content = {
        "method": PAIRS,
        "model_name_or_path": "./model",
        "dataset": {"path": "./train.jsonl"} | changes.pop("dataset", {}),
        "per_device_train_batch_size": 4,
        "max_length": 64,
        "max_steps": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_steps": 2,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "output_dir": "./run",
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False), encoding="utf-8")
    return path
