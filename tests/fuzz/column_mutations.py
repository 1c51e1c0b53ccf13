"""Good rows whose columns have the names that other people give them, or one letter that is wrong."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from align.data import load_preferences, load_questions, load_reward_pairs
from align.data.columns import OTHER_NAMES
from align.data.pairs.reward_bench import load_reward_bench
from align.data.prompt_rows import load_prompts

OFFERED = re.compile(r"`(?P<entry>columns: \{.*\})` under `dataset`")
OPTION_NAMES = ("{}", "Option {}", "option_{}", "choice-{}", "Answer.{}", "opt{}", "({})", "Choice {}")
_QUESTION = {"question": "Why é?", "options": ["iron", "gold", "tin"], "answer": 1}
_PAIR = {"prompt": "Q 😀?", "chosen": "It is red.", "rejected": "It is blue."}
LOADERS: dict[str, tuple[Any, list[dict[str, Any]], tuple[str, ...]]] = {
    "questions": (load_questions, [_QUESTION | {"question": f"Why {i}?"} for i in range(4)], tuple(_QUESTION)),
    "preferences": (load_preferences, [_PAIR] * 4, tuple(_PAIR)),
    "reward pairs": (load_reward_pairs, [_PAIR] * 4, tuple(_PAIR)),
    "reward bench": (load_reward_bench, [_PAIR] * 4, tuple(_PAIR)),
    "prompts": (load_prompts, [{"prompt": "é?", "reference": "4"}] * 4, ("prompt",)),
}


def draw_columns(rng: random.Random, rows: Sequence[Mapping[str, Any]], needs: Sequence[str]) -> list[dict[str, Any]]:
    """Gives some of the columns that rows need another name, the same in every row."""
    names = {name: misspelt(rng, name) for name in rng.sample(needs, rng.randint(1, len(needs)))}
    option = rng.choice(OPTION_NAMES) if "options" in names and rng.random() < 0.6 else None
    style = rng.choice(["ABCDEFGH", "abcdefgh", "12345678"])
    changed = []
    for row in rows:
        content: dict[str, Any] = {}
        for name, value in row.items():
            if name == "options" and option is not None:
                content |= {option.format(style[i]): text for i, text in enumerate(value)}
            else:
                content[names.get(name, name)] = value
        changed.append(content)
    return changed


def misspelt(rng: random.Random, name: str) -> str:
    """Draws another name of a column: a word that others use, or ours with a letter too few, too many or swapped."""
    kind, place = rng.randrange(6), rng.randrange(1, len(name) - 1)
    others = OTHER_NAMES.get(name, (name,))
    return [
        rng.choice(others),
        rng.choice(others).title(),
        name.upper(),
        name[:place] + name[place + 1 :],
        name[:place] + name[place] + name[place:],
        name[: place - 1] + name[place] + name[place - 1] + name[place + 1 :],
    ][kind]
