"""What is read of a log, whatever wrote it: a value of each metric for each document of each task."""

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from align.data.columns import Columns
from align.data.problems import shorten
from align.errors import DataError
from align.evaluation.statistics.item_means import Codes
from align.evaluation.statistics.metrics import Values

SHOWN = 80  # characters of a document
_LARGEST = 1e100  # a greater number has no square
_ODD, _ODD_WIDTH = 3, 24  # what stands in the place of a number: how many such are shown, and how much of each


class Item(NamedTuple):
    """One scored answer."""

    task: str
    document: Any  # what it is matched by: all that was asked, and nothing that was answered
    scores: Mapping[str, Any]
    name: str = ""  # how it is shown
    prompt: Any = None  # documents of one prompt belong together; of none, those that say the same
    about: Mapping[str, Any] = {}  # where the column of groups is looked up
    id: str = ""  # documents that say the same under several ids are several
    part: str = ""  # all answers of a part are scored by the same metrics
    step: int | None = None  # of the training that it was drawn in
    said: Any = None  # the answer; fields of a row are of the question where two logs agree in them


class Log(NamedTuple):
    """What a file or folder holds."""

    path: str
    tool: str  # and its version, where the log says it
    tasks: dict[str, "Task"]
    sentences: list[str]  # what was not read, and what the numbers are not

    @property
    def steps(self) -> frozenset[int]:
        """Returns the steps of a training that answers are of."""
        return frozenset().union(*(task.steps for task in self.tasks.values()))


@dataclass(frozen=True)
class How:
    """How items are read: what they are matched by, their scores and groups."""

    match: Sequence[str] = ()
    scores: Sequence[str] = ()
    group: str | None = None
    average: bool = False
    columns: Columns = field(default_factory=dict)  # of tables: our names by theirs, where a row has such
    steps: frozenset[int] | None = None  # of a training, which alone are read
    shown: frozenset[bytes] = frozenset()  # keys of documents whose texts are kept, and no scores


class Scored(NamedTuple):
    """The numbers of a metric, and some of what stands where one should."""

    part: str
    places: array
    values: array
    odd: list[str]


@dataclass
class Task:
    """The documents of a task; answers to one document, as of several epochs, are averaged."""

    keys: dict[bytes, int] = field(default_factory=dict)  # the place of each document
    names: list[str] = field(default_factory=list)
    prompts: list[bytes] = field(default_factory=list)  # of each document
    groups: list[str] = field(default_factory=list)
    steps: set[int] = field(default_factory=set)
    texts: dict[bytes, Item] = field(default_factory=dict)  # the first answer to each document that is shown
    _ids: dict[bytes, str] = field(default_factory=dict)  # the first of each document
    _copies: dict[bytes, dict[str, int]] = field(default_factory=dict)  # the ids of those that have several
    _places: dict[str, array] = field(default_factory=dict)  # of each answer, by part
    _due: dict[str, Values] = field(default_factory=dict)  # how many answers each document should have, by part
    scored: dict[str, Scored] = field(default_factory=dict)  # by metric

    @property
    def metrics(self) -> list[str]:
        """Returns the names of those that have a number, in the order of the log."""
        return [name for name, found in self.scored.items() if found.values]

    @property
    def answers(self) -> Values:
        """Returns how many answers each document has, `(N,)`."""
        return np.max([self._count(places) for places in self._places.values()], axis=0)

    @cached_property
    def clusters(self) -> Codes | None:
        """Returns `(N,)` numbers of prompts; None where no two documents share one."""
        prompts, codes = np.unique(np.array(self.prompts, dtype="S12"), return_inverse=True)
        return None if len(prompts) == len(codes) else codes

    def values(self, metric: str, missing: float | None = None) -> Values:
        """Returns the `(N,)` means over answers, with a value for scores that are missing; nan where there is none."""
        found, lacking = self.scored[metric], 0.0 if missing is None else self.lacking(metric)
        sums = np.bincount(found.places, found.values, minlength=len(self.keys)) + (missing or 0.0) * lacking
        with np.errstate(invalid="ignore"):
            return sums / (self._count(found.places) + lacking)

    def lacking(self, metric: str) -> Values:
        """Returns how many scores each document lacks, `(N,)`."""
        found = self.scored[metric]
        due = np.maximum(self._count(self._places[found.part]), self._due.get(found.part, 1.0))
        return due - self._count(found.places)

    def beside(self, other: "Task") -> "Task":
        """Returns this with what only the other log has, behind its own: documents and answers that lack scores here.

        Of a document that both have, answers are lacking if it was asked less often than others, for the other log.
        """
        new = [place for key, place in other.keys.items() if key not in self.keys]
        keys = {key: place for place, key in enumerate(self.keys | other.keys)}
        here, due = np.array([keys[key] for key in other.keys]), {}
        for part in self._places.keys() & other._places.keys():
            asked = np.zeros(len(keys))
            asked[here] = other._count(other._places[part])
            due[part] = np.maximum(np.ceil(asked * self._count(self._places[part]).max() / asked.max()), 1.0)
        return replace(
            self,
            keys=keys,
            names=[*self.names, *(other.names[place] for place in new)],
            prompts=[*self.prompts, *(other.prompts[place] for place in new)],
            groups=[*self.groups, *(other.groups[place] for place in new)] if self.groups else [],
            _due=due,
        )

    def _count(self, places: array) -> Values:
        return np.bincount(np.asarray(places), minlength=len(self.keys)).astype(float)

    def add(self, item: Item, document: Any, how: How) -> int:
        """Adds an answer without its scores, and returns the place of its document."""
        says = key = digest(document)
        if item.id and not how.match and self._ids.setdefault(says, item.id) != item.id:
            copies = self._copies.setdefault(says, {self._ids[says]: 0})
            if copy := copies.setdefault(item.id, len(copies)):
                key = digest([says.hex(), copy])
        if key in how.shown:
            self.texts.setdefault(key, item)
        place = self.keys.setdefault(key, len(self.keys))
        if place == len(self.names):
            self.names.append(item.name or shorten(document, SHOWN))
            self.prompts.append(says if item.prompt is None else digest(item.prompt))
            if how.group is not None:
                self.groups.append(str(look_up(item.about, how.group)))
        if item.step is not None:
            self.steps.add(item.step)
        self._places.setdefault(item.part, array("l")).append(place)
        return place

    def score(self, place: int, metric: str, score: Any, part: str) -> None:
        """Adds a score of an answer."""
        found = self.scored.get(metric)
        if found is None:
            found = self.scored[metric] = Scored(part, array("l"), array("d"), [])
        if (value := as_number(score)) is not None:
            found.places.append(place)
            found.values.append(value)
        elif len(found.odd) < _ODD and score is not None and (shown := shorten(score, _ODD_WIDTH)) not in found.odd:
            found.odd.append(shown)


def collect(items: Iterable[Item], path: str, how: How, sentences: Sequence[str] = ()) -> dict[str, Task]:
    """Sorts answers by task and document; `sentences` say what else is known where no answer is scored."""
    tasks: dict[str, Task] = {}
    for number, item in enumerate(items, start=1):
        if how.steps is not None and item.step not in how.steps:
            continue
        document = item.document
        if how.match:
            fields = {**item.about, **item.document} if isinstance(item.document, Mapping) else item.about
            document = [look_up(fields, name, path, number) for name in how.match]
        task = tasks.get(item.task)
        if task is None:
            task = tasks[item.task] = Task()
        place = task.add(item, document, how)
        for metric, score in () if how.shown else item.scores.items():
            task.score(place, metric, score, item.part)
    more = "".join(f" {each}" for each in sentences)
    for name, task in tasks.items():
        if not task.metrics and not how.shown:
            odd = [f"`{metric}` holds {', '.join(each.odd) or 'nothing'}" for metric, each in task.scored.items()]
            raise DataError(
                f"{path}, task {name}: a score is a number, true or false, yes or no, and of {len(task.keys):,} "
                f"documents none has one{': ' if odd else ''}{', '.join(odd)}.{more}"
            )
    if not tasks:
        raise DataError(f"{path} holds no scored answer. Was the run that wrote it stopped before its end?{more}")
    return tasks


def look_up(row: Mapping[str, Any], name: str, path: str = "", number: int = 0) -> Any:
    """Returns a field, also one in an object, as `doc.subject`."""
    value: Any = row
    for part in [name] if name in row else name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            where = f"{path}, row {number}: " if path else ""
            raise DataError(f"{where}there is no field `{name}`. Fields are {', '.join(map(str, row)) or '(none)'}.")
        value = value[part]
    return value


def as_number(score: Any) -> float | None:
    """Reads a score; None of what is no finite number.

    Example:
        >>> as_number(True), as_number("0.5"), as_number("Yes"), as_number([1, 2]), as_number(float("nan"))
        (1.0, 0.5, 1.0, None, None)
    """
    if isinstance(score, str) and score.lower() in ("true", "false", "yes", "no"):
        return float(score.lower() in ("true", "yes"))
    if type(score) in (float, int, bool, str) or isinstance(score, np.number | np.bool_):
        try:
            value = float(score)
        except (ValueError, OverflowError):
            return None
        return value if abs(value) < _LARGEST else None
    return None


def digest(document: Any) -> bytes:
    """Returns what is equal of equal documents, whatever the order of their fields."""
    text = document if isinstance(document, str) else json.dumps(document, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
