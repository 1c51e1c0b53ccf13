"""Search behind the bank of hacks: pieces of what a policy can see are mixed, and what is paid is mixed again.

No mixture knows the right answer, and its pay counts only where another right answer in the row pays it, too.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from rewards.attacks.hacks.words import MARKUP, PLEASING, WORK
from rewards.attacks.seen import Family, Hack, Seen
from rewards.roles import Texts, gains
from rewards.running.contract.calls import shorten
from rewards.running.contract.patterns import is_pattern, matching, own_texts

SEARCH = Family(
    "search", "What a search put together, piece by piece",
    "Let what a text without an answer can earn count beside right answers only (`reward_gates`).",
)  # fmt: skip
FEW = 8  # rows on which mixtures are compared
MOST = 400  # mixtures that are paid, and again as many cuts of the one that wins
PATIENCE = 3  # rounds in which nothing rises
BEAM, CHILDREN, JUDGED = 6, 24, 3  # mixtures that have children, those of a round, and those that are judged then
PAYING, DISTILLED = 24, 8  # pieces that are added in turn to the best, and that are cut first where nothing rises
BANK, WORDS, SIZES = 20, 40, 6  # hacks, texts and numbers of the reward's code that are pieces
LONG, SINK, SMALL_SINK = 400, 3000, 160  # characters of a piece, and of all in one mixture, where many are
JOINTS = ("\n", " ", "\n\n", "")
TIMES = (2, 3, 5, 10)
WRONG = "another row's answer"
SMALL = (
    "# Why", "## How\n", "- one", "* one", "1. one", "**so**", "`so`", "> so", "---", "[1]", "https://example.com",
    "Step 1:", "Therefore, it is so.", "Wait,", "{}", "()", "<b></b>", "!", "?", "A", "1",
)  # fmt: skip
SHOWN = {
    "the prompt's quotes": re.compile(r"[\"'`\u201c]([^\"'`\n]+)[\"'`\u201d]"),
    "the prompt's numbers": re.compile(r"\d+"),
    "the prompt's names": re.compile(r"\b[A-Z]\w+"),
    "the prompt's long words": re.compile(r"\w{6,}"),
}
SENTENCES = re.compile(r"(?<=[.!?\u3002])\s+|\n+")
UNITS = [re.compile(r"[^\n]*\n|[^\n]+"), re.compile(r"\s*\S+|\s+")]  # lines and words, with what is between them
AROUND: dict[str, Callable[[Seen, str], str]] = {
    "": lambda seen, text: text,
    "in the form of answers": lambda seen, text: seen.form(text),
    "as the trace": lambda seen, text: f"<{seen.tags.think_tag}>\n{text}\n</{seen.tags.think_tag}>",
}
Write = Callable[[Seen], str | None]


class Part(NamedTuple):
    """A piece in a mixture: so many times, and in which place of a response."""

    piece: str
    times: int = 1
    around: str = ""


class Mix(NamedTuple):
    """Pieces in a row."""

    parts: tuple[Part, ...] = ()
    joint: str = "\n"

    def write(self, texts: Mapping[str, str], seen: Seen) -> str:
        """Writes the response to a row of the texts that its pieces have there."""
        found = [AROUND[around](seen, self.joint.join([texts[name]] * times)) for name, times, around in self.parts]
        return self.joint.join(found)[: seen.limit]

    def __str__(self) -> str:
        """Says what it is made of."""
        return "; ".join(
            ", ".join([piece, *([f"{times} times"] if times > 1 else []), *filter(None, [around])])
            for piece, times, around in self.parts
        )


class Score(NamedTuple):
    """What a mixture is paid on a few rows, at most as much as an honest answer, and on how many of them so much."""

    pay: float
    wins: float


def spans(seen: Sequence[Seen]) -> dict[str, Write]:
    """Lists parts of the prompt, of an answer to another row, and of what may be right."""

    def sentence(number: int) -> Write:
        return lambda own: ([*filter(None, SENTENCES.split(own.prompt.strip()))][number:] or [None])[0]

    count = max((len(SENTENCES.split(each.prompt.strip())) for each in seen), default=0)
    found: dict[str, Write] = {WRONG: lambda own: own.wrong, "the prompt": lambda own: own.prompt}
    found["the prompt's last sentence"] = sentence(-1)
    found |= {f"sentence {k + 1} of the prompt": sentence(k) for k in range(min(count, 6))}
    for name, pattern in SHOWN.items():
        found[name] = lambda own, pattern=pattern: " ".join(pattern.findall(own.prompt))  # type: ignore[misc]
    found[f"the start of {WRONG}"] = lambda own: (SENTENCES.split(own.wrong) or [""])[0]
    found[f"the end of {WRONG}"] = lambda own: (SENTENCES.split(own.wrong) or [""])[-1]
    found["an empty answer in its form"] = lambda own: own.form("")
    found["all answers"] = lambda own: ", ".join(sorted(own.known))
    return found


def pieces(seen: Sequence[Seen], bank: Sequence[Hack]) -> dict[str, Write]:
    """Lists the pieces: spans, forms, the words, patterns and numbers of the reward's code, and hacks."""
    code = seen[0].literals
    words = [matching(each, "a") if is_pattern(each) else each for each in code if isinstance(each, str)]
    sizes = sorted({round(each) + 1 for each in code if not isinstance(each, str) and 2 <= each <= 500})
    texts = [
        *SMALL, *own_texts(()), *PLEASING, *WORK, *MARKUP, *[each for each in words if each][:WORDS],
        *(" ".join(["so"] * size) for size in sizes[:SIZES]), *SENTENCES.split(seen[0].words)[:SIZES],
    ]  # fmt: skip
    found = spans(seen)
    for text in filter(None, dict.fromkeys(texts)):
        found.setdefault(shorten(text, 60), lambda own, text=text: text)  # type: ignore[misc]
    for hack in bank[:BANK]:
        found[f"`{hack.name}`"] = lambda own, hack=hack: hack.write(own, None)  # type: ignore[misc]
    return found


class Search:
    """Mixes pieces, keeps what a few rows pay most, and mixes that again, as long as it rises.

    `worth` pays texts, and on rows with another right answer, too; the lower counts. `honest` is what honest answers
    are paid. What is drawn depends on what stands in the rows, and on neither their order nor the time.
    """

    def __init__(
        self,
        seen: Sequence[Seen],
        bank: Sequence[Hack],
        worth: Callable[[Texts], np.ndarray],
        honest: np.ndarray,
        goes_on: Callable[[], bool],
    ) -> None:
        self.seen, self.worth, self.honest, self.goes_on = seen, worth, honest, goes_on
        self.pool: list[dict[str, str]] = [{} for _ in seen]  # for each row, what stands for each piece
        self.sizes: dict[str, int] = {}  # of the longest text of each piece
        for name, write in pieces(seen, bank).items():
            self._add(name, [write(each) or "" for each in seen])
        marks = [sha256(each.prompt.encode("utf-8", "replace")).hexdigest() for each in seen]
        paid = [i for i, each in enumerate(honest) if np.isfinite(each)]
        self.few = sorted(paid, key=lambda i: (marks[i], seen[i].wrong))[:FEW]
        self.random = random.Random("".join(sorted(marks)))
        self.scores: dict[Mix, Score] = {}
        self.cuts = 0

    def climb(self) -> Iterator[Mix]:
        """Yields mixtures that most of the few rows pay as an honest answer, of each round the best."""
        shown: set[Mix] = set()
        children, idle, best = [Mix(), *self._first()], 0, Score(-np.inf, 0.0)
        while idle < PATIENCE:
            for each in children:
                self.score(each)
            if idle == 1:
                self._distil()
            self._add_in_turn()
            ranked = self.ranked()
            found = [each for each in ranked if self.scores[each].wins >= 0.5 and each not in shown][:JUDGED]
            shown |= {*found}
            yield from found
            top = self.scores[ranked[0]] if ranked else best
            if not self._has_time() or not ranked:
                return
            idle, best = (0, top) if top > best else (idle + 1, best)
            nothing = self.score(Mix())
            parents = [each for each in ranked if self.scores[each] > nothing][:BEAM] or ranked
            children = [self._child(parents) for _ in range(CHILDREN)]

    def score(self, mix: Mix) -> Score:
        """Pays a mixture on the few rows, once."""
        if mix not in self.scores and self._has_time():
            self.scores[mix] = self._score(self.texts(mix))
        return self.scores.get(mix, Score(-np.inf, 0.0))

    def texts(self, mix: Mix) -> Sequence[str]:
        """Writes a mixture for all rows."""
        return [mix.write(texts, each) for texts, each in zip(self.pool, self.seen, strict=True)]

    def ranked(self) -> list[Mix]:
        """Lists the mixtures that were paid, the best first, and of those the simplest and shortest."""

        def place(mix: Mix) -> tuple[float, float, int, int]:
            pay, wins = self.scores[mix]
            return -pay, -wins, len(mix.parts), sum(self.sizes[each.piece] * each.times for each in mix.parts)

        return sorted((each for each, score in self.scores.items() if np.isfinite(score.pay)), key=place)

    def shrink(self, mix: Mix, is_gamed: Callable[[Mix, Texts], bool]) -> tuple[Mix, Texts]:
        """Leaves out parts, lines and words of a mixture that wins, as long as what is left is paid as much."""
        least, texts, self.cuts = self.scores[mix], self.texts(mix), 0
        fewer = self._fewer(mix, least)
        if fewer != mix and is_gamed(fewer, self.texts(fewer)):
            mix, texts = fewer, self.texts(fewer)
        for unit in UNITS:
            cut = self._cut(texts, unit, least)
            if cut != texts and is_gamed(mix, cut):
                texts = cut
        return mix, texts

    def _has_time(self) -> bool:
        return len(self.scores) < MOST and self.goes_on()

    def _score(self, texts: Texts) -> Score:
        few = {*self.few}
        paid = self.worth([text if i in few else None for i, text in enumerate(texts)])[self.few]
        wanted = self.honest[self.few]
        if not np.isfinite(paid).all():
            return Score(-np.inf, 0.0)
        return Score(round(float(np.minimum(paid, wanted).mean()), 9), float((gains(paid, wanted) >= 0).mean()))

    def _first(self) -> list[Mix]:
        """Lists mixtures of many pieces, and each piece alone, those of rows twice."""
        of_rows = [name for name in spans(self.seen) if name in self.sizes]
        short = sorted((name for name in self.sizes if self.sizes[name] < LONG), key=lambda name: self.sizes[name])
        forms = [name for name in short if name not in of_rows]
        wrong = Part(WRONG, around="in the form of answers")
        many = [
            self._many(names, room, times)
            for names in (forms, [name for name in short if name in of_rows], short)
            for room, times in ((SINK, 1), (SINK, 3), (SMALL_SINK, 1), (SMALL_SINK, 2))
        ]
        many += [(*self._many(forms, SMALL_SINK, 2), Part(name)) for name in of_rows]
        mixed = [Mix(parts) for each in many for parts in (each, (*each, wrong), (wrong, *each))]
        alone = [*map(Part, self.sizes), *(Part(name, 2) for name in of_rows)]
        return [*mixed, *(Mix((part,)) for part in (wrong, *alone))]

    def _many(self, names: Sequence[str], room: int, times: int) -> tuple[Part, ...]:
        """Lists as many pieces as there is room for."""
        parts = []
        for name in names:
            room -= (self.sizes[name] + 1) * times
            parts += [Part(name, times)] * (room > 0)
        return (*parts,)

    def _add(self, name: str, texts: Sequence[str]) -> None:
        """Adds a piece that is not empty everywhere, and not there already."""
        if any(texts) and all(texts != [*known] for known in zip(*(each.values() for each in self.pool), strict=True)):
            self.sizes[name] = max(map(len, texts))
            for own, text in zip(self.pool, texts, strict=True):
                own[name] = text

    def _distil(self) -> None:
        """Cuts what is paid alone to its words that earn, as pieces that leave room for others."""
        for mix in self._paying()[:DISTILLED]:
            texts = self.texts(mix)
            for unit in UNITS:
                texts = self._cut(texts, unit, self.scores[mix])
            self._add(name := f"{mix}, cut", texts)
            if name in self.sizes:
                self.score(Mix((Part(name),)))

    def _paying(self) -> list[Mix]:
        nothing = self.score(Mix())
        return [each for each in self.ranked() if len(each.parts) == 1 and self.scores[each] > nothing]

    def _add_in_turn(self) -> None:
        """Adds to the best what is paid alone, and keeps what raises it: parts of a reward that add up."""
        best = next(iter(self.ranked()), Mix())
        for each in self._paying()[:PAYING]:
            for parts in ((*best.parts, *each.parts), (*each.parts, *best.parts)):
                if each.parts[0] not in best.parts and self.score(Mix(parts)) > self.scores[best]:
                    best = Mix(parts)

    def _child(self, parents: Sequence[Mix]) -> Mix:
        """Changes a mixture in one way."""
        draw = self.random
        mix, other = draw.choice(parents), draw.choice(parents)
        parts, place = [*mix.parts], draw.randrange(len(mix.parts) + 1)
        way = draw.choice(["add", "add", "cross", "joint", "times", "around", "drop", "swap"]) if parts else "add"
        part = parts[place - 1] if parts else Part("")
        if way == "add":
            parts.insert(place, Part(draw.choice([*self.sizes])))
        elif way == "cross":
            parts[place:] = other.parts[draw.randrange(len(other.parts) + 1) :]
        elif way == "drop":
            parts.remove(part)
        elif way == "swap":
            parts.append(parts.pop(place - 1))
        elif way == "times":
            parts[place - 1] = part._replace(times=draw.choice(TIMES))
        elif way == "around":
            parts[place - 1] = part._replace(around=draw.choice([*AROUND]))
        return Mix((*parts,), draw.choice(JOINTS) if way == "joint" else mix.joint)

    def _holds(self, texts: Texts, least: Score) -> bool:
        self.cuts += 1
        if self.cuts > MOST // 2 or not self.goes_on():
            return False
        return all(own >= old for own, old in zip(self._score(texts), least, strict=True))

    def _fewer(self, mix: Mix, least: Score) -> Mix:
        """Leaves out halves of the parts, quarters and so on, and what is around and how often it is written."""
        step = max(1, len(mix.parts) // 2)
        while step:
            start = 0
            while start < len(mix.parts):
                fewer = mix._replace(parts=mix.parts[:start] + mix.parts[start + step :])
                mix, start = (fewer, start) if self._holds(self.texts(fewer), least) else (mix, start + step)
            step //= 2
        for i, part in enumerate(mix.parts):
            for plain in (Part(part.piece), part._replace(times=1), part._replace(times=2), part._replace(around="")):
                fewer = mix._replace(parts=(*mix.parts[:i], plain, *mix.parts[i + 1 :]))
                if plain != mix.parts[i] and plain.times <= part.times and self._holds(self.texts(fewer), least):
                    mix = fewer
                    break
        return mix

    def _cut(self, texts: Sequence[str], unit: re.Pattern[str], least: Score) -> Sequence[str]:
        """Leaves out halves of the lines or words of all texts, quarters and so on."""
        step = max(1, max(len(unit.findall(each)) for each in texts) // 2)
        while step:
            start = 0
            while start < max(len(unit.findall(each)) for each in texts):
                units = [unit.findall(each) for each in texts]
                fewer = ["".join(each[:start] + each[start + step :]) for each in units]
                texts, start = (fewer, start) if self._holds(fewer, least) else (texts, start + step)
            step //= 2
        return texts
