"""What every pair of responses has, whatever is learnt from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from align.data.conversations import Message
from align.data.problems import BadRow
from align.data.texts import as_seen

NEEDS = ("prompt", "chosen", "rejected")
UNREAD = ("tools", "chat_template_kwargs")


@dataclass(frozen=True)
class Pair:
    """Two responses to a prompt.

    Attributes:
        id: Its name, unique in the data set.
        prompt: A text, or messages.
        chosen: Text of the better response.
        rejected: Text of the worse one.
        row: Where it stood: line of a JSONL or CSV file, else number of the record.
    """

    id: str
    prompt: str | list[Message]
    chosen: str
    rejected: str
    row: int


def check_unread(row: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Checks that nothing stands in columns that TRL would read and we do not.

    Raises:
        BadRow: If something does.
    """
    for column in columns:
        if row.get(column):
            raise BadRow(column, row[column], f"`{column}` is not read with preference pairs", "Leave the column out.")


def check_differ(chosen: str, rejected: str) -> None:
    """Checks that two responses are not the same.

    Raises:
        BadRow: If they are, or look so, but for whitespace around them.
    """
    if chosen.strip() == rejected.strip():
        raise BadRow("rejected", rejected, "chosen and rejected are equal", "Change one or leave the row out.")
    if as_seen(chosen).strip() == as_seen(rejected).strip():
        remedy = "They differ in what is not shown, or in how accents are written (NFC, NFD). Leave the row out."
        raise BadRow("rejected", rejected, "chosen and rejected look the same", remedy)
