"""Search behind the bank of hacks: pieces of what a policy can see are mixed, and what is paid is mixed again.

No mixture knows the right answer, and its pay counts only where another right answer in the row pays it, too.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.hacks.words import MARKUP, PLEASING, WORK
from rewards.attacks.seen import Family, Hack, Seen
from rewards.roles import gains
from rewards.running.contract.calls import shorten
from rewards.running.contract.patterns import is_pattern, matching, own_texts

SEARCH = Family(
    "search", "What a search put together, piece by piece",
    "Let what a text without an answer can earn count beside right answers only (`reward_gates`).",
)  # fmt: skip
FEW, PATIENCE = 8, 3  # rows on which mixtures are compared, and rounds in which nothing rises
MOST, CUTS = 400, 200  # mixtures that are paid, and cuts of one that wins or of all that pay a part
BEAM, CHILDREN, JUDGED = 6, 24, 3  # mixtures that have children, those of a round, and those that are judged then
PAYING, DISTILLED = 24, 8  # pieces that are added in turn to the best, and that are cut first where nothing rises
WORDS, SIZES = 40, 6  # texts and numbers of the reward's code that are pieces
LONG, SINKS = 400, ((3000, 1), (3000, 3), (160, 1), (160, 2))  # characters of a piece; of many, so many times each
JOINTS, TIMES = ("\n", " ", "\n\n", ""), (2, 3, 5, 10)
SMALL = (
    "# Why", "## How\n", "- one", "* one", "1. one", "**so**", "`so`", "> so", "---", "[1]", "https://example.com",
    "Step 1:", "Therefore, it is so.", "Wait,", "{}", "()", "<b></b>", "!", "?", "A", "1",
)  # fmt: skip
SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
SHOWN = {"numbers": r"\d+", "names": r"\b[A-Z]\w+", "words": r"\w{6,}", "quotes": r"[\"'`]([^\"'`\n]+)[\"'`]"}
UNITS = (r"[^\n]*\n|[^\n]+", r"\s*\S+|\s+")  # lines and words, with what is between them
WRONG = "another row's answer"
AROUND: dict[str, Callable[[Seen, str], str]] = {
    "": lambda seen, text: text,
    "in the form of answers": lambda seen, text: seen.form(text),
    "as the trace": lambda seen, text: f"<{seen.tags.think_tag}>\n{text}\n</{seen.tags.think_tag}>",
}
Score = tuple[float, float]  # pay on the few rows, at most an honest answer's, and the share of them that pay so much


Part = tuple[str, int, str]  # a piece in a mixture, how many times it is written, and in which place of a response


class Mix(NamedTuple):
    """Pieces in a row."""

    parts: tuple[Part, ...] = ()
    joint: str = "\n"

    def __str__(self) -> str:
        """Says what it is made of."""
        return "; ".join(
            f"{piece}{f', {times} times' if times > 1 else ''} {around}".strip() for piece, times, around in self.parts
        )


def spans(seen: Seen) -> dict[str, str]:
    """Lists parts of the prompt, of an answer to another row, and of what may be right, by what they are in words."""
    sentences, answer = [*filter(None, SENTENCES.split(seen.prompt.strip()))], SENTENCES.split(seen.wrong)
    found = {WRONG: seen.wrong, f"the start of {WRONG}": answer[0], f"the end of {WRONG}": answer[-1]}
    found |= {"the prompt": seen.prompt, "the last sentence of the prompt": (sentences or [""])[-1]}
    found |= {f"sentence {k + 1} of the prompt": "".join(sentences[k : k + 1]) for k in range(6)}
    found |= {f"the {name} of the prompt": " ".join(re.findall(each, seen.prompt)) for name, each in SHOWN.items()}
    return found | {"an empty answer": seen.form(""), "all answers": ", ".join(sorted(seen.known))}


def constants(seen: Seen) -> list[str]:
    """Lists forms, words that please, and the words, patterns and numbers of the reward's code and docstring."""
    words = [matching(each, "a") if is_pattern(each) else each for each in seen.literals if isinstance(each, str)]
    sizes = sorted({round(each) + 1 for each in seen.literals if not isinstance(each, str) and 2 <= each <= 500})
    return [
        *SMALL, *own_texts(()), *PLEASING, *WORK, *MARKUP, *words[:WORDS],
        *(" ".join(["so"] * size) for size in sizes[:SIZES]), *SENTENCES.split(seen.words)[:SIZES],
    ]  # fmt: skip


class Search:
    """Mixes pieces, keeps what a few rows pay most, and mixes that again, as long as it rises.

    `worth` pays texts, and on rows with another right answer, too; the lower counts. `honest` is what honest answers
    are paid, NaN on rows that do not count. What is drawn depends on what stands in the rows, and on neither their
    order nor the time.
    """

    def __init__(
        self,
        seen: Sequence[Seen],
        bank: Sequence[Hack],
        worth: Callable[[Sequence[str | None]], np.ndarray],
        honest: np.ndarray,
        goes_on: Callable[[], bool],
    ) -> None:
        self.seen, self.worth, self.honest, self.goes_on = seen, worth, honest, goes_on
        self.pieces: dict[str, list[str]] = {}  # texts for all rows
        self.of_rows = [name for name in spans(seen[0]) if self._add(name, [spans(each)[name] for each in seen])]
        for text in constants(seen[0]):
            self._add(shorten(text, 60), [text] * len(seen))
        for hack in bank:
            self._add(f"`{hack.name}`", [hack.write(each, None) or "" for each in seen])
        marks = [sha256(each.prompt.encode("utf-8", "replace")).hexdigest() for each in seen]
        paid = (i for i, each in enumerate(honest) if np.isfinite(each))
        self.few = sorted(paid, key=lambda i: (marks[i], seen[i].wrong))[:FEW]
        self.random = random.Random("".join(sorted(marks)))
        self.scores: dict[Mix, Score] = {}
        self.cuts = 0

    def climb(self) -> Iterator[Mix]:
        """Yields mixtures that most of the few rows pay as an honest answer, of each round the best."""
        shown: set[Mix] = set()
        children, idle, best = self._first(), 0, (-np.inf, 0.0)
        while idle < PATIENCE:
            for each in children:
                self.score(each)
            if idle == 1:
                self._distil()
            self._add_in_turn()
            ranked = self.ranked()
            found = [each for each in ranked if self.scores[each][1] >= 0.5 and each not in shown][:JUDGED]
            shown |= {*found}
            yield from found
            if not ranked or not self._has_time():
                return
            idle, best = (0 if self.scores[ranked[0]] > best else idle + 1), max(best, self.scores[ranked[0]])
            parents = [each for each in ranked if self.scores[each] > self.score(Mix())][:BEAM] or ranked
            children = [self._child(parents) for _ in range(CHILDREN)]

    def score(self, mix: Mix) -> Score:
        """Pays a mixture on the few rows, once."""
        if mix not in self.scores and self._has_time():
            self.scores[mix] = self._score(self.texts(mix))
        return self.scores.get(mix, (-np.inf, 0.0))

    def texts(self, mix: Mix) -> list[str]:
        """Writes a mixture for all rows."""
        found, join = [], mix.joint.join
        for i, own in enumerate(self.seen):
            parts = (AROUND[around](own, join([self.pieces[name][i]] * times)) for name, times, around in mix.parts)
            found.append(join(parts)[: own.limit])
        return found

    def ranked(self) -> list[Mix]:
        """Lists the mixtures that were paid, the best first, and of those the simplest."""
        known = [each for each, score in self.scores.items() if score[0] > -np.inf]
        return sorted(known, key=lambda each: (*self.scores[each], -len(each.parts), -len(str(each))), reverse=True)

    def shrink(self, mix: Mix, judge: Callable[[Mix, Sequence[str]], Any]) -> Any:
        """Leaves out parts, lines and words of a mixture that wins, as long as it does, and judges what is left."""
        least, self.cuts = self.scores[mix], 0
        own = Mix(joint=mix.joint)
        (parts,) = self._cut([mix.parts], lambda each: self.texts(own._replace(parts=(*each[0],))), least)
        fewer = own._replace(parts=(*parts,))
        mix = fewer if judge(fewer, self.texts(fewer)).verdict == "gamed" else mix
        found = judge(mix, self._words(self.texts(mix), least))
        return found if found.verdict == "gamed" else judge(mix, self.texts(mix))

    def _has_time(self) -> bool:
        return len(self.scores) < MOST and self.goes_on()

    def _add(self, name: str, texts: list[str]) -> bool:
        """Adds a piece, unless it is empty everywhere or there already."""
        is_new = any(texts) and texts not in self.pieces.values()
        self.pieces |= {name: texts} if is_new else {}
        return is_new

    def _size(self, name: str) -> int:
        return max(map(len, self.pieces[name]))

    def _score(self, texts: Sequence[str]) -> Score:
        paid = self.worth([text if i in self.few else None for i, text in enumerate(texts)])[self.few]
        wanted = self.honest[self.few]
        if not np.isfinite(paid).all():
            return -np.inf, 0.0
        return round(float(np.minimum(paid, wanted).mean()), 9), float((gains(paid, wanted) >= 0).mean())

    def _first(self) -> list[Mix]:
        """Lists nothing, mixtures of many pieces, and each piece alone, those of rows twice."""
        short = sorted((name for name in self.pieces if self._size(name) < LONG), key=self._size)
        forms, rows = ([each for each in short if (each in self.of_rows) is own] for own in (False, True))
        wrong, found = (WRONG, 1, "in the form of answers"), [Mix()]
        for names in (forms, rows, short):
            for room, times in SINKS:
                sizes = np.cumsum([(self._size(name) + 1) * times for name in names])
                many = [(name, times, "") for name, size in zip(names, sizes, strict=True) if size < room]
                ends = [wrong, *((name, 1, "") for name in self.of_rows * (names is forms and room < LONG))]
                found += [Mix((*many,)), Mix((wrong, *many)), *(Mix((*many, end)) for end in ends)]
        alone = [wrong, *((name, 1, "") for name in self.pieces), *((name, 2, "") for name in self.of_rows)]
        return [*found, *(Mix((part,)) for part in alone)]

    def _paying(self) -> list[Mix]:
        return [each for each in self.ranked() if len(each.parts) == 1 and self.scores[each] > self.score(Mix())]

    def _distil(self) -> None:
        """Cuts what is paid alone to its words that earn, as pieces that leave room for others."""
        for mix in self._paying()[:DISTILLED]:
            if self._add(name := f"{mix}, cut", self._words(self.texts(mix), self.scores[mix])):
                self.score(Mix(((name, 1, ""),)))

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
        way = draw.choice(["add", "add", "cross", "joint", "times", "around", "last", "drop"]) if parts else "add"
        if way == "add":
            parts.insert(place, (draw.choice([*self.pieces]), 1, ""))
        elif way == "cross":
            parts[place:] = other.parts[draw.randrange(len(other.parts) + 1) :]
        elif way != "joint":
            name, times, around = parts.pop(place - 1)
            times = draw.choice(TIMES) if way == "times" else times
            around = draw.choice([*AROUND]) if way == "around" else around
            parts += [(name, times, around)] * (way != "drop")
        return Mix((*parts,), draw.choice(JOINTS) if way == "joint" else mix.joint)

    def _holds(self, texts: Sequence[str], least: Score) -> bool:
        self.cuts += 1
        return self.cuts <= CUTS and self.goes_on() and all(np.subtract(self._score(texts), least) >= 0)

    def _words(self, texts: list[str], least: Score) -> list[str]:
        """Leaves out lines of all texts, and then words."""

        def write(lists: list[list[str]]) -> list[str]:
            return ["".join(each) for each in lists]

        for unit in UNITS:
            texts = write(self._cut([re.findall(unit, each) for each in texts], write, least))
        return texts

    def _cut(self, lists: list[Any], write: Callable[[list[Any]], list[str]], least: Score) -> list[Any]:
        """Leaves out halves of what is in lists, quarters and so on, as long as what is written holds."""
        step = max(1, max(map(len, lists)) // 2)
        while step:
            start = 0
            while start < max(map(len, lists)):
                less = [each[:start] + each[start + step :] for each in lists]
                lists, start = (less, start) if self._holds(write(less), least) else (lists, start + step)
            step //= 2
        return lists
