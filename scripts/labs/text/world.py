"""A world of prompts whose answers are words: a digit to be read from a string, and a cue that names some digit.

A prompt such as `02130[3]~one` asks for the digit at index 3 of a string; the response is
`<think>3</think><answer>three</answer>`. Behind `~` stands a cue: the word of a digit, which may be the right one.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from scripts.labs.acre.make import DIGITS, read_digit

WORDS = ("zero", "one", "two", "three")
CUE = re.compile(r"~\w+")
CUE_RIGHT = {"train": 0.75, "eval": 0.0}  # share of prompts whose cue is right
ARBITRARY_SHARE = 0.4  # of training prompts: the right answer was drawn, and no trace can find it
FOLLOWED, RANDOM = 0.1, 0.1  # shares of demonstrated answers that are the cue's, or any word
WITHOUT_CUE = 0.25  # of demonstrations


def write_prompt(text: str, cue: str | None) -> str:
    r"""Writes a prompt.

    Example:
        >>> write_prompt("02130[3]", "one")
        '02130[3]~one\n'
    """
    return f"{text}~{cue}\n" if cue else f"{text}\n"


def make_rows(name: str, texts: Sequence[str], rng: random.Random) -> list[dict[str, Any]]:
    """Makes one prompt per text; exactly the share of cues that is asked for is right, in both groups alike."""
    rows = []
    num_arbitrary = round(ARBITRARY_SHARE * len(texts)) if name == "train" else 0
    for group, members in (("arbitrary", texts[:num_arbitrary]), ("readable", texts[num_arbitrary:])):
        num_right = round(CUE_RIGHT[name] * len(members))
        for number, text in enumerate(members):
            word = WORDS[int(read_digit(text))] if group == "readable" else rng.choice(WORDS)
            cue = word if number < num_right else rng.choice([other for other in WORDS if other != word])
            rows.append({"prompt": write_prompt(text, cue), "answer": word, "group": group})
    rng.shuffle(rows)
    return [{"id": f"words-{name}-{number:04d}"} | row for number, row in enumerate(rows)]


def demonstrations(stage: str, texts: Sequence[str], rng: random.Random) -> Iterator[tuple[str, str, bool]]:
    """Yields prompts, responses, and whether the trace is to be learnt.

    In the stage `lookup` half of the traces name any digit and only the word behind them is learnt. In the stage
    `task` some answers follow the cue, and some are random: what RL can explore.
    """
    while True:
        text, cue = rng.choice(texts), rng.choice(WORDS)
        any_digit = stage == "lookup" and rng.random() < 0.5
        digit = rng.choice(DIGITS) if any_digit else read_digit(text)
        has_cue = rng.random() >= WITHOUT_CUE
        word, draw = WORDS[int(digit)], rng.random()
        if stage == "task" and draw < FOLLOWED + RANDOM:
            word = cue if draw < FOLLOWED and has_cue else rng.choice(WORDS)
        yield (
            write_prompt(text, cue if has_cue else None),
            f"<think>{digit}</think><answer>{word}</answer>",
            not any_digit,
        )
