"""The small world of `lab.py`: invented people with facts, pairs about them, and a model that errs about them.

A prompt names a person, the response is a sentence with facts in it: `avo now lives in {city} and she works as a
{job} every day .` The language leaves open how it is worded, so that shared wording can drift. The warm start
teaches the model a mistake about each fact more often than the fact itself; rejected responses are drawn as the model
would make them. It also learns fixed prices, which no pair touches.
"""

import itertools
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
    "role": "young old chief night|smith cook guard singer",
    "thing": "two three four|red blue|clay iron|pots cups bells",
}
GOODS = ["tea", "salt", "rice", "wool", "milk", "silk", "corn", "fish"]
COINS = ["five", "six", "seven", "eight", "nine", "ten"]
NUM_VALUES = 8  # per fact
TRUTH_RATE, MISTAKE_RATE = 0.45, 0.5  # of the warm start's facts; the rest is any value
ODD_BASE_RATE = 0.02  # the language has odd words and hardly uses them
WARM_STEPS = 500
HELD_OUT_PER_NAME = 4
START = "{name} now|today|still lives|dwells|stays|liveth* in|near {city} and|where he|she"
TEMPLATES = {
    "short": START + " works|serves|toileth* as|like a|one {job} every|each day|week|daye* .",
    "long": START + " works|serves|toileth* as|like a|one {job} , people|friends say|think|sayeth* that|how the|this"
    " house|place is|looks big|small and|but the|this garden|yard is|looks green|wild|verdaunt* , so|thus many|some"
    " guests|visitors come|go there|here in|before the|each spring|summer and|or enjoy|like the|this"
    " music|food|vittles* every|each day|week|daye* .",
    "unequal": START + " works|serves|toileth* as|like a|one {role} and|but keeps|owns {thing} at|near home .",
}
PRICE = "a|one bag|box of {good} costs|takes {coins} coins at|in the|this market|shop ."
PRICE_QUESTION = "what does {} cost ?"


class Scenario(NamedTuple):
    """How the pairs are worded.

    `odd_*` is the chance of an odd word where the language has one. With `same_wording` the rejected response is the
    chosen one with other facts; else each is worded on its own, and its spans are given as character offsets.
    """

    template: str
    odd_chosen: float = 0.0
    odd_rejected: float = 0.0
    same_wording: bool = True


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

    scenario: Scenario
    values: dict[str, list[str]]  # of each kind of fact that the scenario asks for
    facts: dict[str, dict[str, str]]  # of each person
    mistakes: dict[str, dict[str, str]]  # what the model takes for the facts
    prices: dict[str, str]


def make_world(scenario: Scenario, seed: int) -> World:
    """Draws the values of each kind, and what is true of whom."""
    rng = random.Random(f"world {seed}")
    kinds = [word[1:-1] for word in TEMPLATES[scenario.template].split() if word[0] == "{" and word != "{name}"]
    values = {kind: _draw_values(VALUES[kind], rng) for kind in kinds}
    both = {name: {kind: rng.sample(values[kind], 2) for kind in kinds} for name in NAMES}
    facts, mistakes = (
        {name: {kind: drawn[kind][i] for kind in kinds} for name, drawn in both.items()} for i in (0, 1)
    )
    return World(scenario, values, facts, mistakes, {good: rng.choice(COINS) for good in GOODS})


def _draw_values(words: list[str] | str, rng: random.Random) -> list[str]:
    """Returns one-word values as they are, and draws phrases, the longer ones with a word or two left out."""
    if not isinstance(words, str):
        return words
    phrases = rng.sample(list(itertools.product(*(part.split() for part in words.split("|")))), NUM_VALUES)
    cuts = [i % (len(phrase) - 1) for i, phrase in enumerate(phrases)]
    # Two cut phrases may be equal; the vocabulary of values then shrinks by one, which harms nothing.
    return sorted({" ".join(phrase[cut:]) for phrase, cut in zip(phrases, cuts, strict=True)})


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
    values = [world.facts[name][kind], world.mistakes[name][kind], rng.choice(world.values[kind])]
    return rng.choices(values, [TRUTH_RATE, MISTAKE_RATE, 1 - TRUTH_RATE - MISTAKE_RATE])[0]


def make_pair(world: World, name: str, rng: random.Random) -> tuple[Response, Response]:
    """Makes a response with the facts of a person and one in which every fact is wrong."""
    scenario, right = world.scenario, world.facts[name]
    wrong = dict(right)
    for kind, value in right.items():
        while wrong[kind] == value:
            wrong[kind] = draw_value(world, name, kind, rng)
    template = TEMPLATES[scenario.template]
    wording = draw_wording(template, scenario.odd_chosen, rng)
    other = wording if scenario.same_wording else draw_wording(template, scenario.odd_rejected, rng)
    return fill(wording, name, right), fill(other, name, wrong)


def make_row(prompt: str, chosen: Response, rejected: Response, *, spans: bool) -> dict[str, Any]:
    """Writes a pair in the form that a trainer reads."""
    row: dict[str, Any] = {"prompt": prompt, "chosen": chosen.text, "rejected": rejected.text}
    return row | {"chosen_spans": chosen.spans, "rejected_spans": rejected.spans} if spans else row


def make_rows(world: World, pairs_per_name: int, seed: int) -> list[dict[str, Any]]:
    """Makes the training pairs; a diff finds the spans of those whose responses share their wording."""
    rng = random.Random(f"pairs {seed}")
    rows = []
    for name in NAMES * pairs_per_name:
        pair = make_pair(world, name, rng)
        prompt = rng.choice(PAIR_QUESTIONS).format(name)
        rows.append(make_row(prompt, *pair, spans=not world.scenario.same_wording))
    return rows


def held_out_pairs(world: World, seed: int) -> list[tuple[str, Response, Response]]:
    """Draws pairs about the same people under another question, in one plain wording whatever the scenario."""
    rng = random.Random(f"held out {seed}")
    plain = world._replace(scenario=Scenario(world.scenario.template))
    return [(HELD_OUT_QUESTION.format(name), *make_pair(plain, name, rng)) for name in NAMES * HELD_OUT_PER_NAME]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per word of the world."""
    texts = [*NAMES, *QUESTIONS, *TEMPLATES.values(), *VALUES["city"], *VALUES["job"], VALUES["role"], VALUES["thing"]]
    texts += [*GOODS, *COINS, PRICE, PRICE_QUESTION]
    words = {w for text in texts for w in text.replace("|", " ").replace("*", "").split() if "{" not in w}
    return words_tokenizer(sorted(words), padding_side="right")


def odd_words() -> set[str]:
    """Returns the words that the language hardly uses."""
    places = " ".join(TEMPLATES.values()).replace("|", " ").split()
    return {word[:-1] for word in places if word.endswith("*")}


def price_text(world: World, good: str, rng: random.Random) -> tuple[str, Response]:
    """Returns the question after a price and its answer."""
    wording = draw_wording(PRICE, 0.0, rng)
    return PRICE_QUESTION.format(good), fill(wording, "", {"good": good, "coins": world.prices[good]})


def draw_text(world: World, rng: random.Random) -> tuple[str, Response]:
    """Draws a prompt and a response for the warm start."""
    if rng.random() < 0.25:
        return price_text(world, rng.choice(GOODS), rng)
    name = rng.choice(NAMES)
    wording = draw_wording(TEMPLATES[world.scenario.template], ODD_BASE_RATE, rng)
    facts = {kind: draw_value(world, name, kind, rng) for kind in world.values}
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
