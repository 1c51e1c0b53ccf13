"""Demonstrations: loaded and checked row by row, counted and measured."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack, cast

from packaging.version import Version

from align.auditing.entry import Entry
from align.checks.counts import check_counts, check_rows
from align.checks.finding import Finding
from align.checks.images import check_images
from align.checks.launch import Launch
from align.checks.memory import Footprint, activations
from align.data.columns import Columns
from align.data.conversations import (
    MESSAGES,
    RESPONSE,
    Message,
    check_messages,
    check_prompt,
    column_of_places,
    conversation_text,
    count_places,
    message_text,
    one_form,
)
from align.data.demonstration_adapters import DEMONSTRATION_ADAPTERS
from align.data.files import RawRow, Row, find_split
from align.data.loading import Reading, Schema, load_rows, name_row
from align.data.media.images import add_images, image_digest
from align.data.media.rows import MediaReader, check_placeholders, media_folder
from align.data.media.video import VideoMetadata
from align.data.problems import BadRow, DataReport, shorten
from align.data.rules import check_label
from align.data.template_settings import add_template_columns, check_template_columns
from align.data.texts import is_blank
from align.data.training_data import Rows, TrainingData, load_training_data
from align.errors import DataError
from align.methods.sft.lengths import check_demonstration_lengths
from align.methods.sft.rules import DemonstrationDatasetConfig
from align.models.model_files import ModelFiles
from align.recipe.dataset import MediaSettings
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

NEEDS = "`messages`, or `prompt` and `completion`"
CSV_TRUTH = {"true": True, "false": False}


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

    def sft_entry(self, file: str) -> Entry:
        """Returns what the audit compares: what is asked, and what is taught."""
        if "text" in self.columns:
            asked, taught = "", self.columns["text"]
        elif "messages" in self.columns:
            *before, last = self.columns["messages"]
            asked = conversation_text(before)
            taught = json.dumps(last, sort_keys=True, default=str) if last.get("tool_calls") else message_text(last)
        else:
            asked, taught = (conversation_text(self.columns[name]) for name in ("prompt", "completion"))
        images = tuple(image_digest(image) for image in self.images)
        return Entry(self.id, file, self.row, asked, (taught,), images=images)


def load_demonstrations(
    path: str | Path,
    *,
    media: MediaSettings | None = None,
    columns: Columns | None = None,
    **reading: Unpack[Reading],
) -> tuple[list[Demonstration], DataReport]:
    """Loads demonstrations and checks every row.

    A row needs `messages`, or `prompt` and `completion`, both texts or both messages, or `text` alone; `conversations`
    of `from` and `value` become messages. `tools`, `chat_template_kwargs`, `correct` and `id` (default: file name and
    row) may be there, and one of `image`, `images` and `video`, as in `load_questions`; rows are then messages. Other
    columns are not read. `adapter` is a name in `DEMONSTRATION_ADAPTERS`.
    """
    file, reading["split"] = find_split(str(path), reading.get("split"))
    report, reader = DataReport(file), MediaReader(media_folder(file), media)

    def check(row: Row, raw: RawRow) -> Demonstration:
        name = check_label("id", row.get("id")) or name_row(raw.row, file)
        columns = check_demonstration(row)
        is_text = isinstance(columns.get("prompt", columns.get("text")), str)
        template = check_template_columns(row, is_text=is_text)
        asked = column_of_places(columns)
        images, video = reader.show_in(row, columns.get(asked, columns.get("text", "")), asked)
        for message in columns.get("completion", ()) if images else ():
            check_placeholders("completion", message_text(message))
        is_correct = check_correct(row.get("correct"), raw.untyped)
        return Demonstration(name, columns, is_correct, raw.row, template, images, video)

    schema = Schema((), known=DEMONSTRATION_ADAPTERS, columns=columns)
    with reader.progress:
        return load_rows(report, check, schema, **reading), report


def check_demonstration(row: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a row and returns its columns for TRL; raises `BadRow` at the first rule that it breaks.

    Example:
        >>> check_demonstration({"prompt": "1 + 1?", "completion": "2", "topic": "sums"})
        {'prompt': '1 + 1?', 'completion': '2'}
    """
    messages = row.get("messages")
    if messages is None and row.get("conversations") is not None:
        messages = _from_conversations(row["conversations"])
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


def check_correct(value: object, untyped: bool = False) -> bool | None:
    """Checks what a row says of its own answer; raises `BadRow` if it is neither true nor false."""
    if untyped and isinstance(value, str):
        value = None if is_blank(value) else CSV_TRUTH.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    raise BadRow("correct", value, "`correct` is neither true nor false", "Write true, false, or leave it out.")


def _from_conversations(value: object) -> Any:
    """Writes turns of `from` and `value` as messages, with TRL's reading of the names."""
    if not isinstance(value, list | tuple):
        return value
    names = {"from": "role", "value": "content"}
    return [
        {names.get(key, key): said for key, said in turn.items()} if isinstance(turn, Mapping) else turn
        for turn in value
    ]


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


def load(recipe: Recipe) -> TrainingData[Demonstration]:
    """Reads the demonstrations of a recipe; incorrect ones make no rows where the recipe does not keep them."""
    data = cast(DemonstrationDatasetConfig, recipe.dataset)

    def read(source: DemonstrationDatasetConfig) -> tuple[list[Demonstration], DataReport]:
        return load_demonstrations(source.path, media=source, **source.reading)

    def to_rows(items: Sequence[Demonstration]) -> Rows:
        kept = [item for item in items if data.keep_incorrect or item.is_correct is not False]
        rows = [{"id": item.id} | item.columns for item in kept]
        return add_images(add_template_columns(rows, [item.template for item in kept]), kept)

    loaded = load_training_data(data, read, to_rows)
    if not loaded.rows:
        raise DataError(
            f"All {len(loaded.items)} rows of {data.path} have `correct: false`, and `dataset.keep_incorrect: false` "
            f"leaves them out. Keep them, or give rows that are right."
        )
    return loaded


def check(recipe: Recipe, data: TrainingData[Demonstration], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts demonstrations and incorrect ones, and measures lengths."""
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    findings += _check_incorrect(recipe, data.items)
    forms = sorted({item.form for item in data.items})
    if len(forms) > 1:
        text = (
            f"Some rows are {forms[0]} and others {forms[1]}; TRL looks at the first only. Write all of them one way."
        )
        return [*findings, Finding("error", "data", text)]
    findings += _check_learnt_part(recipe, data.items[0]) + _check_read_part(recipe, data.items[0])
    if refused := _check_shown(recipe, data):
        return findings + refused
    images = check_images(recipe, data.rows)
    return findings + images.findings + check_demonstration_lengths(recipe, data.rows, images.tokens)


def _check_incorrect(recipe: Recipe, items: Sequence[Demonstration]) -> list[Finding]:
    wrong = sum(item.is_correct is False for item in items)
    if not wrong:
        return []
    text = f"{wrong} of {len(items)} rows have `correct: false`. "
    if cast(DemonstrationDatasetConfig, recipe.dataset).keep_incorrect:
        text += "They are learnt from, too; `dataset.keep_incorrect: false` leaves them out."
    else:
        text += "They are left out, as `dataset.keep_incorrect: false` asks for."
    return [Finding("warning", "data", text, {"incorrect": wrong})]


def _check_learnt_part(recipe: Recipe, item: Demonstration) -> list[Finding]:
    """Refuses rows without the part that alone is to be learnt: TRL ends after loading, or learns from all of them."""
    remedy = None
    if recipe.settings.assistant_only_loss and not item.is_conversational:
        remedy = "`assistant_only_loss: true` needs messages. Write the rows as messages"
    elif recipe.settings.completion_only_loss and "prompt" not in item.columns:
        remedy = "`completion_only_loss: true` needs `prompt` and `completion`. Write the rows so"
    if remedy is not None:
        return [Finding("error", "data", f"The rows are {item.form}, and {remedy}, or remove it.")]
    template = ModelFiles.of(recipe).chat_template
    if not recipe.settings.assistant_only_loss or template is None or marks_answers(template):
        return []
    text = (
        "`assistant_only_loss: true` needs a chat template that marks answers with `{% generation %}`, and the one of "
        "this run neither does nor is known to TRL. Set `chat_template_path` to one that does, or remove the setting."
    )
    return [Finding("error", "chat template", text)]


def _check_read_part(recipe: Recipe, item: Demonstration) -> list[Finding]:
    """Refuses settings by which TRL would not read these rows; in Python they have a meaning for other data."""
    findings = []
    if (recipe.settings.dataset_kwargs or {}).get("skip_prepare_dataset"):
        text = (
            "`dataset_kwargs: {skip_prepare_dataset: true}` needs rows of tokens, and those of a recipe are texts and "
            "messages. Remove it."
        )
        findings.append(Finding("error", "data", text))
    if (field := recipe.settings.dataset_text_field) != "text" and "text" in item.columns:
        text = (
            f"`dataset_text_field` must stay `text`, as rows of a recipe call it; got {field!r}. Remove it, and name "
            f"the column of the file: `dataset.columns: {{text: {field}}}`."
        )
        findings.append(Finding("error", "data", text))
    return findings


def _check_shown(recipe: Recipe, data: TrainingData[Demonstration]) -> list[Finding]:
    """Refuses what TRL does not do for rows with images, or would do without saying so, before a model is loaded."""
    shown, settings = any(item.images for item in data.items), recipe.settings
    if not shown:
        if not any(row.get("images") for row in data.eval_rows):
            return []
        text = (
            "The rows for evaluation have images and those for training have none, so that TRL would not read them. "
            "Give both images, or neither."
        )
        return [Finding("error", "images", text)]
    in_parts = "prompt" in data.items[0].columns
    columns = next((list(item.template) for item in data.items if item.template), [])
    marks = not in_parts and Version(version("transformers")) >= Version("5.18.0.dev0")
    refused = {
        "`packing: true` joins rows. Remove it": settings.packing,
        "`padding_free: true` joins rows. Remove it": settings.padding_free,
        "`truncation_mode: keep_end` may cut images off. Remove it": settings.max_length is not None
        and settings.truncation_mode == "keep_end",
        "`assistant_only_loss: true` needs `messages` and transformers 5.18. Write `prompt` and `completion` without "
        "it": settings.assistant_only_loss and not marks,
        "`pad_to_multiple_of` does not go with `prompt` and `completion`. Remove it": in_parts
        and settings.pad_to_multiple_of not in (None, "auto"),
        f"TRL does not give `{(columns or [''])[0]}` to the chat template. Leave the column out": bool(columns),
    }
    text = "Rows have images, and "
    return [Finding("error", "images", f"{text}{why}.") for why, is_so in refused.items() if is_so]


def check_batch(recipe: Recipe, launch: Launch, num_rows: int) -> list[Finding]:
    """Says what one step over demonstrations is."""
    if recipe.settings.packing:
        detail = ", each filled with several demonstrations, so that a pass takes fewer steps than said here"
        return check_rows(recipe, launch, num_rows, "rows", detail, 1)
    return check_rows(recipe, launch, num_rows, "demonstrations", "", 1)


def footprint(recipe: Recipe) -> Footprint:
    """Says what SFT keeps in memory."""
    return Footprint(activations(recipe, 1, "sequences"))


# TRL 1.16, `has_generation_markers`
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def marks_answers(template: str) -> bool:
    """Says whether a chat template marks answers itself, or TRL has the same template with marks.

    Example:
        >>> marks_answers("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}")
        True
    """
    if _MARK.search(template):
        return True
    spec = find_spec("trl")  # reading its files: importing it takes seconds
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ()), "")) / "chat_templates"
    marked = folder.glob("*_training.jinja")
    plain = (file.with_name(file.name.replace("_training", "")) for file in marked)
    return template in (file.read_text(encoding="utf-8") for file in plain if file.is_file())
