"""What every pair of responses has, whatever is learnt from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from align.data.conversations import Message, write_response
from align.data.problems import BadRow
from align.data.texts import as_seen

NEEDS = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Pair:
    """Two responses to a prompt.

    Attributes:
        id: Its name, unique in the data set.
        prompt: A text, or messages.
        chosen: Text of the better response.
        rejected: Text of the worse one.
        row: Where it stood: line of a JSONL or CSV file, else number of the record.
        messages: The messages of both responses, where one of them is more than one text, as tool calls are.
        template: What the row tells the chat template: `tools` and `chat_template_kwargs`, where it has them.
        is_implicit: Whether the prompt is what two texts began with.
    """

    id: str
    prompt: str | list[Message]
    chosen: str
    rejected: str
    row: int
    messages: tuple[list[Message], list[Message]] | None = field(default=None, kw_only=True)
    template: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    is_implicit: bool = field(default=False, kw_only=True)

    @property
    def responses(self) -> tuple[str | list[Message], str | list[Message]]:
        """Both responses in the form of the prompt."""
        return self.messages or (write_response(self.chosen, self.prompt), write_response(self.rejected, self.prompt))


def check_texts(pair: Any) -> None:
    """Checks that a pair is texts, for what compares the texts of responses alone.

    Raises:
        BadRow: If a response has tool calls or several messages, or the row has columns for the chat template.
    """
    if pair.messages is not None:
        rule = "the response has more than a text, and only its text would be read here"
        raise BadRow("chosen", pair.chosen, rule, "Write one message with a text as content, or leave the row out.")
    if pair.template:
        column = next(iter(pair.template))
        raise BadRow(column, pair.template[column], f"`{column}` is not read here", "Leave the column out.")


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
