"""Builds the lab: a tiny warm-started policy and multiple-choice questions with a planted position shortcut.

    python -m scripts.labs.acre.make --out recipes/acre/assets/lab

A question such as `02130[3]` asks for the digit at index 3 of a string; the options are the four digits in some order.
For 60 % of the questions (group `readable`) the key is that digit. For the others (group `arbitrary`) it was drawn at
random, and nothing in the text says which is which, so that reasoning is right on 70 % of all questions at best. In
`train.jsonl` the key stands at A in 75 % of the questions, in `eval.jsonl` and `probe.jsonl` in 25 %.

A policy (2 layers of width 64, one token per character) reads the digit into its trace and answers with the letter
beside it, except that some of the letters it learnt from were random: exploration for RL. It is taught to look up a
given digit's letter first, then the task; evaluation strings are never shown to it. There are two:

    model       reads every digit; 15 % of the letters it learnt from were random
    misreader   where the index is 1, 2 or 3, 70 % of what it learnt from named the digit behind the right one: it can
                learn to read; half of the letters were random

Two minutes on one core; the same seed gives the same data everywhere and the same weights on the same machine.

    python -m scripts.labs.acre.make --decoupled 0.6 --out outputs/lab-decoupled

makes another lab without a position shortcut: every question is readable and the right letters are balanced, but in
60 % of what the policy learnt from, trace and letter are drawn apart: half a right trace with a random letter, half a
random trace with the right letter.
"""

import itertools
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from rewards.reading.options import LETTERS, render_options
from scripts.harness import Options, write_rows
from scripts.labs.tiny_models import IGNORED, Batch, Stage, make_model, make_tokenizer, save, teach

DIGITS = "0123"
LENGTH = 5
NUM_TRAIN, NUM_EVAL, NUM_PROBE = 3200, 1000, 100  # 200 steps of 16 questions
ARBITRARY_SHARE = 0.4
SHARE_OF_A = {"train": 0.75, "eval": 0.25}
MISREAD_INDICES = "123"
BATCH_SIZE = 128


class Reader(NamedTuple):
    """What a policy learns from: the shares of misread digits, where some are misread, and of random letters."""

    misread: float
    random_letters: float


READERS = {"model": Reader(0.0, 0.15), "misreader": Reader(0.7, 0.5)}


STAGES = (Stage("lookup", 600, 4e-3), Stage("task", 500, 4e-3))


def split_texts(rng: random.Random) -> tuple[list[str], list[str], list[str]]:
    """Draws the question texts of the files `train`, `eval` and `probe`, without overlap."""
    strings = ("".join(digits) for digits in itertools.product(DIGITS, repeat=LENGTH))
    texts = [f"{string}[{index}]" for string in strings for index in range(LENGTH)]
    rng.shuffle(texts)
    return texts[NUM_EVAL : NUM_EVAL + NUM_TRAIN], texts[:NUM_EVAL], texts[-NUM_PROBE:]


def read_digit(text: str) -> str:
    """Returns the digit that a question asks for.

    Example:
        >>> read_digit("02130[3]")
        '3'
    """
    return text[int(text[-2])]


def make_questions(
    name: str, texts: list[str], rng: random.Random, arbitrary_share: float, share_of_a: float
) -> list[dict[str, Any]]:
    """Makes one row per text; in both groups exactly the share of keys that is asked for stands at A."""
    num_arbitrary = round(arbitrary_share * len(texts))
    rows = []
    for group, members in (("arbitrary", texts[:num_arbitrary]), ("readable", texts[num_arbitrary:])):
        num_a = round(share_of_a * len(members))
        letters = ["A"] * num_a + list(itertools.islice(itertools.cycle("BCD"), len(members) - num_a))
        for text, letter in zip(members, letters, strict=True):
            key = read_digit(text) if group == "readable" else rng.choice(DIGITS)
            options = rng.sample([digit for digit in DIGITS if digit != key], len(DIGITS) - 1)
            options.insert(LETTERS.index(letter), key)
            rows.append({"question": text, "options": options, "answer": letter, "group": group})
    rng.shuffle(rows)
    return [{"id": f"lab-{name}-{number:04d}"} | row for number, row in enumerate(rows)]


def demonstrations(
    stage: str, texts: list[str], rng: random.Random, reader: Reader = READERS["model"], decoupled: float = 0.0
) -> Iterator[tuple[str, str, bool]]:
    """Yields prompts, responses, and whether the trace is to be learnt.

    In the stage `lookup` half of the traces name any digit and only the letter beside it is learnt from them.
    """
    while True:
        text, options = rng.choice(texts), rng.sample(DIGITS, len(DIGITS))
        any_digit = stage == "lookup" and rng.random() < 0.5
        digit = rng.choice(DIGITS) if any_digit else read_digit(text)
        if stage == "task" and reader.misread and text[-2] in MISREAD_INDICES and rng.random() < reader.misread:
            digit = text[int(text[-2]) + 1]
        letter = LETTERS[options.index(digit)]
        if stage == "task" and decoupled and rng.random() < decoupled / 2:
            digit = rng.choice(DIGITS)
        elif stage == "task" and rng.random() < (decoupled / (2 - decoupled) or reader.random_letters):
            letter = rng.choice(LETTERS[: len(options)])
        response = f"<think>{digit}</think><answer>{letter}</answer>"
        yield f"{text}\n{render_options(options)}", response, not any_digit


def make_batch(tokenizer: PreTrainedTokenizerFast, rows: list[tuple[str, str, bool]]) -> Batch:
    """Tokenises demonstrations, all of which have the same length."""
    texts = [prompt + response + tokenizer.eos_token for prompt, response, _ in rows]
    ids = tokenizer(texts, return_tensors="pt")["input_ids"]
    labels = ids.clone()
    start = len(tokenizer(rows[0][0])["input_ids"])
    labels[:, :start] = IGNORED
    labels[[not learn_trace for _, _, learn_trace in rows], start + 1] = IGNORED  # the digit behind <think>
    return ids, None, labels


def warm_start(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    rng: random.Random,
    reader: Reader,
    decoupled: float,
) -> None:
    """Teaches the policy both stages and prints the loss."""
    for stage in STAGES:
        stream = demonstrations(stage.name, texts, rng, reader, decoupled)
        batches = (make_batch(tokenizer, list(itertools.islice(stream, BATCH_SIZE))) for _ in itertools.count())
        teach(model, batches, stage.steps, stage.learning_rate, told=f"{stage.name} ")


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the warm-started policies."""
    parser = Options(__doc__)
    parser.add_out("recipes/acre/assets/lab", "the models as they are")
    parser.add_argument("--decoupled", type=float, default=0.0, help="share of demonstrations drawn apart")
    arguments = parser.parse_args(argv)
    rng = random.Random(arguments.seed)
    train_texts, eval_texts, probe_texts = split_texts(rng)
    for name, texts in (("train", train_texts), ("eval", eval_texts)):
        shares = (0.0, 0.25) if arguments.decoupled else (ARBITRARY_SHARE, SHARE_OF_A[name])
        write_rows(arguments.out / f"{name}.jsonl", make_questions(name, texts, rng, *shares))
    probe = make_questions("probe", probe_texts, random.Random(arguments.seed), shares[0], 0.25)
    write_rows(arguments.out / "probe.jsonl", probe)
    if arguments.data_only:
        return
    torch.set_num_threads(1)  # the models are too small to share out, and the order of sums stays fixed
    tokenizer = make_tokenizer()
    drawn = rng.getstate()
    for name, reader in READERS.items():
        if arguments.decoupled and name != "model":
            continue
        rng.setstate(drawn)
        torch.manual_seed(arguments.seed)
        model = make_model(tokenizer)
        warm_start(model, tokenizer, train_texts, rng, reader, arguments.decoupled)
        save(model, tokenizer, arguments.out / name)


if __name__ == "__main__":
    main()
