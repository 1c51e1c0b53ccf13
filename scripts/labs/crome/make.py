"""Builds the lab of Crome: a tiny language model, preference pairs, what the rules make of them, and evaluation pairs.

    python -m scripts.labs.crome.make --out recipes/crome/assets/lab

The world is that of `world.py`. In `train.jsonl` the better answer is the decorated one in 85 % of the pairs;
`augmented.jsonl` adds upgrades, downgrades and as many irrelevant-query ties as there are pairs; `eval.jsonl` has, for
each question, pairs whose decoration speaks for the worse answer, for the better one, and for none.

The model (2 layers of width 64, one token per word) has read questions with answers and no labels. Half of them are
decorated, whatever they say; who wrote them was more precise about what a question asks for first. Three minutes on
one core; the same seed gives the same data everywhere and the same weights on the same machine.
"""

import random
import re
from collections.abc import Iterator
from itertools import count, islice

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.harness import Options, write_rows
from scripts.labs.crome.pairs import Row, causal_rows, evaluation_rows, neutral_rows, preference_rows
from scripts.labs.crome.world import (
    CLOSINGS,
    OPENERS,
    PRECISE,
    QUESTIONS,
    SENTENCES,
    TOPIC_OF,
    TOPICS,
    VAGUE,
    Rules,
    draw_answer,
    draw_question,
    draw_style,
)
from scripts.labs.tiny_models import make_model, save, teach, whole_texts, words_tokenizer

NUM_TRAIN, NUM_EVAL = 500, 150
WORD = r"\w+|[^\w\s]|\n"
DECORATED_RATE = 0.5
BATCH_SIZE, STEPS, LEARNING_RATE = 64, 3000, 6e-3
DRAW = 2  # of initial weights; from most draws a model of 1,000 steps does not learn to read what matters more


def make_data(seed: int) -> dict[str, list[Row]]:
    """Makes the rows of every file."""
    train = preference_rows(f"recipe {seed}", NUM_TRAIN)
    causal = causal_rows(train, Rules())
    ties = neutral_rows(train, train, NUM_TRAIN, random.Random(f"ties of recipe {seed}"))
    augmented = [{"attribute": "", "origin": row["id"]} | row for row in train] + causal + ties
    random.Random(seed).shuffle(augmented)
    return {"train": train, "augmented": augmented, "eval": evaluation_rows(f"recipe {seed}", NUM_EVAL)}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per word, sign and line break of the world; spaces are not tokens."""
    texts = [*TOPICS, *TOPIC_OF, *PRECISE, *VAGUE, *QUESTIONS, *SENTENCES, *OPENERS, *CLOSINGS, "\n", "-", "!", "."]
    words = sorted({word for text in texts for word in re.findall(WORD, re.sub(r"\{\w*\}", "", text))})
    return words_tokenizer(words, WORD)


def read_texts(rng: random.Random) -> Iterator[str]:
    """Yields questions with answers."""
    while True:
        question = draw_question(rng)
        answer = draw_answer(question, rng, careful=True)
        if rng.random() < DECORATED_RATE:
            answer = answer._replace(style=draw_style(rng))
        yield f"{question}\n{answer.text}<eos>"


def pretrain(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: random.Random, steps: int) -> None:
    """Teaches the model the language of the world and prints the loss."""
    texts = read_texts(rng)
    batches = (whole_texts(tokenizer, list(islice(texts, BATCH_SIZE))) for _ in count())
    teach(model, batches, steps, LEARNING_RATE, told="")


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the model."""
    parser = Options(__doc__)
    parser.add_out("recipes/crome/assets/lab")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the model")
    arguments = parser.parse_args(argv)
    for name, rows in make_data(arguments.seed).items():
        write_rows(arguments.out / f"{name}.jsonl", rows)
    if arguments.data_only:
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    tokenizer = make_tokenizer()
    *_, model = (make_model(tokenizer, initializer_range=0.05) for _ in range(DRAW))
    pretrain(model, tokenizer, random.Random(f"texts {arguments.seed}"), arguments.steps)
    save(model, tokenizer, arguments.out / "model")


if __name__ == "__main__":
    main()
