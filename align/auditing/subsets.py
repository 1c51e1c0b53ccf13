"""Cues that hold in one part of the rows and not in the others, such as longer answers in one source."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from align.auditing.significance import Flags, Numbers, Tested, of_z, stricter

MOST_COLUMNS, MOST_LEVELS, LONGEST = 3, 12, 40


class Parts:
    """Takes the values of columns up that have few, by which rows fall into parts."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[dict[Any, int], list[int]]] | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes a row up; a column that is absent somewhere, or has many values, is left out from there on."""
        if self._columns is None:
            self._columns = {name: ({}, []) for name in row}
        for name, (levels, numbers) in [*self._columns.items()]:
            value = row.get(name)
            fits = isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= LONGEST)
            if fits and (value in levels or len(levels) < MOST_LEVELS):
                numbers.append(levels.setdefault(value, len(levels)))
            else:
                del self._columns[name]

    def found(self, least: int, kept: Flags, golds: Numbers) -> list[tuple[str, Flags]]:
        """Returns what each part is called and which of the rows that are kept, `(N,)`, are in it.

        A column that says which answer is right is none; neither is one without two parts of `least` rows.
        """
        parts: list[list[tuple[str, Flags]]] = []
        for name, (levels, numbers) in (self._columns or {}).items():
            inside = [(level, kept & (np.array(numbers) == number)) for level, number in levels.items()]
            large = [(f"`{name}` is {level!r}", flags) for level, flags in inside if flags.sum() >= least]
            tells = len(np.unique(golds[kept])) > 1 and all(len(np.unique(golds[each])) == 1 for _, each in large)
            if len(large) > 1 and not tells:
                parts.append(large)
        return [part for of_column in sorted(parts, key=len)[:MOST_COLUMNS] for part in of_column]


def against_rest(part: Tested, whole: Tested) -> Tested:
    """Has the features of a part pass a test against the rows outside of it, too: what all rows have is no part's."""
    at = {key: i for i, key in enumerate(zip(whole.names, whole.types, whole.targets, strict=True))}
    places = np.fromiter((at.get(key, -1) for key in zip(part.names, part.types, part.targets, strict=True)), int)
    n, whole_n, whole_hits = part.n, np.append(whole.n, 0)[places], np.append(whole.hits, 0)[places]
    rest, pooled = whole_n - n, whole_hits / np.maximum(1, whole_n)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (part.hits / n - (whole_hits - part.hits) / rest) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / rest))
    z = np.where(rest > 0, np.nan_to_num(z), part.z)  # where no row outside has it, or nearly all rows do
    return part._replace(p_values=stricter(part.p_values, part.z, of_z(z), z))
