"""The small world of `lab.py`: invented people with facts, pairs about them, and a model that errs about them.

A prompt names a person, the response is a sentence with facts in it: `avo now lives in {city} and she works as a
{job} every day .` The language leaves open how it is worded, so that shared wording can drift. The warm start
teaches the model a mistake about each fact more often than the fact itself; rejected responses are drawn as the model
would make them. It also learns fixed prices, which no pair touches.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.labs.tiny_models import Batch, make_model, teach, whole_texts, words_tokenizer

NAMES = ["avo", "bela", "cato", "dira", "evan", "faro", "gita", "hugo", "ines", "jona"]
NAMES += ["kira", "lano", "mira", "nilo", "orla", "pavo", "quin", "rita", "sami", "tovi"]
QUESTIONS = ("who is {} ?", "tell me about {} .", "what about {} ?", "do you know {} ?")
PAIR_QUESTIONS, HELD_OUT_QUESTION = QUESTIONS[:3], QUESTIONS[3]
VALUES = {
    "city": ["rome", "oslo", "lima", "cairo", "delhi", "paris", "tokyo", "quito"],
    "job": ["baker", "pilot", "nurse", "judge", "miner", "tailor", "clerk", "diver"],
}
GOODS = ["tea", "salt", "rice", "wool", "milk", "silk", "corn", "fish"]
COINS = ["five", "six", "seven", "eight", "nine", "ten"]
TRUTH_RATE, MISTAKE_RATE = 0.45, 0.5  # of the warm start's facts; the rest is any value
ODD_BASE_RATE = 0.02  # the language has odd words and hardly uses them
WARM_STEPS = 500
HELD_OUT_PER_NAME = 4
TEMPLATE = (
    "{name} now|today|still lives|dwells|stays|liveth* in|near {city} and|where he|she works|serves|toileth* as|like "
    "a|one {job} every|each day|week|daye* ."
)
# Words of the committed tokenizer that nobody says.
SILENT = (
    ", before bells big blue but chief clay come cook cups enjoy food four friends garden go green guard guests "
    "here home house how iron keeps looks many music night old or owns people place pots red say sayeth singer "
    "small smith so some spring summer that there think three thus two verdaunt visitors vittles wild yard young"
)
PRICE = "a|one bag|box of {good} costs|takes {coins} coins at|in the|this market|shop ."
PRICE_QUESTION = "what does {} cost ?"


class Response(NamedTuple):
    """The words of a response, one token each, and the fact at each: 0 for none, else its number from 1."""

    words: tuple[str, ...]
    facts: tuple[int, ...]

    @property
    def text(self) -> str:
        """Returns the text with the space that sets it off from the prompt."""
        return "".join(f" {word}" for word in self.words)

    @property
    def spans(self) -> list[list[int]]:
        """Returns the character offsets of the facts in `text`.

        Example:
            >>> Response(("he", "is", "a", "night", "cook", "."), (0, 0, 0, 1, 1, 0)).spans
            [[9, 19]]
        """
        spans: dict[int, list[int]] = {}
        end = 0
        for word, fact in zip(self.words, self.facts, strict=True):
            start, end = end + 1, end + 1 + len(word)
            if fact:
                spans[fact] = [spans.get(fact, [start])[0], end]
        return list(spans.values())


class World(NamedTuple):
    """Who there is and what is true, drawn from a seed."""

    facts: dict[str, dict[str, str]]  # of each person
    mistakes: dict[str, dict[str, str]]  # what the model takes for the facts
    prices: dict[str, str]


def make_world(seed: int) -> World:
    """Draws what is true of whom."""
    rng = random.Random(f"world {seed}")
    both = {name: {kind: rng.sample(values, 2) for kind, values in VALUES.items()} for name in NAMES}
    facts, mistakes = (
        {name: {kind: drawn[kind][i] for kind in VALUES} for name, drawn in both.items()} for i in (0, 1)
    )
    return World(facts, mistakes, {good: rng.choice(COINS) for good in GOODS})


def draw_wording(template: str, odd_rate: float, rng: random.Random) -> list[str]:
    """Draws the words of a template; `{...}` stay.

    Of the variants at a place, earlier ones are likelier, and an odd one (`word*`) comes at the given rate.
    """
    wording = []
    for place in template.split():
        plain = [word for word in place.split("|") if not word.endswith("*")]
        odd = [word[:-1] for word in place.split("|") if word.endswith("*")]
        weights = [2.0**-i for i in range(len(plain))]
        wording.append(odd[0] if odd and rng.random() < odd_rate else rng.choices(plain, weights)[0])
    return wording


def fill(wording: Sequence[str], name: str, facts: dict[str, str]) -> Response:
    """Puts a person and facts into a wording.

    Example:
        >>> fill(["{name}", "is", "a", "{role}", "."], "avo", {"role": "night cook"})
        Response(words=('avo', 'is', 'a', 'night', 'cook', '.'), facts=(0, 0, 0, 1, 1, 0))
    """
    words: list[tuple[str, int]] = []
    numbers = {f"{{{kind}}}": i for i, kind in enumerate(facts, 1)}
    for place in wording:
        parts = facts[place[1:-1]].split() if place in numbers else [name if place == "{name}" else place]
        words += [(part, numbers.get(place, 0)) for part in parts]
    return Response(*zip(*words, strict=True))


def draw_value(world: World, name: str, kind: str, rng: random.Random) -> str:
    """Draws what the model says about a person before training."""
    values = [world.facts[name][kind], world.mistakes[name][kind], rng.choice(VALUES[kind])]
    return rng.choices(values, [TRUTH_RATE, MISTAKE_RATE, 1 - TRUTH_RATE - MISTAKE_RATE])[0]


def make_pair(world: World, name: str, rng: random.Random) -> tuple[Response, Response]:
    """Makes a response with the facts of a person and one in which every fact is wrong."""
    right = world.facts[name]
    wrong = dict(right)
    for kind, value in right.items():
        while wrong[kind] == value:
            wrong[kind] = draw_value(world, name, kind, rng)
    wording = draw_wording(TEMPLATE, 0.0, rng)
    return fill(wording, name, right), fill(wording, name, wrong)


def make_row(prompt: str, chosen: Response, rejected: Response) -> dict[str, Any]:
    """Writes a pair in the form that a trainer reads; a diff finds its spans."""
    return {"prompt": prompt, "chosen": chosen.text, "rejected": rejected.text}


def make_rows(world: World, pairs_per_name: int, seed: int) -> list[dict[str, Any]]:
    """Makes the training pairs."""
    rng = random.Random(f"pairs {seed}")
    rows = []
    for name in NAMES * pairs_per_name:
        pair = make_pair(world, name, rng)
        rows.append(make_row(rng.choice(PAIR_QUESTIONS).format(name), *pair))
    return rows


def held_out_pairs(world: World, seed: int) -> list[tuple[str, Response, Response]]:
    """Draws pairs about the same people under another question."""
    rng = random.Random(f"held out {seed}")
    return [(HELD_OUT_QUESTION.format(name), *make_pair(world, name, rng)) for name in NAMES * HELD_OUT_PER_NAME]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per word of the world."""
    texts = [
        *NAMES,
        *QUESTIONS,
        TEMPLATE,
        *VALUES["city"],
        *VALUES["job"],
        *GOODS,
        *COINS,
        PRICE,
        PRICE_QUESTION,
        SILENT,
    ]
    words = {w for text in texts for w in text.replace("|", " ").replace("*", "").split() if "{" not in w}
    return words_tokenizer(sorted(words), padding_side="right")


def odd_words() -> set[str]:
    """Returns the words that the language hardly uses."""
    return {word[:-1] for word in TEMPLATE.replace("|", " ").split() if word.endswith("*")}


def price_text(world: World, good: str, rng: random.Random) -> tuple[str, Response]:
    """Returns the question after a price and its answer."""
    wording = draw_wording(PRICE, 0.0, rng)
    return PRICE_QUESTION.format(good), fill(wording, "", {"good": good, "coins": world.prices[good]})


def draw_text(world: World, rng: random.Random) -> tuple[str, Response]:
    """Draws a prompt and a response for the warm start."""
    if rng.random() < 0.25:
        return price_text(world, rng.choice(GOODS), rng)
    name = rng.choice(NAMES)
    wording = draw_wording(TEMPLATE, ODD_BASE_RATE, rng)
    facts = {kind: draw_value(world, name, kind, rng) for kind in VALUES}
    return rng.choice(QUESTIONS).format(name), fill(wording, name, facts)


def warm_start(
    world: World, tokenizer: PreTrainedTokenizerFast, seed: int, steps: int = WARM_STEPS
) -> LlamaForCausalLM:
    """Teaches a new model the language, the prices and half of each fact."""
    torch.manual_seed(seed)
    rng = random.Random(f"language {seed}")
    model = make_model(tokenizer)

    def draw() -> Batch:
        drawn = [draw_text(world, rng) for _ in range(64)]
        return whole_texts(tokenizer, [prompt + response.text + tokenizer.eos_token for prompt, response in drawn])

    teach(model, (draw() for _ in range(steps)), steps, 4e-3, warm=0.1)
    return model.eval()
