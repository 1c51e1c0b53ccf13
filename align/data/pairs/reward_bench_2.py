from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from align.data.conversations import Message, check_prompt
from align.data.files import RawRow
from align.data.loading import RowOptions, Schema, load_rows
from align.data.pairs.pair import NEEDS
from align.data.problems import BadRow, DataReport
from align.data.question_checks import check_id, check_label, check_responses
from align.errors import DataError

TIES = "Ties"
SUBSETS = ("Factuality", "Focus", "Math", "Precise IF", "Safety", TIES)  # arXiv 2506.01937
SIDES = ("ref", "tied")  # of a prompt of the ties: the row with one right response, and the one with several


@dataclass(frozen=True)
class BenchItem:
    """A prompt whose right and wrong responses are known."""

    id: str  # of the subset of ties `ref:N` or `tied:N`
    prompt: str | list[Message]  # a text, or messages
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    subset: str  # what it tests
    row: int  # line of a JSONL or CSV file, else number of the record


def load_reward_bench_2(path: str | Path, **reading: Unpack[RowOptions]) -> tuple[list[BenchItem], DataReport]:
    """Loads items and checks every row.

    A row needs `prompt`, `chosen` and `rejected`, the latter two lists of texts, and `subset`; a row of the subset
    Ties also an `id` such as `ref:3` or `tied:3`, and both rows of a number have to be there.
    """
    items, report = load_rows(path, _check, Schema(NEEDS), DataReport, **reading)
    return _check_ties(items, report.file, cut=reading.get("max_rows") is not None), report


def ties_by_number(items: Sequence[BenchItem]) -> dict[str, dict[str, int]]:
    """Finds the places of both rows of each prompt of the ties, by its number and then `ref` or `tied`."""
    found: dict[str, dict[str, int]] = {}
    for place, item in enumerate(items):
        if item.subset == TIES:
            side, _, number = item.id.partition(":")
            found.setdefault(number, {})[side] = place
    return found


def _check(row: Mapping[str, Any], raw: RawRow) -> BenchItem:
    prompt = check_prompt(row.get("prompt"))
    chosen, rejected = (check_responses(column, row.get(column)) for column in ("chosen", "rejected"))
    subset = check_label("subset", row.get("subset"))
    if subset is None:
        raise BadRow("subset", None, "the subset is missing", f"Write one of {', '.join(SUBSETS)}, or another name.")
    name = check_id(row, raw)
    if subset == TIES and name.partition(":")[0] not in SIDES:
        raise BadRow(
            "id", name, "a row of the ties is named `ref:N` or `tied:N`", "Write its id as the data set does."
        )
    if subset != TIES and len(chosen) != 1:
        raise BadRow("chosen", list(chosen), "there must be one right response", "Several belong to the subset Ties.")
    return BenchItem(name, prompt, chosen, rejected, subset, raw.row)


def _check_ties(items: list[BenchItem], file: str, *, cut: bool) -> list[BenchItem]:
    """Refuses a prompt of the ties without its other row; where only some rows are read, it is left out."""
    alone = [places for places in ties_by_number(items).values() if set(places) != set(SIDES)]
    places = {place for each in alone for place in each.values()}
    if alone and not cut:
        item = items[min(places)]
        raise DataError(
            f"{file}, row {item.row}: {item.id} of the subset {TIES} has no partner. The score of the ties compares "
            "`ref:N` with `tied:N`. Add the other row, or leave this one out."
        )
    return [item for place, item in enumerate(items) if place not in places]
