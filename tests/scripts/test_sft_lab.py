"""The rows of the SFT quickstart are what their script makes."""

import json
from pathlib import Path

from loaded_script import load_script

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_rows_are_those_of_the_script(tmp_path):
    load_script("labs.sft.make").main(["--out", str(tmp_path)])
    for name in ("train", "eval"):
        assert (tmp_path / f"{name}.jsonl").read_text() == (ROOT / f"recipes/sft/assets/lab/{name}.jsonl").read_text()
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert 0.1 < sum(not row["correct"] for row in rows) / len(rows) < 0.3
