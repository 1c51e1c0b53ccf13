"""Small worlds in which a trace must compute, and where a policy whose trace names no option guesses a letter.

    sums      `ab` asks for (f(a) + f(b)) mod 10; the trace is `37;0`
    largest   `ab` asks for the larger of f(a) and f(b); the trace is `37;7`
    hops      `aQ` asks for the thing of kind Q that the person of letter a owns; the trace is `m;7`

The tables are hidden and half known: of 26 letters, 11 are drawn right with the first probability of a world, 8 with
the second and 7 with the third, and else mostly as a misconception of their own. In `hops` what a person owns is drawn
right with 0.75. A demonstrated response names the letter of the option that its trace ends in, and any letter if
there is none.
"""

import random
import string
from typing import NamedTuple

from rewards.reading.options import LETTERS, render_options

DIGITS = string.digits
SYMBOLS = string.ascii_lowercase
PERSONS = "klmnopqrst"
KINDS = string.ascii_uppercase[:20]
SHARES = (11, 8, 7)  # of the symbols, by how well they are known
MISTAKEN = (0.2, 0.5, 0.7)  # share of draws that are the misconception
OWNED = 0.75  # share of what persons own that is drawn right
HELD_OUT = 200
WORLDS = {"sums": (0.7, 0.35, 0.1), "largest": (0.7, 0.35, 0.1), "hops": (0.5, 0.25, 0.1)}  # known shares


class World(NamedTuple):
    """One world: its tables, what is known of them, and its questions."""

    name: str
    table: dict[str, str]
    mistaken: dict[str, str]
    kinds: dict[str, int]  # of a symbol: its place in the known shares
    owned: dict[str, str]  # by kind and person
    train: list[str]
    held_out: list[str]

    @classmethod
    def draw(cls, name: str, number: int) -> "World":
        """Draws the tables of a world, and which questions are held out."""
        rng = random.Random(f"world {name} {number}")
        values = PERSONS if name == "hops" else DIGITS
        table = {symbol: rng.choice(values) for symbol in SYMBOLS}
        mistaken = {symbol: rng.choice([each for each in values if each != table[symbol]]) for symbol in SYMBOLS}
        places = [place for place, count in enumerate(SHARES) for _ in range(count)]
        rng.shuffle(places)
        owned = {kind + person: rng.choice(DIGITS) for kind in KINDS for person in PERSONS}
        questions = [a + b for a in SYMBOLS for b in (KINDS if name == "hops" else SYMBOLS)]
        rng.shuffle(questions)
        kinds = dict(zip(SYMBOLS, places, strict=True))
        return cls(name, table, mistaken, kinds, owned, questions[HELD_OUT:], questions[:HELD_OUT])

    def right(self, question: str) -> str:
        """Returns the right answer."""
        return self.conclude(question, [self.table[symbol] for symbol in self.asked(question)])

    def asked(self, question: str) -> str:
        """Returns the symbols that have to be known."""
        return question[0] if self.name == "hops" else question[:2]

    def conclude(self, question: str, values: list[str]) -> str:
        """Returns what follows from values."""
        if self.name == "hops":
            return self.owned[question[1] + values[0]]
        first, second = map(int, values)
        return str(max(first, second) if self.name == "largest" else (first + second) % 10)

    def draw_trace(self, question: str, rng: random.Random) -> tuple[str, str]:
        """Draws what the start policy learns to think; returns the trace and what it ends in."""
        values = [self._draw_value(symbol, rng) for symbol in self.asked(question)]
        end = self.conclude(question, values)
        if self.name == "hops" and rng.random() >= OWNED:
            end = rng.choice(DIGITS)
        return f"{''.join(values)};{end}", end

    def _draw_value(self, symbol: str, rng: random.Random) -> str:
        known, draw = WORLDS[self.name][self.kinds[symbol]], rng.random()
        if draw < known:
            return self.table[symbol]
        if draw < known + MISTAKEN[self.kinds[symbol]]:
            return self.mistaken[symbol]
        return rng.choice(PERSONS if self.name == "hops" else DIGITS)


def draw_options(right: str, count: int, rng: random.Random) -> list[str]:
    """Draws the right answer and others, in any order."""
    options = [right, *rng.sample([digit for digit in DIGITS if digit != right], count - 1)]
    rng.shuffle(options)
    return options


def render(question: str, options: list[str]) -> str:
    r"""Writes a prompt; without options it asks for a text.

    Example:
        >>> render("ab", ["3", "7"]), render("ab", [])
        ('ab\nA. 3\nB. 7\n', 'ab\n')
    """
    return f"{question}\n{render_options(options)}\n" if options else f"{question}\n"


def demonstration(world: World, count: int, rng: random.Random, *, lookups: float) -> tuple[str, str, bool]:
    """Makes a prompt with `count` options, a response, and whether its trace is to be learnt.

    Args:
        world: The world.
        count: Options; with 0 the answer is a text.
        rng: Source of randomness.
        lookups: Share of the traces that end in any option; only the letter behind them is to be learnt.
    """
    question = rng.choice(world.train)
    options = draw_options(world.right(question), count, rng) if count else []
    trace, end = world.draw_trace(question, rng)
    any_end = bool(options) and rng.random() < lookups
    if any_end:
        end = rng.choice(options)
        trace = f"{trace.partition(';')[0]};{end}"
    answer = end if not options else LETTERS[options.index(end)] if end in options else rng.choice(LETTERS[:count])
    return render(question, options), f"<think>{trace}</think><answer>{answer}</answer>", not any_end
