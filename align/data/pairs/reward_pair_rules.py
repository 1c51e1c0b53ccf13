"""The rules that a row for a reward model has to follow, checked in the order a reader would."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from align.data.conversations import Message, split_pair
from align.data.media.rows import MEDIA
from align.data.pairs.pair import UNREAD, check_differ, check_unread
from align.data.problems import BadRow
from align.data.rules import check_label

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
    check_unread(row, (*MEDIA, "videos", *UNREAD, "margin"))
    prompt, chosen, rejected = split_pair(row)
    check_differ(chosen, rejected)
    tie, source = _check_tie(row.get("tie"), untyped), check_label("source", row.get("source")) or DEFAULT_SOURCE
    if source in NEUTRAL and not tie:
        remedy = "Write `tie: true`, or another source if one answer is better."
        raise BadRow("tie", row.get("tie"), f"a pair of the source {source} has no order", remedy)
    if source in CAUSAL and tie:
        remedy = "Write `tie: false`, or another source if no answer is better."
        raise BadRow("tie", tie, f"a pair of the source {source} has an order", remedy)
    attribute = row.get("attribute")
    return CheckedRewardPair(
        check_label("id", row.get("id")), prompt, chosen, rejected, tie, source,
        attribute if isinstance(attribute, str) and attribute.strip() else None,  # shown, never learnt from
    )  # fmt: skip


def _check_tie(tie: object, untyped: bool) -> bool:
    if untyped and isinstance(tie, str):
        tie = CSV_TRUTH.get(tie.strip().lower(), tie)
    if tie is None or isinstance(tie, bool):
        return bool(tie)
    remedy = "Write true for two answers of which none is better, else false."
    raise BadRow("tie", tie, "the tie is neither true nor false", remedy)
