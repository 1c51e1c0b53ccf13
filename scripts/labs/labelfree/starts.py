"""Start policies of the lab without labels: what each learnt of letters and of traces, and the questions it is asked.

All are taught by the demonstrations of `scripts.labs.acre.make`, of which this changes three things: which wrong digit
a trace names, which letter stands behind it, and, where traces name no option, the word for the digit. Then a trace is
`<think>x</think>`, options are digits, and `w`, `x`, `y` and `z` stand for 0, 1, 2 and 3.
"""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM

from scripts.harness import write_rows
from scripts.labs.acre.make import (
    ARBITRARY_SHARE,
    BATCH_SIZE,
    DIGITS,
    MISREAD_INDICES,
    SHARE_OF_A,
    STAGES,
    Reader,
    demonstrations,
    make_batch,
    make_questions,
    read_digit,
    split_texts,
)
from scripts.labs.tiny_models import make_model, make_tokenizer, save, teach

CODES = str.maketrans(DIGITS, "wxyz")  # what a trace says for a digit, where traces name no option
TRACE = len("<think>")  # where it stands in a response
LOOKUP_STEPS, TASK_STEPS = 400, 300
ARBITRARY = {"quickstart": ARBITRARY_SHARE, "clean": 0.0}


class Start(NamedTuple):
    """What a policy learnt from, and of which world."""

    regime: str
    world: str = "clean"
    coded: bool = False  # whether traces name no option
    misread: float = 0.0  # share of wrong traces where the index is 1, 2 or 3
    scattered: bool = False  # whether they name any wrong digit, rather than the next one
    random_letters: float = 0.0
    bias: float = 0.0  # share of letters A
    unsure_bias: float | None = None  # the same where traces are misread
    content: float = 0.0  # share of letters beside the digit 0


STARTS = {
    "strong": Start("biased", "quickstart", misread=0.25, bias=0.6),
    "where unsure": Start("biased", misread=0.45, scattered=True, bias=0.15, unsure_bias=0.55),
    "weak traces": Start("biased", misread=0.7, bias=0.45),
    "misreader": Start("unbiased", "quickstart", misread=0.7, random_letters=0.5),
    "scattered": Start("unbiased", misread=0.6, scattered=True, random_letters=0.3),
    "coded, strong": Start("names none", coded=True, misread=0.25, bias=0.6),
    "coded, where unsure": Start("names none", coded=True, misread=0.45, scattered=True, bias=0.15, unsure_bias=0.55),
    "coded, no bias": Start("names none", coded=True, misread=0.6, scattered=True, random_letters=0.3),
    "content": Start("planted", misread=0.25, content=0.6),
    "all A": Start("planted", misread=0.25, bias=0.97),
}


def questions(world: str) -> dict[str, list[dict[str, Any]]]:
    """Makes the questions of a world: right options at A in 75 % of those to train on, in 25 % of others."""
    rng = random.Random(0)
    train, held_out, _ = split_texts(rng)
    texts = {"train": train, "eval": held_out}
    return {name: make_questions(name, texts[name], rng, ARBITRARY[world], SHARE_OF_A[name]) for name in texts}


def taught(start: Start, stage: str, texts: list[str], rng: random.Random) -> Iterator[tuple[str, str, bool]]:
    """Yields what a policy learns from, in the form of `demonstrations`."""
    for prompt, response, learn_trace in demonstrations(stage, texts, rng, Reader(start.misread, 0.0)):
        text, *shown = prompt.splitlines()
        letters = {option[-1]: option[0] for option in shown}
        digit, right = response[TRACE], read_digit(text)
        if stage == "task" and start.scattered and digit != right:
            digit = rng.choice([each for each in DIGITS if each != right])
        letter = letters[digit] if stage == "lookup" else _letter(start, text, digit, letters, rng)
        said = digit.translate(CODES) if start.coded else digit
        yield prompt, f"<think>{said}</think><answer>{letter}</answer>", learn_trace


def _letter(start: Start, text: str, digit: str, letters: dict[str, str], rng: random.Random) -> str:
    unsure = start.unsure_bias is not None and text[-2] in MISREAD_INDICES
    if rng.random() < (start.unsure_bias if unsure and start.unsure_bias is not None else start.bias):
        return "A"
    if rng.random() < start.content:
        return letters["0"]
    return rng.choice([*letters.values()]) if rng.random() < start.random_letters else letters[digit]


def start_policy(name: str, folder: Path) -> Path:
    """Makes a start policy and writes its questions, unless the folder has them; returns where they are."""
    start, path = STARTS[name], folder / name.replace(", ", "-").replace(" ", "-")
    if (path / "tokenizer.json").is_file():
        return path
    for part, rows in questions(start.world).items():
        write_rows(path / f"{part}.jsonl", rows)
    looks_up = folder / f"lookup-{start.coded}"
    if not (looks_up / "tokenizer.json").is_file():
        torch.manual_seed(0)
        _teach(make_model(make_tokenizer()), Start("", coded=start.coded), "lookup", LOOKUP_STEPS, looks_up)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(looks_up, dtype=torch.float32)
    _teach(model, start, "task", TASK_STEPS, path)
    return path


def _teach(model: Any, start: Start, stage: str, steps: int, path: Path) -> None:
    rng, tokenizer = random.Random(f"start {path.name}"), make_tokenizer()
    stream = taught(start, stage, split_texts(random.Random(0))[0], rng)
    batches = (make_batch(tokenizer, list(itertools.islice(stream, BATCH_SIZE))) for _ in itertools.count())
    teach(model, batches, steps, STAGES[0].learning_rate, told=f"{path.name}, {stage} ")
    save(model, tokenizer, path)
