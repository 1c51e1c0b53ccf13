"""Demonstrations of what is to be said, loaded and checked row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from align.data.columns import Columns
from align.data.conversations import (
    MESSAGES,
    RESPONSE,
    Message,
    check_messages,
    check_prompt,
    column_of_places,
    count_places,
    message_text,
    one_form,
)
from align.data.demonstration_adapters import DEMONSTRATION_ADAPTERS
from align.data.files import RawRow, Row, find_split
from align.data.loading import RowOptions, Schema, adapted, load_rows
from align.data.media.rows import MediaReader, check_placeholders, media_folder
from align.data.media.video import VideoMetadata
from align.data.problems import BadRow, DataReport, shorten
from align.data.question_checks import check_id, check_truth
from align.data.streaming import RowSource
from align.data.template_settings import check_template_columns
from align.data.texts import is_blank
from align.recipe.dataset import MediaSettings

NEEDS = "`messages`, or `prompt` and `completion`"


@dataclass(frozen=True)
class Demonstration:
    """One row that passed every check."""

    id: str  # unique in the data set
    columns: dict[str, Any]  # `messages`, or `prompt` and `completion`, or `text`, as TRL reads them
    is_correct: bool | None  # None where the row says nothing of its answer
    row: int  # line of a JSONL or CSV file, else number of the record
    template: Mapping[str, Any] = field(default_factory=dict)  # `tools` and `chat_template_kwargs`
    images: tuple[Any, ...] = ()  # in front of the prompt; the frames of a video included
    video: VideoMetadata | None = None  # where the images are its frames

    @property
    def form(self) -> str:
        """The form of the row, in words."""
        if "prompt" not in self.columns:
            return f"`{next(iter(self.columns))}`"
        return f"`prompt` and `completion` as {'messages' if self.is_conversational else 'texts'}"

    @property
    def is_conversational(self) -> bool:
        """Whether it is made of messages."""
        return not isinstance(self.columns.get("prompt", self.columns.get("text")), str)


def load_demonstrations(
    path: str | Path,
    *,
    media: MediaSettings | None = None,
    columns: Columns | None = None,
    **reading: Unpack[RowOptions],
) -> tuple[list[Demonstration], DataReport]:
    """Loads demonstrations and checks every row.

    A row needs `messages`, or `prompt` and `completion`, both texts or both messages, or `text` alone; `conversations`
    are messages. `tools`, `chat_template_kwargs`, `correct` and `id` (default: file name and
    row) may be there, and one of `image`, `images` and `video`, as in `load_questions`; rows are then messages. Other
    columns are not read. `adapter` is a name in `DEMONSTRATION_ADAPTERS`.
    """
    file, reading["split"] = find_split(str(path), reading.get("split"))
    reader = MediaReader(media_folder(file), media)
    source = demonstration_source(file, reader=reader, columns=columns)
    with reader.progress:
        return load_rows(file, source.check, source.schema, **reading)


def demonstration_source(
    file: str, *, reader: MediaReader, columns: Columns | None = None, adapter: str | None = None
) -> RowSource[Demonstration]:
    """Says how the rows of a file become demonstrations; see `load_demonstrations`."""

    def check(row: Row, raw: RawRow) -> Demonstration:
        name = check_id(row, raw)
        columns = check_demonstration(row)
        is_text = isinstance(columns.get("prompt", columns.get("text")), str)
        template = check_template_columns(row, is_text=is_text)
        asked = column_of_places(columns)
        images, video = reader.show_in(row, columns.get(asked, columns.get("text", "")), asked)
        for message in columns.get("completion", ()) if images else ():
            check_placeholders("completion", message_text(message))
        is_correct = check_truth("correct", row.get("correct"), untyped=raw.untyped)
        return Demonstration(name, columns, is_correct, raw.row, template, images, video)

    schema = Schema((), known=DEMONSTRATION_ADAPTERS, columns=columns)
    return RowSource(file, None, adapted(schema, adapter), check)


def check_demonstration(row: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a row and returns its columns for TRL; raises `BadRow` at the first rule that it breaks.

    Example:
        >>> check_demonstration({"prompt": "1 + 1?", "completion": "2", "topic": "sums"})
        {'prompt': '1 + 1?', 'completion': '2'}
    """
    messages = row.get("conversations") if row.get("messages") is None else row["messages"]
    asks = [name for name in ("prompt", "completion") if row.get(name) is not None]
    if messages is not None:
        if asks:
            rule = f"the row has `messages` and `{asks[0]}`, and TRL would read one of them"
            raise BadRow(asks[0], row[asks[0]], rule, f"Write {NEEDS}.")
        return {"messages": _check_conversation(messages)}
    if not asks and isinstance(text := row.get("text"), str) and not is_blank(text):
        return {"text": text}
    if not asks:
        has = f"It has: {shorten(', '.join(row), 100)}. Write them, or name others with `columns` under `dataset`."
        raise BadRow("", None, "the row has neither `messages`, nor `prompt` and `completion`", has)
    prompt = check_prompt(row.get("prompt"), images=True)
    return {"prompt": prompt, "completion": _check_completion(row.get("completion"), prompt)}


def _check_conversation(value: object) -> list[Message]:
    if not isinstance(value, list | tuple) or not value:
        raise BadRow("messages", value, "the messages are not a list", f"Write {MESSAGES[:-1]}, ...].")
    messages = check_messages(value, "messages", images=True)
    _check_answers("messages", messages, "Write the answer that is to be learnt as an assistant message.")
    return one_form(messages)


def _check_completion(value: object, prompt: str | list[Message]) -> str | list[Message]:
    if isinstance(prompt, str):
        if isinstance(value, list | tuple) and value:
            raise BadRow("completion", value, "the prompt is a text and the completion is messages", "Write a text.")
        if not isinstance(value, str) or is_blank(value):
            raise BadRow("completion", value, "the completion is missing or empty", "Write a text.")
        return value
    if isinstance(value, str) and not is_blank(value):
        rule = "the prompt is messages and the completion is a text"
        raise BadRow("completion", value, rule, f"Write {RESPONSE}.")
    if not isinstance(value, list | tuple) or not value:
        raise BadRow("completion", value, "the completion is missing or empty", f"Write {RESPONSE}.")
    messages = check_messages(value, "completion")
    _check_answers("completion", messages, f"Write {RESPONSE}.")
    return messages


def _check_answers(column: str, messages: Sequence[Message], remedy: str) -> None:
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers:
        raise BadRow(column, [message["role"] for message in messages], "there is no assistant message", remedy)
    for answer in answers:
        if is_blank(message_text(answer)):
            raise BadRow(column, answer["content"], "an assistant message is empty", "Write a text as its content.")
        if count_places([answer]):
            raise BadRow(column, answer["content"], "an assistant message has a place for an image", "Take it out.")
