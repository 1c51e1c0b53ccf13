"""Pairs that a reward model learns from, with and without an order, loaded and checked row by row."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from align.data.columns import Columns
from align.data.files import RawRow, Row, find_split
from align.data.loading import RowOptions, Schema, adapted, load_rows
from align.data.media.rows import MEDIA
from align.data.pairs.pair import NEEDS, Pair, check_differ, check_unread, split_pair
from align.data.problems import BadRow, DataReport
from align.data.question_checks import check_label, check_number, check_truth
from align.data.streaming import RowSource
from align.data.template_settings import add_template_columns

DEFAULT_SOURCE = "preference"
CAUSAL = ("upgrade", "degrade")  # one answer is the other one after an edit of one attribute
NEUTRAL = ("irrelevant_query", "paraphrase", "causally_aligned", "inserted_phrase")


@dataclass(frozen=True)
class RewardPair(Pair):
    """One pair that passed every check; in a tie, `chosen` and `rejected` are two answers of which none is better."""

    tie: bool
    source: str  # `preference`, or what augmentation made it
    attribute: str | None  # what an edit changed, if the data says so
    margin: float | None = None  # by how much the better reward should be above the other one; None if not said


def check_reward_pair(row: Mapping[str, Any], *, untyped: bool = False, number: int = 0, name: str = "") -> RewardPair:
    """Checks a row of a prompt and two answers, of which the chosen one is better unless the row is a tie.

    In CSV values are `untyped`: `true` and `false` may then be a tie. `name` stands for a missing `id`.

    Example:
        >>> pair = check_reward_pair({"prompt": "Capital of France?", "chosen": "Paris.", "rejected": "Rome."})
        >>> pair.tie, pair.source
        (False, 'preference')
    """
    check_unread(row, (*MEDIA, "videos"))
    split = split_pair(row, number=number, name=name)
    check_differ(split.chosen, split.rejected)
    tie, source = check_tie(row, untyped=untyped)
    attribute = row.get("attribute")
    return RewardPair(
        **vars(split),
        tie=tie,
        source=source,
        attribute=attribute if isinstance(attribute, str) and attribute.strip() else None,  # shown, never learnt from
        margin=check_margin(row.get("margin"), tie, untyped=untyped),
    )


def check_tie(row: Mapping[str, Any], *, untyped: bool = False) -> tuple[bool, str]:
    """Checks whether a row says that it has an order, and where it is from; returns both."""
    tie = check_truth("tie", row.get("tie"), untyped=untyped) or False
    source = check_label("source", row.get("source")) or DEFAULT_SOURCE
    if source in NEUTRAL and not tie:
        remedy = "Write `tie: true`, or another source if one answer is better."
        raise BadRow("tie", row.get("tie"), f"a pair of the source {source} has no order", remedy)
    if source in CAUSAL and tie:
        remedy = "Write `tie: false`, or another source if no answer is better."
        raise BadRow("tie", tie, f"a pair of the source {source} has an order", remedy)
    return tie, source


def check_margin(margin: object, tie: bool, *, untyped: bool = False) -> float | None:
    """Checks by how much the better reward should be above the other one; None where a row does not say."""
    if untyped and isinstance(margin, str):
        with suppress(ValueError):
            margin = float(margin) if margin.strip() else None
    if margin is None:
        return None
    number = check_number("margin", margin)
    if tie and number:
        remedy = "Leave it out: in a tie neither reward is above the other."
        raise BadRow("margin", margin, "a tie has a margin", remedy)
    return number


def load_reward_pairs(
    path: str | Path, *, columns: Columns | None = None, **reading: Unpack[RowOptions]
) -> tuple[list[RewardPair], DataReport]:
    """Loads pairs for a reward model and checks every row.

    A row needs `prompt`, `chosen` and `rejected`: texts, or messages in any of TRL's conversational forms, and the
    prompt may be what both responses begin with. `tie` (default false), `source` (default `preference`), `attribute`,
    `margin`, `tools`, `chat_template_kwargs` and `id` (default: file name and row) may be there. Other columns are not
    read; images are refused.
    """
    source = reward_pair_source(path, split=reading.get("split"), columns=columns)
    reading["split"] = source.split
    return load_rows(source.file, source.check, source.schema, **reading)


def reward_pair_source(
    path: str | Path, *, split: str | None = None, columns: Columns | None = None, adapter: str | None = None
) -> RowSource[RewardPair]:
    """Says how the rows of a file become pairs; see `load_reward_pairs`."""
    file, split = find_split(str(path), split)

    def check(row: Row, raw: RawRow) -> RewardPair:
        return check_reward_pair(row, untyped=raw.untyped, number=raw.row, name=raw.name)

    return RowSource(file, split, adapted(Schema(NEEDS, columns=columns), adapter), check)


def reward_pair_to_row(pair: RewardPair) -> dict[str, Any]:
    """Makes the row that a trainer reads, in TRL's form, with `tie` and `source`.

    Example:
        >>> row = reward_pair_to_row(check_reward_pair({"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}))
        >>> row["chosen"], row["tie"], row["source"]
        ('2', False, 'preference')
    """
    return pair.trl_row | {"tie": pair.tie, "source": pair.source}


def reward_pairs_to_rows(pairs: Sequence[RewardPair]) -> list[dict[str, Any]]:
    """Makes the rows of a data set: all of them have `margin`, and columns for the template, if any has some."""
    rows = add_template_columns([reward_pair_to_row(pair) for pair in pairs], [pair.template for pair in pairs])
    if any(pair.margin is not None for pair in pairs):
        rows = [row | {"margin": pair.margin or 0.0} for row, pair in zip(rows, pairs, strict=True)]
    return rows
