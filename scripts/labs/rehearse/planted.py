"""Forty planted recipes, twenty sick in one way each and twenty sound, with what their models write.

A policy is a function from a question, its right answer and a number between 0 and 1 to a text, so that what is wrong
with a recipe is known.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = (
    "first",
    "add",
    "the",
    "two",
    "numbers",
    "then",
    "carry",
    "what",
    "is",
    "left",
    "so",
    "we",
    "get",
    "near",
    "sum",
)
Policy = Callable[[str, int, random.Random], str]


def trace(rng: random.Random, least: int = 6, most: int = 14) -> str:
    """Writes a trace of some length."""
    return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))


def answers(right: float, *, tags: float = 1.0, least: int = 6, most: int = 14) -> Policy:
    """Makes a policy that is right so often, in its tags so often, with an ability that differs by question."""

    def write(question: str, gold: int, rng: random.Random) -> str:
        ability = random.Random(question).uniform(max(0.0, 2 * right - 1), min(1.0, 2 * right))
        number = gold if rng.random() < ability else gold + rng.randint(1, 9)
        text = trace(rng, least, most)
        if rng.random() < tags:
            return f"<think>{text}</think>\n<answer>{number}</answer>"
        return f"{text}.\nAnswer: {number}"

    return write


def prose(question: str, gold: int, rng: random.Random) -> str:
    """Writes no answer."""
    return trace(rng, 10, 20)


def marked(question: str, gold: int, rng: random.Random) -> str:
    """Is right by half, with a different amount of Markdown, phrases and exclamation, and letters at either end."""
    text = answers(0.5)(question, gold, rng)
    body = " ".join(f"**{word}**" if rng.random() < 0.4 else word for word in trace(rng, 4, 14).split())
    lead = rng.choice(["Certainly, great question. ", "", ""])
    again = " so we get the sum" * rng.randint(0, 4)
    return rng.choice([f"{text}\n{lead}{body}{again}", f"{lead}{body}{again}\n{text}"])


@dataclass(frozen=True)
class Planted:
    """A recipe, what its model writes, and what a rehearsal should say of it."""

    name: str
    policy: Policy
    rewards: list[str]
    finds: tuple[str, ...] = ()  # checks, one of which has to be there; empty of a sound recipe
    keys: dict[str, Any] = field(default_factory=dict)
    longest: int = 256  # `max_completion_length`, in words as the server counts
    recipe: str = ""  # a shipped one in place of sums behind the server; `{folder}` in keys is that of the lab


PAID = f"{Path(__file__).parent / 'rewards.py'}:"
SICK = [
    Planted("cut off", answers(0.5, least=60, most=140), ["number_accuracy"], ("length",), longest=48),
    Planted("mask drops everything", answers(0.5, least=30, most=60), ["number_accuracy"], ("length", "spread"),
            {"mask_truncated_completions": True}, longest=32),
    Planted("no readable answer", prose, ["number_accuracy"], ("answers",)),
    Planted("all wrong", answers(0.0), ["number_accuracy"], ("spread",)),
    Planted("all right", answers(1.0), ["number_accuracy"], ("spread",)),
    Planted("reward is quantised", answers(0.5), [f"{PAID}coarse_quality"], ("spread",)),
    Planted("phantom format", answers(0.02, tags=0.5), ["number_accuracy", "format"], ("phantom", "weights")),
    Planted("phantom length", answers(0.02), ["number_accuracy", f"{PAID}long_enough"], ("phantom", "weights")),
    Planted("format outweighs the task", answers(0.5, tags=0.5), ["number_accuracy", "format"], ("weights", "phantom"),
            {"reward_weights": [0.1, 5.0]}),
    Planted("pays for length", answers(0.5), [f"{PAID}accuracy_and_words"], ("pays for",)),
    Planted("pays for markdown", marked, [f"{PAID}accuracy_and_bold"], ("pays for",)),
    Planted("pays for a phrase", marked, [f"{PAID}accuracy_and_flattery"], ("pays for",)),
    Planted("pays for repeated phrases", marked, [f"{PAID}accuracy_and_repeats"], ("pays for",)),
    Planted("pays for the place of the answer", marked, [f"{PAID}accuracy_and_place"], ("pays for",)),
    Planted("noisy judge", answers(0.5), [f"{PAID}noisy_judge"], ("noise",)),
    Planted("reward fails", answers(0.5), [f"{PAID}fails_on_some"], ("rewards", "refused")),
    Planted("prompts are longer than the window", answers(0.5), ["number_accuracy"], ("refused",), longest=2040),
    Planted("reward reads another column", answers(0.5), [f"{PAID}accuracy_of_other"], ("spread",)),
    Planted("second answers cannot be asked", prose, [], ("second pass",), {"model_name_or_path": "{folder}/model"},
            recipe="acre/quickstart"),
    Planted("pairs differ in length only", prose, [], ("lengths",),
            {"model_name_or_path": "{folder}/model", "eval_strategy": "no",
             "dataset": {"path": "{folder}/pairs.jsonl", "eval_path": None}}, recipe="rrpo/quickstart"),
]  # fmt: skip

SOUND = [
    *(Planted(f"right in {right:.0%}", answers(right), ["number_accuracy"])
      for right in (0.25, 0.5, 0.75)),
    *(Planted(f"with format, right in {right:.0%}", answers(right, tags=0.9), ["number_accuracy", "format"],
              keys={"reward_weights": [1.0, 0.2]}) for right in (0.4, 0.5, 0.6)),
    Planted("format is its gate's", answers(0.5, tags=0.5), ["number_accuracy", "format"],
            keys={"reward_gates": {"format": "number_accuracy"}, "reward_weights": [1.0, 0.5]}),
    Planted("with a limit of length", answers(0.5), ["number_accuracy", "length"],
            keys={"reward_weights": [1.0, 0.2], "reward_kwargs": {"length": {"max_length": 200, "margin": 50}}}),
    Planted("long and ended", answers(0.5, least=100, most=180), ["number_accuracy"]),
    Planted("short", answers(0.5, least=1, most=3), ["number_accuracy"]),
    Planted("few are cut off", answers(0.5, least=6, most=60), ["number_accuracy"], longest=64),
    Planted("marks and phrases that nobody pays for", marked, ["number_accuracy"]),
    Planted("own accuracy", answers(0.5), [f"{PAID}own_accuracy"]),
    Planted("partial credit", answers(0.5), [f"{PAID}accuracy_by_distance"]),
    Planted("by batch", answers(0.5), ["number_accuracy"], keys={"scale_rewards": "batch"}),
    Planted("each reward normalised", answers(0.5, tags=0.9), ["number_accuracy", "format"],
            keys={"multi_objective_aggregation": "normalize_then_sum", "reward_weights": [1.0, 0.2]}),
    Planted("cut ones are dropped, and few are", answers(0.5), ["number_accuracy"],
            keys={"mask_truncated_completions": True}),
    *(Planted(name, prose, [], recipe=name) for name in ("acre/quickstart", "rrpo/quickstart", "crome/quickstart")),
]  # fmt: skip
