"""What is read of a log, whatever wrote it: a value of each metric for each document of each task."""

import hashlib
import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from align.data.problems import shorten
from align.errors import DataError
from align.evaluation.statistics.item_means import Codes
from align.evaluation.statistics.metrics import Values

SHOWN = 80  # characters of a document


class Item(NamedTuple):
    """One scored answer."""

    task: str
    document: Any  # what it is matched by: all that was asked, and nothing that was answered
    scores: Mapping[str, Any]
    name: str = ""  # its id in the log
    prompt: Any = None  # documents of one prompt belong together
    about: Mapping[str, Any] = {}  # where the column of groups is looked up


class Log(NamedTuple):
    """What a file or folder holds."""

    path: str
    tool: str  # and its version, where the log says it
    tasks: dict[str, "Task"]
    sentences: list[str]  # what was not read, and what the numbers are not


@dataclass
class Task:
    """The documents of a task; answers to one document, as of several epochs, are averaged."""

    keys: dict[bytes, int] = field(default_factory=dict)  # the place of each document
    names: list[str] = field(default_factory=list)
    prompts: list[bytes] = field(default_factory=list)  # of each document; none if each is a prompt of its own
    groups: list[str] = field(default_factory=list)
    _places: array = field(default_factory=lambda: array("l"))  # of each answer
    _scores: dict[str, tuple[array, array]] = field(default_factory=dict)  # places and values by metric

    @property
    def metrics(self) -> list[str]:
        """Returns their names, in the order of the log."""
        return list(self._scores)

    @property
    def answers(self) -> Values:
        """Returns how many answers each document has, `(N,)`."""
        return np.bincount(np.asarray(self._places), minlength=len(self.keys)).astype(float)

    @property
    def clusters(self) -> Codes | None:
        """Returns `(N,)` numbers of prompts; None where no two documents share one."""
        prompts, codes = np.unique(np.array(self.prompts, dtype="S12"), return_inverse=True)
        return None if len(prompts) == len(codes) else codes

    def values(self, metric: str) -> Values:
        """Returns the `(N,)` means over answers; nan where there is none."""
        places, values = map(np.asarray, self._scores[metric])
        counts = np.bincount(places, minlength=len(self.keys))
        with np.errstate(invalid="ignore"):
            return np.bincount(places, values, minlength=len(self.keys)) / counts

    def add(self, document: Any, item: Item, group: str | None) -> int:
        """Adds an answer without its scores, and returns the place of its document."""
        key = digest(document)
        place = self.keys.setdefault(key, len(self.keys))
        if place == len(self.names):
            self.names.append(item.name or shorten(document, SHOWN))
            if item.prompt is not None:
                self.prompts.append(digest(item.prompt))
            if group is not None:
                self.groups.append(str(look_up(item.about, group)))
        self._places.append(place)
        return place

    def score(self, place: int, metric: str, value: float) -> None:
        """Adds a score of an answer."""
        found = self._scores.get(metric)
        if found is None:
            found = self._scores[metric] = array("l"), array("d")
        found[0].append(place)
        found[1].append(value)


def collect(
    items: Iterable[Item], path: str, *, match: Sequence[str] = (), group: str | None = None
) -> dict[str, Task]:
    """Sorts answers by task and document, matched by all fields or those of `match`; `group` names a field."""
    tasks: dict[str, Task] = {}
    skipped: set[tuple[str, str]] = set()
    for number, item in enumerate(items, start=1):
        document = item.document
        if match:
            fields = {**item.about, **item.document} if isinstance(item.document, Mapping) else item.about
            document = [look_up(fields, name, path, number) for name in match]
        task = tasks.get(item.task)
        if task is None:
            task = tasks[item.task] = Task()
        place = task.add(document, item, group)
        for metric, score in item.scores.items():
            value = as_number(score)
            if value is None:
                skipped.add((item.task, metric))
            else:
                task.score(place, metric, value)
    for name, task in tasks.items():
        if not task.metrics:
            names = [f"`{metric}`" for of, metric in sorted(skipped) if of == name]
            which = f"{', '.join(names)} is none" if names else "there is none"
            raise DataError(f"{path}, task {name}: a score is a number, true or false, and {which}.")
    if not tasks:
        raise DataError(f"{path} holds no scored answer. Was the run that wrote it stopped before its end?")
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
        >>> as_number(True), as_number("0.5"), as_number([1, 2]), as_number(float("nan"))
        (1.0, 0.5, None, None)
    """
    if type(score) in (float, int, bool, str) or isinstance(score, np.number | np.bool_):
        try:
            value = float(score)
        except (ValueError, OverflowError):
            return None
        return value if math.isfinite(value) else None
    return None


def digest(document: Any) -> bytes:
    """Returns what is equal of equal documents, whatever the order of their fields."""
    text = document if isinstance(document, str) else json.dumps(document, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
