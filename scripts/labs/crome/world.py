"""The small world of `lab.py`: questions that ask for causes, answers with causes and decoration, and an oracle.

A question asks for three attributes, the most important first: `Describe a lamp: mainly light, also price, perhaps
cord.` An answer states facts, `The light is 40.`, and may be decorated: an opener, list markers, exclamation marks, a
closing sentence. Only what it states of the attributes that are asked for makes it better: a number fully, a vague
word half. `Rules` edits one of them and nothing else; it is the oracle of

    align augment recipes/crome/assets/lab/train.jsonl --method crome --oracle scripts/labs/crome/world.py:Rules ...
"""

import random
import re
from typing import NamedTuple

# Attributes are unique to a topic, so that a question on another topic asks for nothing that an answer states.
TOPICS = {
    "lamp": ["light", "price", "cord", "shade", "stand"],
    "trip": ["route", "hotel", "cost", "guide", "train"],
    "soup": ["broth", "salt", "heat", "fat", "portion"],
    "coat": ["length", "collar", "mass", "warmth", "pocket"],
}
TOPIC_OF = {attribute: topic for topic, attributes in TOPICS.items() for attribute in attributes}
PRECISE = ["12", "25", "40", "60", "85"]
VAGUE = ["fine", "okay", "decent", "usual"]
LEVELS = dict.fromkeys(PRECISE, 1.0) | dict.fromkeys(VAGUE, 0.5)
QUESTIONS = ("Describe a {}: mainly {}, also {}, perhaps {}.", "Which {}? Mainly {}, also {}, perhaps {}.")
WEIGHTS = (0.4, 0.33, 0.27)  # of the attributes a question asks for, in its order
BEST = 3.0  # quality of an answer that states all of them precisely
SENTENCES = ("The {attribute} is {value}", "Its {attribute}: {value}")
OPENERS = ("Sure thing!", "Happy to help!", "Good question!")
CLOSINGS = ("Hope this helps you a lot.", "Let me know if you need more.")
FILLERS = ("That is what there is to say.", "More could be said of it.", "Others may see it so, too.")
PADDINGS = tuple(" ".join((FILLERS * 2)[:count]) for count in (2, 3, 4))  # of the cue `length`
CUE = "decoration"  # or `length`: what goes with quality in the preference pairs
STATED_RATE = {True: 0.75, False: 0.4}  # of attributes that are asked for, and of others
PRECISE_RATE = 0.5  # of what is stated
CAREFUL_RATES = (
    0.95,
    0.65,
    0.35,
    0.05,
)  # of a careful writer: first, second, third, not asked for
_FACT = re.compile(r"(- )?(?:The (?P<a>\w+) is (?P<b>\w+)|Its (?P<d>\w+): (?P<c>\w+))(?P<end>[.!])")


class Style(NamedTuple):
    """The decoration of an answer."""

    opener: str = ""
    bullets: bool = False
    exclaims: bool = False
    closing: str = ""


PLAIN = Style()


class Fact(NamedTuple):
    """What an answer states of an attribute, and in which of the `SENTENCES`."""

    attribute: str
    value: str
    wording: int = 0


class Answer(NamedTuple):
    """An answer as its facts, at least one and each attribute once, and its decoration."""

    facts: tuple[Fact, ...]
    style: Style = PLAIN

    @property
    def text(self) -> str:
        """Writes the answer out.

        Example:
            >>> Answer((Fact("light", "40"), Fact("cord", "fine", 1)), Style("Sure thing!", True, True)).text
            'Sure thing! - The light is 40! - Its cord: fine!'
        """
        bullet, end = "- " * self.style.bullets, "!" if self.style.exclaims else "."
        facts = [bullet + SENTENCES[f.wording].format(attribute=f.attribute, value=f.value) + end for f in self.facts]
        return " ".join(part for part in (self.style.opener, *facts, self.style.closing) if part)

    @classmethod
    def parse(cls, text: str) -> "Answer":
        """Reads what `text` wrote.

        Raises:
            ValueError: If the text is not of this world.
        """
        matches = list(_FACT.finditer(text))
        facts = [Fact(m["a"], m["b"]) if m["a"] else Fact(m["d"], m["c"], 1) for m in matches]
        opener = next((opener for opener in OPENERS if text.startswith(opener)), "")
        closing = next((closing for closing in (*CLOSINGS, *PADDINGS[::-1]) if text.endswith(closing)), "")
        bullets, exclaims = (any(matches) and matches[0][group] == mark for group, mark in ((1, "- "), ("end", "!")))
        answer = cls(tuple(facts), Style(opener, bullets, exclaims, closing))
        if not facts or answer.text != text:
            raise ValueError(f"An answer must consist of sentences of this world, got {text!r}.")
        return answer

    def state(self, fact: Fact) -> "Answer":
        """Returns the answer with this fact in place of what it stated of the attribute, or else at its end."""
        if not any(fact.attribute == stated.attribute for stated in self.facts):
            return self._replace(facts=(*self.facts, fact))
        return self._replace(facts=tuple(fact if f.attribute == fact.attribute else f for f in self.facts))

    def without(self, attribute: str) -> tuple[Fact, ...]:
        """Lists the facts about everything else."""
        return tuple(fact for fact in self.facts if fact.attribute != attribute)


def parse_question(question: str) -> list[str]:
    """Lists the attributes that a question asks for, the most important first.

    Example:
        >>> parse_question("Describe a lamp: mainly light, also price, perhaps cord.")
        ['light', 'price', 'cord']
    """
    return [word for word in re.findall(r"\w+", question) if word in TOPIC_OF]


def topic_of(question: str) -> str:
    """Returns the topic of a question."""
    return TOPIC_OF[parse_question(question)[0]]


def levels(question: str, answer: Answer) -> dict[str, float]:
    """Returns how well each attribute that is asked for is stated: 1 precisely, 0.5 vaguely, 0 not at all."""
    stated = {fact.attribute: LEVELS[fact.value] for fact in answer.facts}
    return {name: stated.get(name, 0.0) for name in parse_question(question)}


def quality(question: str, answer: Answer) -> float:
    """Returns how good an answer is, from 0 to `BEST`.

    Example:
        >>> answer = Answer.parse("The light is 40. Its cord: fine.")
        >>> quality("Describe a lamp: mainly light, also price, perhaps cord.", answer)
        1.605
    """
    weighted = zip(WEIGHTS, levels(question, answer).values(), strict=True)
    return round(BEST * sum(weight * level for weight, level in weighted), 6)


class Rules:
    """An oracle that knows this world; the same edit for the same texts."""

    def rubric(self, question: str) -> list[tuple[str, float]]:
        """Lists the attributes that count for a question, with weights that add up to 1."""
        return list(zip(parse_question(question), WEIGHTS, strict=True))

    def edit(self, question: str, answer: str, attribute: str, direction: str) -> str:
        """Makes an answer better (`upgrade`) or worse (`degrade`) in one attribute; returns it as it is if it cannot.

        An upgrade states a number. A degrade states a vague word or leaves the fact out.
        """
        before = Answer.parse(answer)
        level = levels(question, before)[attribute]
        rng = _rng(question, answer, attribute, direction)
        others = before.without(attribute)
        if direction == "upgrade" and level < 1:
            return before.state(Fact(attribute, rng.choice(PRECISE), rng.randrange(2))).text
        if direction == "degrade" and level == 1 and (not others or rng.random() < 0.5):
            return before.state(Fact(attribute, rng.choice(VAGUE), rng.randrange(2))).text
        if direction == "degrade" and level > 0 and others:
            return before._replace(facts=others).text
        return answer

    def verify(self, question: str, original: str, edited: str, attribute: str, direction: str) -> bool:
        """Tells whether an edit changed the attribute in the asked direction, and nothing else."""
        before, after = Answer.parse(original), Answer.parse(edited)
        change = quality(question, after) - quality(question, before)
        alone = before.style == after.style and before.without(attribute) == after.without(attribute)
        return alone and (change > 0 if direction == "upgrade" else change < 0)


class LeakyRules(Rules):
    """An oracle whose edits leak: half also decorate what gets better and strip what gets worse, a fifth fail."""

    leak_rate, fail_rate = 0.5, 0.2

    def edit(self, question: str, answer: str, attribute: str, direction: str) -> str:
        """Edits as `Rules` does, or fails to; what fails still reads differently."""
        edited = super().edit(question, answer, attribute, direction)
        if edited == answer:
            return answer
        rng = _rng("leak", question, answer, attribute, direction)
        after = Answer.parse(edited)
        if rng.random() < self.fail_rate:
            after = Answer.parse(answer)  # one fact in the other wording, that of the attribute if there is one
            fact = next((fact for fact in after.facts if fact.attribute == attribute), after.facts[0])
            after = after.state(fact._replace(wording=1 - fact.wording))
        if rng.random() < self.leak_rate:
            decorated = after.style if after.style != PLAIN else draw_style(rng)
            after = after._replace(style=decorated if direction == "upgrade" else PLAIN)
        return after.text

    def verify(self, question: str, original: str, edited: str, attribute: str, direction: str) -> bool:
        """Lets everything pass that is another text."""
        return original != edited


def _rng(*parts: str) -> random.Random:
    return random.Random(" | ".join(parts))


def draw_question(rng: random.Random) -> str:
    """Draws a question."""
    topic = rng.choice(list(TOPICS))
    return rng.choice(QUESTIONS).format(topic, *rng.sample(TOPICS[topic], len(WEIGHTS)))


def draw_style(rng: random.Random) -> Style:
    """Draws a decoration of at least one kind; of the cue `length` sentences that say nothing."""
    if CUE == "length":
        return Style(closing=rng.choice(PADDINGS))
    style = PLAIN
    while style == PLAIN:
        opener, bullets, exclaims, closing = (rng.random() < 0.5 for _ in Style._fields)
        style = Style(rng.choice(OPENERS) * opener, bullets, exclaims, rng.choice(CLOSINGS) * closing)
    return style


def draw_answer(question: str, rng: random.Random, *, careful: bool = False) -> Answer:
    """Draws a plain answer that states at least one attribute of the topic, and those asked for more often.

    Careful writers are more precise about what matters more; others are precise or vague about anything.
    """
    asked = parse_question(question)
    facts: list[Fact] = []
    while not facts:
        for name in TOPICS[topic_of(question)]:
            rate = CAREFUL_RATES[asked.index(name) if name in asked else -1] if careful else PRECISE_RATE
            if rng.random() < STATED_RATE[name in asked]:
                values = PRECISE if rng.random() < rate else VAGUE
                facts.append(Fact(name, rng.choice(values), rng.randrange(2)))
    rng.shuffle(facts)
    return Answer(tuple(facts))


def draw_pair(rng: random.Random) -> tuple[str, Answer, Answer]:
    """Draws a question with a better and a worse answer, both plain."""
    while True:
        question = draw_question(rng)
        first, second = (draw_answer(question, rng) for _ in range(2))
        gain = quality(question, first) - quality(question, second)
        if gain:
            return (question, first, second) if gain > 0 else (question, second, first)


def decorate(better: Answer, worse: Answer, agrees: bool, rng: random.Random) -> tuple[Answer, Answer]:
    """Decorates one of two answers: the better one if decoration agrees with quality."""
    style = draw_style(rng)
    return (better._replace(style=style), worse) if agrees else (better, worse._replace(style=style))
