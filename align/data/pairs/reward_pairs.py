"""Pairs that a reward model learns from, with and without an order, loaded and checked row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from align.data.columns import Columns
from align.data.files import RawRow, Row, find_split
from align.data.loading import Schema, load_rows, name_row
from align.data.pairs.pair import NEEDS, Pair, write_responses
from align.data.pairs.reward_pair_rules import CheckedRewardPair, check_reward_pair
from align.data.problems import DataReport
from align.data.streaming import RowSource
from align.data.template_settings import add_template_columns


@dataclass(frozen=True)
class RewardPair(Pair):
    """One pair that passed every check; in a tie, `chosen` and `rejected` are two answers of which none is better.

    Attributes:
        tie: Whether the pair has no order.
        source: How it came about: `preference`, or what augmentation made it.
        attribute: What an edit changed, if the data says so.
        margin: By how much the better reward should be above the other one; None where the row does not say.
    """

    tie: bool
    source: str
    attribute: str | None
    margin: float | None = None


def load_reward_pairs(
    path: str | Path,
    *,
    split: str | None = None,
    on_bad_rows: Literal["raise", "skip"] = "raise",
    max_rows: int | None = None,
    columns: Columns | None = None,
) -> tuple[list[RewardPair], DataReport]:
    """Loads pairs for a reward model and checks every row.

    A row needs `prompt`, `chosen` and `rejected`: texts, or messages in any of TRL's conversational forms, and the
    prompt may be what both responses begin with. `tie` (default false), `source` (default `preference`), `attribute`,
    `margin`, `tools`, `chat_template_kwargs` and `id` (default: file name and row) may be there. Other columns are not
    read; images are refused.

    Args:
        path: A .jsonl, .json, .csv or .parquet file, a folder, or a hub id (`owner/name` or `owner/name:subset`).
        split: Split of a folder or hub data set.
        on_bad_rows: `raise` stops at rows that cannot be used, `skip` leaves them out and reports them.
        max_rows: Read only this many rows.
        columns: Our names of columns that have another name in the file, with that name.

    Raises:
        DataError: If the file is missing or empty, no row can be used, or with `raise` a row cannot be used.
    """
    source = reward_pair_source(path, split=split, columns=columns)
    report = DataReport(source.file)
    pairs = load_rows(
        report, source.check, source.schema, split=source.split, on_bad_rows=on_bad_rows, max_rows=max_rows
    )
    return pairs, report


def reward_pair_source(
    path: str | Path, *, split: str | None = None, columns: Columns | None = None
) -> RowSource[RewardPair]:
    """Says how the rows of a file become pairs; see `load_reward_pairs`."""
    file, split = find_split(str(path), split)

    def check(row: Row, raw: RawRow) -> RewardPair:
        checked = check_reward_pair(row, untyped=raw.untyped)._asdict()
        return RewardPair(**checked | {"id": checked["id"] or name_row(raw.row, file), "row": raw.row})

    return RowSource(file, split, Schema(NEEDS, columns=columns), check)


def reward_pair_to_row(pair: RewardPair | CheckedRewardPair) -> dict[str, Any]:
    """Makes the row that a trainer reads, in TRL's form, with `tie` and `source`.

    Example:
        >>> row = reward_pair_to_row(check_reward_pair({"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}))
        >>> row["chosen"], row["tie"], row["source"]
        ('2', False, 'preference')
    """
    chosen, rejected = write_responses(pair.prompt, pair.chosen, pair.rejected, pair.messages)
    return {
        "id": pair.id,
        "prompt": pair.prompt,
        "chosen": chosen,
        "rejected": rejected,
        "tie": pair.tie,
        "source": pair.source,
    }


def reward_pairs_to_rows(pairs: Sequence[RewardPair]) -> list[dict[str, Any]]:
    """Makes the rows of a data set: all of them have `margin`, and columns for the template, if any has some."""
    rows = add_template_columns([reward_pair_to_row(pair) for pair in pairs], [pair.template for pair in pairs])
    if any(pair.margin is not None for pair in pairs):
        rows = [row | {"margin": pair.margin or 0.0} for row, pair in zip(rows, pairs, strict=True)]
    return rows
