"""Several data sets as one: rows of each in turn, as often as their weights say."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from align.data.pairs.reward_pairs import DEFAULT_SOURCE
from align.data.problems import DataReport
from align.data.prompt_rows import PromptRow
from align.errors import DataError
from align.recipe.dataset import JOINT, DatasetConfig

MOST_REPEATS, MOST_ROWS = 100, 1_000_000  # drawn rows, over those of all sets and in all
Rows = Sequence[dict[str, Any]]
Item = TypeVar("Item")
Report = TypeVar("Report", bound=DataReport)


class Share(NamedTuple):
    """What became of one data set of a mixture."""

    name: str
    weight: float | None  # its share of all weights, None where sets have none
    rows: int  # that can be used
    drawn: int  # rows of it among those for training, with repetitions

    @property
    def repeats(self) -> float:
        """How often a row of it is there, on average."""
        return self.drawn / self.rows


def set_names(sources: Sequence[DatasetConfig]) -> list[str]:
    """Names data sets, as short as keeps them apart."""
    ways: tuple[Callable[[DatasetConfig], str], ...] = (
        lambda each: Path(each.path).stem,
        lambda each: "-".join([Path(each.path).stem, *([each.split] if each.split else [])]),
        lambda each: f"{Path(each.path).parent.name}/{Path(each.path).stem}",
        lambda each: each.path,
    )
    for way in ways:
        names = [way(each) for each in sources]
        if len(set(names)) == len(names):
            return names
    return [f"{Path(each.path).stem}-{number}" for number, each in enumerate(sources, start=1)]


def join_sets(names: Sequence[str], parts: Sequence[tuple[Sequence[Item], Report]]) -> tuple[list[Item], Report]:
    """Puts what was read of several sets together, each row once, under ids and sources that tell sets apart."""
    items: list[Item] = []
    taken: set[str] = set()
    for name, (part, _) in zip(names, parts, strict=True):
        items += (_of_set(item, name, taken) for item in part)
        taken |= {item.id for item in items}  # type: ignore[attr-defined]
    return items, join_reports([report for _, report in parts])


def _of_set(item: Any, name: str, taken: set[str]) -> Any:
    changes: dict[str, Any] = {"id": f"{name}/{item.id}"} if item.id in taken else {}
    if getattr(item, "group", "") is None:
        changes["group"] = name
    if getattr(item, "source", "") == DEFAULT_SOURCE:
        changes["source"] = name
    if isinstance(item, PromptRow):
        changes["columns"] = {"source": name, **item.columns}
    return replace(item, **changes)


def join_reports(reports: Sequence[Report]) -> Report:
    """Adds up what was counted."""
    first = reports[0]
    names = [each.name for each in fields(first) if each.name != "file"]
    sums = {name: _sum([getattr(report, name) for report in reports]) for name in names}
    return replace(first, file=JOINT.join(report.file for report in reports), **sums)


def _sum(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Mapping):
        return dict(sum(map(Counter, values), Counter()))
    if isinstance(values[0], set):
        return set().union(*values)
    return [each for value in values for each in value] if isinstance(values[0], list) else sum(values)


def mix_rows(rows: Rows, ids: Sequence[str], sizes: Sequence[int], data: DatasetConfig) -> tuple[Rows, list[Share]]:
    """Draws the rows of a mixture, by `datasets.interleave_datasets`, and says what became of each set.

    `rows` are those of all sets for a trainer, each once; `ids` are of all items, set by set, also of those without a
    row.
    """
    names, entries = set_names(data.sources), data.mix or []
    ends = list(accumulate(sizes))
    by_id = {row["id"]: row for row in rows}
    sets = [
        [by_id[each] for each in ids[end - size : end] if each in by_id] for end, size in zip(ends, sizes, strict=True)
    ]
    for name, part in zip(names, sets, strict=True):
        if not part:
            raise DataError(f"No row of {name} is left for training, so it cannot be mixed in. Leave the set out.")
    _check_forms(names, sets)
    weights = [entry.weight for entry in entries if entry.weight is not None]
    total = sum(weights)
    drawn = list(_draw(sets, weights, data))
    counts = Counter(number for number, _ in drawn)
    shares = [
        Share(name, weights[number] / total if weights else None, len(sets[number]), counts[number])
        for number, name in enumerate(names)
    ]
    return [sets[number][place] for number, place in drawn], shares


def _draw(sets: Sequence[Rows], weights: Sequence[float], data: DatasetConfig) -> Iterator[tuple[int, int]]:
    """Yields set and place of each row of a mixture; without weights all rows, set by set, as TRL's scripts do."""
    if not weights:
        yield from ((number, place) for number, part in enumerate(sets) for place in range(len(part)))
        return
    import datasets

    _refuse_many(sets, weights, data)
    parts = [
        datasets.Dataset.from_dict({"set": [number] * len(part), "place": list(range(len(part)))})
        for number, part in enumerate(sets)
    ]
    mixed = datasets.interleave_datasets(
        parts,
        probabilities=[weight / sum(weights) for weight in weights],
        seed=data.mix_seed,
        stopping_strategy=data.stopping_strategy,
    )
    yield from zip(mixed["set"], mixed["place"], strict=True)


def _refuse_many(sets: Sequence[Rows], weights: Sequence[float], data: DatasetConfig) -> None:
    """Refuses weights by which other sets are read over and over before a small one ends: the draw takes minutes."""
    if not data.stopping_strategy.startswith("all_exhausted"):
        return
    expected, number = max((len(part) * sum(weights) / weights[i], i) for i, part in enumerate(sets))
    if expected > MOST_REPEATS * sum(map(len, sets)) and expected > MOST_ROWS:
        raise DataError(
            f"`dataset.mix`: with `stopping_strategy: {data.stopping_strategy}` about {expected:,.0f} rows are drawn "
            f"before the {len(sets[number]):,} rows of a set of weight {weights[number]:g} are through, and all sets "
            f"have {sum(map(len, sets)):,}. Raise that weight, or set `dataset.stopping_strategy: first_exhausted`."
        )


def _check_forms(names: Sequence[str], sets: Sequence[Rows]) -> None:
    """Finds a column that holds values of one kind in one set and of another kind in another: Arrow takes one."""
    kinds: dict[str, tuple[str, str]] = {}
    for name, part in zip(names, sets, strict=True):
        for column, kind in _kinds(part).items():
            first, known = kinds.setdefault(column, (name, kind))
            if kind != known:
                raise DataError(
                    f"Column `{column}` holds {known} in {first} and {kind} in {name}, and a mixture has one form. "
                    "Write it one way in every set."
                )
    asked = [("messages" in part[0], "completion" in part[0]) for part in sets]
    if len(set(asked)) > 1:
        other = next(number for number, each in enumerate(asked) if each != asked[0])
        columns = [", ".join(f"`{column}`" for column in sets[number][0] if column != "id") for number in (0, other)]
        raise DataError(
            f"{names[0]} has the columns {columns[0]} and {names[other]} has {columns[1]}, and a mixture has one "
            "form. Write them one way in every set."
        )


def _kinds(rows: Rows) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        for column, value in row.items():
            if column not in found and value is not None:
                found[column] = _kind(value)
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list | tuple):
        first = value[0] if value else None
        return "lists of messages" if isinstance(first, Mapping) and "role" in first else "lists"
    words = ((str, "texts"), (int | float, "numbers"), (Mapping, "blocks"))
    return next((word for type_, word in words if isinstance(value, type_)), type(value).__name__)
