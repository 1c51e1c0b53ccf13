"""Builds the demonstrations of the SFT quickstart from the questions of the ACRE lab.

    python -m scripts.labs.sft.make --out recipes/sft/assets/lab

Each row asks for the digit at a place of a string and shows a trace and an answer, in the form that the lab's model
writes. A fifth of the training rows has a random wrong letter behind a right trace, and says so: `correct: false`.
The strings of `eval.jsonl` are those on which the lab evaluates. A second on one core; the same seed gives the same
rows everywhere.
"""

import random
from pathlib import Path
from typing import Any

from rewards.reading.options import LETTERS, render_options
from scripts.harness import Options, write_rows
from scripts.labs.acre.make import DIGITS, read_digit, split_texts

NUM_TRAIN, NUM_EVAL = 320, 100
WRONG_SHARE = 0.2


def make_rows(name: str, texts: list[str], rng: random.Random, wrong_share: float) -> list[dict[str, Any]]:
    """Makes one demonstration for each question text."""
    rows = []
    for number, text in enumerate(texts):
        options = rng.sample(DIGITS, len(DIGITS))
        right = LETTERS[options.index(read_digit(text))]
        is_correct = rng.random() >= wrong_share
        letter = right if is_correct else rng.choice([each for each in LETTERS[: len(options)] if each != right])
        rows.append(
            {
                "id": f"sft-{name}-{number:03d}",
                "prompt": f"{text}\n{render_options(options)}",
                "completion": f"<think>{read_digit(text)}</think><answer>{letter}</answer>",
                "correct": is_correct,
            }
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    """Writes both files."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("recipes/sft/assets/lab"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = random.Random(arguments.seed)
    train_texts, eval_texts, _ = split_texts(random.Random(0))  # as the lab's own files
    for name, texts, share in (
        ("train", train_texts[:NUM_TRAIN], WRONG_SHARE),
        ("eval", eval_texts[:NUM_EVAL], 0.0),
    ):
        write_rows(arguments.out / f"{name}.jsonl", make_rows(name, texts, rng, share))


if __name__ == "__main__":
    main()
