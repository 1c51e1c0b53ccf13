"""The preference pairs that everything is made from."""

from typing import Literal

from align.data.conversations import Message, conversation_text
from align.data.files import RawRow, Row, find_split
from align.data.loading import Schema, load_rows, name_row
from align.data.pairs.pair import NEEDS, check_texts
from align.data.pairs.reward_pairs import CAUSAL, NEUTRAL, RewardPair, check_reward_pair
from align.data.problems import BadRow, DataReport
from align.errors import DataError


def load_originals(
    path: str,
    *,
    split: str | None = None,
    on_bad_rows: Literal["raise", "skip"] = "raise",
    max_rows: int | None = None,
) -> tuple[list[RewardPair], DataReport]:
    """Loads pairs as `load_reward_pairs` does, and takes only those with an order that no augmentation made."""
    file, split = find_split(path, split)
    report = DataReport(file)

    def check(row: Row, raw: RawRow) -> RewardPair:
        checked = check_reward_pair(row, untyped=raw.untyped, number=raw.row, name=name_row(raw.row, file))
        check_texts(checked)
        remedy = "Give the pairs that people or models were asked about, without those made from them."
        if checked.source in (*CAUSAL, *NEUTRAL):
            raise BadRow("source", checked.source, "the pair was made by augmentation", remedy)
        if checked.tie:
            raise BadRow("tie", checked.tie, "a tie has no better answer to start from", remedy)
        return checked

    originals = load_rows(report, check, Schema(NEEDS), split=split, on_bad_rows=on_bad_rows, max_rows=max_rows)
    _check_ids({original.id for original in originals}, file)
    return originals, report


def read_question(prompt: str | list[Message]) -> str:
    r"""Writes a prompt as one text; of several messages each begins with its role.

    Example:
        >>> read_question([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}])
        'system: Be brief.\n\nuser: Who?'
    """
    return conversation_text(prompt, "\n\n").strip()


def _check_ids(ids: set[str], file: str) -> None:
    """Refuses ids such as `a/upgrade/tone` beside `a`, whose new pairs would bear them."""
    for name in ids:
        parts = name.split("/")
        for i, part in enumerate(parts[1:], 1):
            if part in (*CAUSAL, *NEUTRAL) and "/".join(parts[:i]) in ids:
                raise DataError(f"{file}: the id {name!r} is kept for a pair made from {parts[0]!r}. Rename it.")
