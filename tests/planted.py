"""Data sets with faults and cues in them, whose number is known."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

WORDS = [
    f"{a}{b}"
    for a in ("ba", "co", "di", "fu", "ge", "ho", "ki", "lo", "mu", "ne")
    for b in ("ran", "sel", "tim", "vor", "wex", "zun")
]


def sentence(draw: random.Random, least: int = 8, most: int = 24) -> str:
    """Draws words; how often each comes up falls with its place in the list."""
    weights = [1 / (1 + place) for place in range(len(WORDS))]
    return " ".join(draw.choices(WORDS, weights, k=draw.randint(least, most)))


def clean_pairs(num: int, seed: int) -> list[dict[str, Any]]:
    """Draws pairs in which nothing goes with chosen."""
    draw = random.Random(f"pairs {seed}")
    return [
        {"id": f"p{i}", "prompt": f"question {seed} {i}", "chosen": sentence(draw), "rejected": sentence(draw)}
        for i in range(num)
    ]


def with_cue(
    pairs: Sequence[Mapping[str, Any]], chosen: float, rejected: float, seed: int, phrase: str = "to be sure"
) -> list[dict[str, Any]]:
    """Puts a phrase into the middle of this share of the sides."""
    draw = random.Random(f"cue {seed}")

    def put(text: str, share: float) -> str:
        words = text.split()
        place = draw.randint(2, len(words) - 2)
        return " ".join([*words[:place], phrase, *words[place:]]) if draw.random() < share else text

    return [
        dict(row) | {"chosen": put(row["chosen"], chosen), "rejected": put(row["rejected"], rejected)} for row in pairs
    ]


def rotten_pairs(*, seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Makes 490 pairs with 60 duplicates, 30 contradictions and 40 of 80 evaluation pairs among them."""
    originals = clean_pairs(400, seed)
    again = [row | {"id": f"again-{row['id']}"} for row in originals[:60]]
    swapped = [
        row | {"id": f"swapped-{row['id']}", "chosen": row["rejected"], "rejected": row["chosen"]}
        for row in originals[100:130]
    ]
    rows = [*originals, *again, *swapped]
    random.Random(seed).shuffle(rows)
    held_out = [row | {"id": f"eval-{row['id']}"} for row in originals[200:240]]
    return rows, [*held_out, *clean_pairs(40, seed + 1_000)]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads them again."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
