"""Where right answers may stand in rows, and how a row is given another's; names only order the tries."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rewards.reading.options import LETTERS
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS

Row = Mapping[str, Any]
Texts = Sequence[str | None]
# Columns in which data sets keep the right answer, in the order in which they are tried.
GOLD_COLUMNS = (
    "answer", "solution", "gold", "ground_truth", "reference", "target", "label", "final_answer", "expected_answer",
    "gold_answer", "reference_answer", "correct_answer", "expected", "truth",
)  # fmt: skip
NOT_DATA = {*CALL_ARGUMENTS, *TRAINER_ARGUMENTS, "prompt", "images", "image", "id", "completion"}
FIRST_ROWS, MOST_PLACES = 16, 32
MOST_LABELS, MOST_JOINTS = 12, 4  # runs of words in code that whole numbers may stand for; signs that join lists
DECOYS = 3  # other right answers that a row is given
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")
FENCE = re.compile(r"(```\w*\n)(.*?)\n?```", re.DOTALL)


class Place(NamedTuple):
    """A place in rows where the right answer may stand: a column, what lies within it, and how it is read."""

    path: tuple[str | int, ...]
    options: str = ""  # column of the options of which it names one
    is_letter: bool = False  # whether an option is given by its letter
    is_whole: bool = False  # whether a list or a mapping is written out, as JSON, or joined by
    joint: str = ""
    labels: tuple[str, ...] = ()  # words of the reward's code, of which it is the number of one

    def __str__(self) -> str:
        """Writes it as an option takes it."""
        return ".".join(map(str, self.path)) or "all columns"

    def text(self, row: Row) -> str | None:
        """Reads the right answer of a row; what follows `####`, or stands in a fence, where it does."""
        value = self.value(row)
        if self.options or self.labels:
            known = row.get(self.options) if self.options else list(self.labels)
            number = index_of(value, known)
            return None if number is None else LETTERS[number] if self.is_letter else options_of(known)[number]
        if self.joint and isinstance(value, list | tuple | Mapping):
            return self.joint.join(map(str, value.values() if isinstance(value, Mapping) else value))
        return json.dumps(value, ensure_ascii=False, default=str) if self.is_whole else _written(value)

    def value(self, row: Row) -> Any:
        """Returns what stands there; None where nothing does."""
        value: Any = row if self.path else {n: each for n, each in row.items() if n not in NOT_DATA}
        for step in self.path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def options_of(value: Any) -> list[str]:
    """Lists the texts of options: of a list, of a mapping from letters, or of one with `text` and `label`."""
    if isinstance(value, Mapping):
        value = value.get("text") if isinstance(value.get("text"), list | tuple) else list(value.values())
    texts = [*value] if isinstance(value, list | tuple) else []
    is_list = 1 < len(texts) <= len(LETTERS) and all(isinstance(each, str | int | float) for each in texts)
    return [str(each) for each in texts] if is_list else []


def index_of(value: Any, options: Any) -> int | None:
    """Finds which option a value names by its index, its letter, its label or its text."""
    texts = options_of(options)
    labels = (options.get("label") or [*options]) if isinstance(options, Mapping) else [*LETTERS[: len(texts)]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < len(texts) else None
    return next((known.index(value) for known in (labels, texts) if value in known and value is not None), None)


def _written(value: Any) -> str | None:
    if not isinstance(value, str | list) and hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    if not isinstance(value, str | int | float) or value == "":
        return None
    text = str(value).strip()
    return FENCE.sub(r"\2", text if text.startswith(("{", "[")) else text.rpartition("####")[2].strip()) or None


def _within(value: Any, path: tuple[str | int, ...]) -> Iterator[Place]:
    """Yields the places within a value: itself, the first of a list, the last of messages, the fields of a mapping."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _within(each, (*path, name))
    elif isinstance(value, list | tuple) and value:
        if isinstance(value[-1], Mapping) and "content" in value[-1]:
            yield Place((*path, -1, "content"))
            return
        yield from _within(value[0], (*path, 0))
    elif isinstance(value, str | bytes | int | float | complex) or hasattr(value, "item"):
        yield Place(path)
        return
    if value and not isinstance(value, str):
        yield Place(path, is_whole=True)


def places(
    rows: Sequence[Row], read: Sequence[str] = (), literals: Sequence[object] = (), gold: str = ""
) -> list[Place]:
    """Lists where right answers may stand: in what a reward reads first, and there by the names that are usual."""
    first: dict[str, Any] = {}
    for row in rows[:FIRST_ROWS]:
        for name, value in row.items():
            if first.get(name) is None:
                first[name] = value
    words = [each for each in literals if isinstance(each, str)]
    signs = [
        ", ",
        *(f"{pad}{each}{pad}" for each in words if len(each) < 4 and not re.search(r"\w", each) for pad in (" ", "")),
    ]
    lists = [name for name, value in first.items() if options_of(value)]
    usual = [name for name in GOLD_COLUMNS if name in first]
    order = [name for name in dict.fromkeys([*usual, *first]) if name not in NOT_DATA]
    found = []
    for name in sorted(order, key=lambda each: each not in read):
        for place in _within(first[name], (name,)):
            value = next((each for row in rows if (each := place.value(row)) is not None), None)
            choices = [each for each in lists if each != name and index_of(value, first[each]) is not None]
            found += [Place(place.path, each, is_letter) for each in choices for is_letter in (True, False)]
            found.append(place)
            if place.is_whole and isinstance(value, list | tuple) and not isinstance(value[0], Mapping | list):
                found += [place._replace(joint=each) for each in dict.fromkeys(signs[: 1 + MOST_JOINTS])]
            if place.is_whole and isinstance(value, Mapping) and len(value) == 2:  # a number and its unit
                found.append(place._replace(joint=" "))
            if name in read and isinstance(value, int) and not isinstance(value, bool):
                found += [place._replace(labels=each) for each in _labels([place.value(row) for row in rows], words)]
    if gold:
        found = [each for each in found if str(each) == gold or str(each).startswith(f"{gold}.")]
    return found[: None if gold else MOST_PLACES]


def _labels(values: Sequence[Any], words: Sequence[str]) -> list[tuple[str, ...]]:
    """Lists runs of words of some code of which whole numbers from 0 on may be the places."""
    known = {value for value in values if isinstance(value, int)}
    count = max(known, default=0) + 1
    if min(known, default=0) < 0 or not 1 < count <= len(LETTERS):
        return []
    runs = [tuple(words[i : i + count]) for i in range(len(words) - count + 1)]
    return [run for run in dict.fromkeys(runs) if len({*run}) == count][:MOST_LABELS]


def shape(text: str) -> str:
    """Writes a text with `#` for each of its numbers."""
    return NUMBER.sub("#", text)


def others_of(texts: Texts) -> list[list[int | None]]:
    """Finds for each row `DECOYS` rows with other texts, of the same shape where there are enough; no order counts."""
    known: dict[str, int] = {}
    for i, text in enumerate(texts):
        if text is not None:
            known.setdefault(text, i)
    order = sorted(known)
    shapes = {text: shape(text) for text in order}
    alike = {form: [text for text in order if shapes[text] == form] for form in {*shapes.values()}}
    found: list[list[int | None]] = [[] for _ in range(DECOYS)]
    for text in texts:
        near = alike[shapes[text]] if text is not None else []
        ring = near if len(near) > DECOYS else order
        start = ring.index(text) if text is not None else 0
        steps = dict.fromkeys(step % len(ring) for step in (1, -1, len(ring) // 2) if step % len(ring)) if ring else ()
        donors = [known[ring[(start + step) % len(ring)]] for step in steps]
        for k in range(DECOYS):
            found[k].append(donors[k % len(donors)] if text is not None and donors else None)
    return found


def exchange(rows: Sequence[Row], donors: Sequence[int | None], columns: Iterable[str]) -> list[Row]:
    """Gives each row the columns of its donor."""
    names = [*columns]
    return [
        row if donor is None else {**row, **{name: rows[donor].get(name) for name in names if name in row}}
        for row, donor in zip(rows, donors, strict=True)
    ]
