"""The rules that a row for a reward model has to follow, checked in the order a reader would."""

import math
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from align.data.conversations import Message
from align.data.media.rows import MEDIA
from align.data.pairs.pair import check_differ, check_unread
from align.data.pairs.split_pair import split_pair
from align.data.problems import BadRow
from align.data.rules import check_label
from align.data.template_settings import check_template_columns

DEFAULT_SOURCE = "preference"
CAUSAL = ("upgrade", "degrade")  # one answer is the other one after an edit of one attribute
NEUTRAL = ("irrelevant_query", "paraphrase", "causally_aligned", "inserted_phrase")
CSV_TRUTH = {"true": True, "false": False}


class CheckedRewardPair(NamedTuple):
    """The parts of a row that passed."""

    id: str | None
    prompt: str | list[Message]
    chosen: str
    rejected: str
    tie: bool
    source: str
    attribute: str | None
    margin: float | None = None
    messages: tuple[list[Message], list[Message]] | None = None  # of responses that are more than one text
    template: Mapping[str, Any] = MappingProxyType({})  # `tools` and `chat_template_kwargs`
    is_implicit: bool = False  # the prompt is what two texts began with


def check_reward_pair(row: Mapping[str, Any], *, untyped: bool = False) -> CheckedRewardPair:
    """Checks a row of a prompt and two answers, of which the chosen one is better unless the row is a tie.

    Args:
        row: Its columns.
        untyped: Whether every value is text, as in CSV; `true` and `false` may then be a tie.

    Raises:
        BadRow: At the first rule the row breaks.

    Example:
        >>> pair = check_reward_pair({"prompt": "Capital of France?", "chosen": "Paris.", "rejected": "Rome."})
        >>> pair.tie, pair.source
        (False, 'preference')
    """
    check_unread(row, (*MEDIA, "videos"))
    split = split_pair(row)
    template = check_template_columns(row, is_text=isinstance(split.prompt, str))
    check_differ(split.chosen, split.rejected)
    tie, source = check_tie(row, untyped=untyped)
    attribute = row.get("attribute")
    return CheckedRewardPair(
        check_label("id", row.get("id")), split.prompt, split.chosen, split.rejected, tie, source,
        attribute if isinstance(attribute, str) and attribute.strip() else None,  # shown, never learnt from
        check_margin(row.get("margin"), tie, untyped=untyped), split.messages, template, split.is_implicit,
    )  # fmt: skip


def check_tie(row: Mapping[str, Any], *, untyped: bool = False) -> tuple[bool, str]:
    """Checks whether a row says that it has an order, and where it is from; returns both.

    Raises:
        BadRow: If it says neither true nor false, or what its source does not allow.
    """
    tie, source = read_tie(row.get("tie"), untyped=untyped), check_label("source", row.get("source")) or DEFAULT_SOURCE
    if source in NEUTRAL and not tie:
        remedy = "Write `tie: true`, or another source if one answer is better."
        raise BadRow("tie", row.get("tie"), f"a pair of the source {source} has no order", remedy)
    if source in CAUSAL and tie:
        remedy = "Write `tie: false`, or another source if no answer is better."
        raise BadRow("tie", tie, f"a pair of the source {source} has an order", remedy)
    return tie, source


def read_tie(tie: object, *, untyped: bool = False) -> bool:
    """Reads whether a pair has no order.

    Raises:
        BadRow: If the value says neither true nor false.
    """
    if untyped and isinstance(tie, str):
        tie = CSV_TRUTH.get(tie.strip().lower(), tie)
    if tie is None or isinstance(tie, bool):
        return bool(tie)
    remedy = "Write true for two answers of which none is better, else false."
    raise BadRow("tie", tie, "the tie is neither true nor false", remedy)


def check_margin(margin: object, tie: bool, *, untyped: bool = False) -> float | None:
    """Checks by how much the better reward should be above the other one; None where a row does not say.

    Raises:
        BadRow: If it is no finite number, or one of a tie.
    """
    if untyped and isinstance(margin, str):
        with suppress(ValueError):
            margin = float(margin) if margin.strip() else None
    if margin is None:
        return None
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not math.isfinite(margin):
        raise BadRow("margin", margin, "the margin is not a finite number", "Write one, such as 0.5, or leave it out.")
    if tie and margin:
        raise BadRow(
            "margin", margin, "a tie has a margin", "Leave it out: in a tie neither reward is above the other."
        )
    return float(margin)
