"""Builds the lab of `recipes/rrpo/quickstart.yaml`: a tiny warm-started policy and pairs that differ in two facts.

    python -m scripts.labs.rrpo.make --out recipes/rrpo/assets/lab

The people, their facts and the policy are those of `lab.py` with seed 0 (`world.py`): the policy says a
wrong city or job about half of the time. Training pairs ask three questions about everyone, evaluation pairs a fourth.
Half a minute on one core; the same seed gives the same data everywhere and the same weights on the same machine.
"""

from pathlib import Path
from typing import Any

import torch

from scripts.harness import Options, write_rows
from scripts.labs.rrpo.world import (
    held_out_pairs,
    make_row,
    make_rows,
    make_tokenizer,
    make_world,
    warm_start,
)
from scripts.labs.tiny_models import save

PAIRS_PER_NAME = 16  # of 20 names, as in lab.py


def write_numbered(file: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows with an id made of the file's name and their number."""
    write_rows(file, [{"id": f"{file.stem}-{number:03d}"} | row for number, row in enumerate(rows)])


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the warm-started policy."""
    parser = Options(__doc__)
    parser.add_out("recipes/rrpo/assets/lab")
    arguments = parser.parse_args(argv)
    world = make_world(arguments.seed)
    write_numbered(arguments.out / "train.jsonl", make_rows(world, PAIRS_PER_NAME, arguments.seed))
    held_out = [make_row(*pair) for pair in held_out_pairs(world, arguments.seed)]
    write_numbered(arguments.out / "eval.jsonl", held_out)
    if arguments.data_only:
        return
    torch.set_num_threads(1)  # the order of sums stays fixed
    tokenizer = make_tokenizer()
    save(warm_start(world, tokenizer, arguments.seed), tokenizer, arguments.out / "model")


if __name__ == "__main__":
    main()
