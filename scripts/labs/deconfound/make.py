"""Builds the lab of DeconfoundLM: a table of headlines with clicks, headlines whose worth is known, a tiny model.

    python -m scripts.labs.deconfound.make --out recipes/deconfound/assets/lab

The world is that of `world.py`, by default in the regime `unobserved`: hot words are worth something and
go with popularity, popularity moves clicks by 2.5 per unit, and an unobserved cause moves both. `train.csv` and
`eval.csv` have `prompt`, `headline`, `clicks`, `popularity` (the confounder), `shock` (the instrument) and `author`;
`worth.csv` has headlines that nobody clicked on, with their true worth; `prompts.jsonl` has prompts for a policy.

The model (2 layers of width 64, one token per word) has read headlines of the language and no clicks. One minute on
one core; the same seed gives the same data everywhere and the same weights on the same machine.
"""

import csv
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.harness import Options, write_rows
from scripts.labs.deconfound.world import REGIMES, World, draw_world
from scripts.labs.tiny_models import make_model, save, teach, whole_texts, words_tokenizer

NUM_TRAIN, NUM_EVAL, NUM_WORTH, NUM_PROMPTS = 4000, 1000, 1000, 64
REGIME, PROMPT = "unobserved", "Headline:\n"
COLUMNS = ("prompt", "headline", "clicks", "popularity", "shock", "author")
WORD = r"[A-Za-z]+|[^A-Za-z ]"
EXTRA = ["Headline", ":", "\n", "popularity", *"+-.0123456789"]  # the last ones for `estimator: input`
BATCH_SIZE, STEPS, LEARNING_RATE = 64, 400, 5e-3


def table_rows(world: World, rows: slice) -> list[tuple[Any, ...]]:
    """Makes rows of a table."""
    columns = (world.text, world.outcome, world.popularity, world.shock)
    found = zip(*(column[rows] for column in columns), world.author[rows], strict=True)
    return [(PROMPT, text, *(f"{x:.5f}" for x in numbers), f"a{author}") for text, *numbers, author in found]


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per word, sign and line break of the world; spaces are not tokens."""
    words = sorted({word for text in texts for word in text.split()})
    return words_tokenizer([*EXTRA, *words], WORD, model_max_length=64)


def pretrain(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, headlines: Sequence[str], seed: int, steps: int
) -> None:
    """Teaches the model to write headlines and prints the loss."""
    rng = np.random.default_rng(seed)

    def draw() -> list[str]:
        return [f"{PROMPT}{headlines[place]}<eos>" for place in rng.integers(len(headlines), size=BATCH_SIZE)]

    batches = (whole_texts(tokenizer, draw()) for _ in count())
    teach(model, batches, steps, LEARNING_RATE, told="")


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table."""
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the model."""
    parser = Options(__doc__)
    parser.add_out("recipes/deconfound/assets/lab")
    parser.add_argument("--regime", choices=REGIMES, default=REGIME)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the model")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    world = draw_world(REGIMES[arguments.regime], NUM_TRAIN + NUM_EVAL, arguments.seed)
    for name, rows in (("train", slice(NUM_TRAIN)), ("eval", slice(NUM_TRAIN, None))):
        write_csv(arguments.out / f"{name}.csv", COLUMNS, table_rows(world, rows))
    known = zip(world.new_text[:NUM_WORTH], world.new_worth[:NUM_WORTH], strict=True)
    write_csv(arguments.out / "worth.csv", ("headline", "worth"), ((text, f"{worth:.5f}") for text, worth in known))
    prompts = ({"id": f"p{number}", "prompt": PROMPT} for number in range(NUM_PROMPTS))
    write_rows(arguments.out / "prompts.jsonl", prompts)
    if arguments.data_only:
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    tokenizer = make_tokenizer([*world.text, *world.new_text])
    model = make_model(tokenizer, max_position_embeddings=64, initializer_range=0.05)
    pretrain(model, tokenizer, world.new_text, arguments.seed, arguments.steps)
    save(model, tokenizer, arguments.out / "model")


if __name__ == "__main__":
    main()
