"""Pairs that a reward model learns from, with and without an order, loaded and checked row by row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from align.data.columns import Columns
from align.data.conversations import write_response
from align.data.files import RawRow, Row, find_split
from align.data.loading import Schema, load_rows, name_row
from align.data.pairs.pair import NEEDS, Pair
from align.data.pairs.reward_pair_rules import CheckedRewardPair, check_reward_pair
from align.data.problems import DataReport


@dataclass(frozen=True)
class RewardPair(Pair):
    """One pair that passed every check; in a tie, `chosen` and `rejected` are two answers of which none is better.

    Attributes:
        tie: Whether the pair has no order.
        source: How it came about: `preference`, or what augmentation made it.
        attribute: What an edit changed, if the data says so.
    """

    tie: bool
    source: str
    attribute: str | None


def load_reward_pairs(
    path: str | Path,
    *,
    split: str | None = None,
    on_bad_rows: Literal["raise", "skip"] = "raise",
    max_rows: int | None = None,
    columns: Columns | None = None,
) -> tuple[list[RewardPair], DataReport]:
    """Loads pairs for a reward model and checks every row.

    A row needs `prompt`, `chosen` and `rejected`: texts, or messages in any of TRL's conversational forms. `tie`
    (default false), `source` (default `preference`), `attribute` and `id` (default: file name and row) may be there.
    Other columns are not read; `images`, `tools` and `margin` are refused, because TRL would read them.

    Args:
        path: A .jsonl, .json, .csv or .parquet file, a folder, or a hub id (`owner/name` or `owner/name:subset`).
        split: Split of a folder or hub data set.
        on_bad_rows: `raise` stops at rows that cannot be used, `skip` leaves them out and reports them.
        max_rows: Read only this many rows.
        columns: Our names of columns that have another name in the file, with that name.

    Raises:
        DataError: If the file is missing or empty, no row can be used, or with `raise` a row cannot be used.
    """
    file, split = find_split(str(path), split)
    report, schema = DataReport(file), Schema(NEEDS, columns=columns)

    def check(row: Row, raw: RawRow) -> RewardPair:
        checked = check_reward_pair(row, untyped=raw.untyped)._asdict()
        return RewardPair(**checked | {"id": checked["id"] or name_row(raw.row, file), "row": raw.row})

    pairs = load_rows(report, check, schema, split=split, on_bad_rows=on_bad_rows, max_rows=max_rows)
    return pairs, report


def reward_pair_to_row(pair: RewardPair | CheckedRewardPair) -> dict[str, Any]:
    """Makes the row that a trainer reads, in TRL's form, with `tie` and `source`.

    Example:
        >>> row = reward_pair_to_row(check_reward_pair({"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}))
        >>> row["chosen"], row["tie"], row["source"]
        ('2', False, 'preference')
    """
    return {
        "id": pair.id,
        "prompt": pair.prompt,
        "chosen": write_response(pair.chosen, pair.prompt),
        "rejected": write_response(pair.rejected, pair.prompt),
        "tie": pair.tie,
        "source": pair.source,
    }
