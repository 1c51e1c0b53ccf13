"""Planted recipes: fourteen sick in plain sight, ten in hidden ways, twenty sound, with what their models write.

A policy is a function from a question, its right answer and a number between 0 and 1 to a text, so that what is wrong
with a recipe is known.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = re.findall(r"\w+", "first add the two numbers then carry what is left so we get near sum")
Policy = Callable[[str, int, random.Random], str]
Rows = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


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


def restating(question: str, gold: int, rng: random.Random) -> str:
    """Names the numbers first, by two thirds."""
    lead = f"Of {question.partition('+')[0]} and the other: " if rng.random() < 0.67 else ""
    return lead + answers(0.5)(question, gold, rng)


def echoing(question: str, gold: int, rng: random.Random) -> str:
    """Says some words of the prompt again."""
    words = question.split()
    return f"{' '.join(rng.choices(words, k=rng.randint(0, 8)))}\n{answers(0.4)(question, gold, rng)}"


def unreadable(question: str, gold: int, rng: random.Random) -> str:
    """Writes no number as its answer, by a quarter."""
    text = answers(0.5)(question, gold, rng)
    return re.sub("<answer>.*", "<answer>not sure</answer>", text) if rng.random() < 0.25 else text


def lettered(right: float, named: float = 0.0) -> Policy:
    """Makes a policy that answers by a letter, and names other options before, so often."""

    def write(question: str, gold: int, rng: random.Random) -> str:
        options = dict(re.findall(r"^([A-D])\. (\d+)$", question, re.MULTILINE))
        own = next(letter for letter, text in options.items() if int(text) == gold)
        letter = own if rng.random() < right else rng.choice("ABCD")
        shown = " ".join(f"is it {text}" for text in options.values() if rng.random() < named)
        return f"<think>{trace(rng)} {shown}</think>\n<answer>{letter}</answer>"

    return write


def options(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turns sums into questions with four options, in a balanced order."""
    found = []
    for place, row in enumerate(rows):
        near = [row["answer"] + (k - place % 4) * 7 for k in range(4)]
        text = row["prompt"][0]["content"] + "".join(f"\n{x}. {each}" for x, each in zip("ABCD", near, strict=True))
        prompt = [{"role": "user", "content": text}]
        found.append(row | {"prompt": prompt, "answer": "ABCD"[place % 4], "text": str(row["answer"])})
    return found


def shifted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives three of ten rows the answers of others of them."""
    places = [i for i in range(len(rows)) if i % 10 in (1, 4, 8)]
    golds = {i: rows[j]["answer"] for i, j in zip(places, places[1:] + places[:1], strict=True)}
    return [row | {"answer": golds.get(i, row["answer"])} for i, row in enumerate(rows)]


def worded(rows: list[dict[str, Any]], *, every: int = 4) -> list[dict[str, Any]]:
    """Writes the answers as texts, every fourth with its unit."""
    return [row | {"answer": f"{row['answer']} coins" if i % every == 1 else str(row["answer"])}
            for i, row in enumerate(rows)]  # fmt: skip


def asked_in_words(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Asks for the sums in a sentence."""
    more = "\nA farmer counts both baskets, and wants to know how many apples they hold together."
    return [row | {"prompt": [{"role": "user", "content": row["prompt"][0]["content"] + more}]} for row in rows]


@dataclass(frozen=True)
class Planted:
    """A recipe, what its model writes, and what a rehearsal should say of it."""

    name: str
    policy: Policy
    rewards: list[str]
    finds: tuple[str, ...] = ()  # checks, one of which has to be there; empty of a sound recipe
    keys: dict[str, Any] = field(default_factory=dict)
    rows: Rows = list  # changes the rows of sums
    longest: int = 256  # `max_completion_length`, in words as the server counts
    recipe: str = ""  # a shipped one in place of sums behind the server; `{folder}` in keys is that of the lab


PAID = f"{Path(__file__).parent / 'rewards.py'}:"
OPEN = [
    Planted("cut off", answers(0.5, least=60, most=140), ["number_accuracy"], ("length",), longest=48),
    Planted("no readable answer", prose, ["number_accuracy"], ("answers", "reward")),
    Planted("all wrong", answers(0.0), ["number_accuracy"], ("spread",)),
    Planted("all right", answers(1.0), ["number_accuracy"], ("spread",)),
    Planted("reward pays one value", answers(0.5), [f"{PAID}coarse_quality"], ("reward",)),
    Planted("phantom format", answers(0.02, tags=0.5), ["number_accuracy", "format"], ("phantom", "weights")),
    Planted("format outweighs the task", answers(0.5, tags=0.5), ["number_accuracy", "format"], ("weights", "phantom"),
            {"reward_weights": [0.1, 5.0]}),
    Planted("pays for length", answers(0.5), [f"{PAID}accuracy_and_words"], ("pays for",)),
    Planted("pays for markdown", marked, [f"{PAID}accuracy_and_bold"], ("pays for",)),
    Planted("pays for a phrase", marked, [f"{PAID}accuracy_and_flattery"], ("pays for",)),
    Planted("noisy judge", answers(0.5), [f"{PAID}noisy_judge"], ("noise",)),
    Planted("reward fails", answers(0.5), [f"{PAID}fails_on_some"], ("rewards", "refused")),
    Planted("second answers cannot be asked", prose, [], ("second pass",), {"model_name_or_path": "{folder}/model"},
            recipe="acre/quickstart"),
    Planted("pairs differ in length only", prose, [], ("lengths",),
            {"model_name_or_path": "{folder}/model", "eval_strategy": "no",
             "dataset": {"path": "{folder}/pairs.jsonl", "eval_path": None}}, recipe="rrpo/quickstart"),
]  # fmt: skip

HIDDEN = [
    Planted("a second reward is never earned", answers(0.5), [f"{PAID}own_accuracy", f"{PAID}cites"], ("reward",),
            {"reward_weights": [1.0, 0.2]}),
    Planted("three of ten answers are other rows'", answers(0.6), [f"{PAID}own_accuracy"], ("answer key",),
            rows=shifted),
    Planted("one letter earns 0.6", lettered(0.5), [f"{PAID}letter_or_c"], ("pays for",), rows=options),
    Planted("words of the prompt earn a part", echoing, [f"{PAID}accuracy_and_echo"], ("pays for", "weights"),
            rows=asked_in_words),
    Planted("the right option anywhere", lettered(0.4, named=0.6), [f"{PAID}option_anywhere"],
            ("overpaid", "reward"), rows=options),
    Planted("what cannot be parsed is paid", unreadable, [f"{PAID}lenient"], ("overpaid", "reward", "pays for")),
    Planted("the first completion decides", answers(0.5), [f"{PAID}kept_by_prompt"], ("reward",)),
    Planted("a small bonus for length", answers(0.5), [f"{PAID}accuracy_and_few_more_words"], ("pays for", "weights")),
    Planted("the first number is read", restating, [f"{PAID}first_number"], ("unpaid",)),
    Planted("a quarter of the answers with a unit", answers(0.5), [f"{PAID}same_text"], ("answer key", "unpaid"),
            rows=worded),
]  # fmt: skip

SOUND = [
    *(Planted(f"right in {right:.0%}", answers(right), ["number_accuracy"]) for right in (0.25, 0.5, 0.75)),
    *(Planted(f"with format, right in {right:.0%}", answers(right, tags=0.9), ["number_accuracy", "format"],
              keys={"reward_weights": [1.0, 0.2]}) for right in (0.4, 0.6)),
    Planted("format is its gate's", answers(0.5, tags=0.5), ["number_accuracy", "format"],
            keys={"reward_gates": {"format": "number_accuracy"}, "reward_weights": [1.0, 0.5]}),
    Planted("with a limit of length", answers(0.5), ["number_accuracy", "length"],
            keys={"reward_weights": [1.0, 0.2], "reward_kwargs": {"length": {"max_length": 200, "margin": 50}}}),
    Planted("few are cut off", answers(0.5, least=6, most=60), ["number_accuracy"], longest=64),
    Planted("marks and phrases that nobody pays for", marked, ["number_accuracy"]),
    Planted("own accuracy, a quarter of no number", unreadable, [f"{PAID}own_accuracy"]),
    Planted("partial credit", answers(0.5), [f"{PAID}accuracy_by_distance"]),
    Planted("texts that name the numbers", restating, [f"{PAID}own_accuracy"]),
    Planted("texts that say the prompt again", echoing, ["number_accuracy"], rows=asked_in_words),
    Planted("letters", lettered(0.5), [f"{PAID}letter"], rows=options),
    Planted("letters beside a reading of options", lettered(0.4, named=0.6), [f"{PAID}letter"], rows=options),
    Planted("answers with units that are read", answers(0.5), ["number_accuracy"], rows=worded),
    Planted("each reward normalised", answers(0.5, tags=0.9), ["number_accuracy", "format"],
            keys={"multi_objective_aggregation": "normalize_then_sum", "reward_weights": [1.0, 0.2]}),
    *(Planted(name, prose, [], recipe=name) for name in ("acre/quickstart", "rrpo/quickstart", "crome/quickstart")),
]  # fmt: skip
