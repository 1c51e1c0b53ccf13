"""Makes pairs for a reward model of the facts pairs: some with an order, as many ties under an irrelevant question.

    python -m scripts.labs.facts.reward_pairs --out recipes/crome/assets/facts

A tie is a pair under the question of a pair of another kind, say two currencies for an atomic number.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.harness import Options, write_rows

NUM_PAIRS = 320
Row = dict[str, Any]


def make_rows(pairs: Sequence[Row], count: int, rng: random.Random) -> list[Row]:
    """Draws pairs and makes a preference and a tie of each, in random order."""
    rows = []
    for pair in rng.sample(pairs, count):
        other = rng.choice([other for other in pairs if other["group"] != pair["group"]])
        for name, prompt, source in (
            (pair["id"], pair["prompt"], "preference"),
            (f"{pair['id']}/irrelevant_query", other["prompt"], "irrelevant_query"),
        ):
            row = {"id": name, "prompt": prompt, "chosen": pair["chosen"], "rejected": pair["rejected"]}
            rows.append(row | {"tie": source != "preference", "source": source, "attribute": "", "origin": pair["id"]})
    rng.shuffle(rows)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Writes the training pairs; the recipe is evaluated on the facts pairs as they are."""
    parser = Options(__doc__)
    parser.add_argument("--pairs", type=Path, default=Path("recipes/rrpo/assets/facts/train.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("recipes/crome/assets/facts"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    pairs = [json.loads(line) for line in arguments.pairs.read_text(encoding="utf-8").splitlines()]
    rows = make_rows(pairs, NUM_PAIRS, random.Random(arguments.seed))
    size = write_rows(arguments.out / "train.jsonl", rows, ensure_ascii=False)
    print(f"{len(rows)} rows, {size // 1024} KiB")


if __name__ == "__main__":
    main()
