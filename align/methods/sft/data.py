"""Demonstrations: loaded and checked row by row, counted and measured."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import takewhile
from os.path import commonprefix
from pathlib import Path
from typing import Any, Unpack, cast

from jinja2 import TemplateError

from align.auditing.entry import Entry
from align.checks.counts import NAMED, check_counts, check_rows
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.lengths import AUDITED, check_positions, context_window
from align.checks.memory import Footprint, activations
from align.data.columns import Columns
from align.data.conversations import (
    MESSAGES,
    RESPONSE,
    Message,
    check_messages,
    check_prompt,
    conversation_text,
    message_text,
)
from align.data.files import RawRow, Row, find_split
from align.data.loading import Reading, Schema, load_rows, name_row
from align.data.media.rows import MEDIA
from align.data.problems import BadRow, DataReport, shorten
from align.data.rules import check_label
from align.data.template_settings import add_template_columns, check_template_columns, template_settings
from align.data.texts import is_blank
from align.data.training_data import Rows, TrainingData, load_training_data
from align.errors import DataError
from align.methods.sft.rules import DemonstrationDatasetConfig
from align.models.model_files import ModelFiles
from align.models.prompt_tokenizer import PromptTokenizer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

NEEDS = "`messages`, or `prompt` and `completion`"
UNREAD = (*MEDIA, "videos")  # TRL would read them
CSV_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Demonstration:
    """One row that passed every check."""

    id: str  # unique in the data set
    columns: dict[str, Any]  # `messages`, or `prompt` and `completion`, or `text`, as TRL reads them
    is_correct: bool | None  # None where the row says nothing of its answer
    row: int  # line of a JSONL or CSV file, else number of the record
    template: Mapping[str, Any] = field(default_factory=dict)  # `tools` and `chat_template_kwargs`

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
        return Entry(self.id, file, self.row, asked, (taught,))


def load_demonstrations(
    path: str | Path,
    *,
    columns: Columns | None = None,
    **reading: Unpack[Reading],
) -> tuple[list[Demonstration], DataReport]:
    """Loads demonstrations and checks every row.

    A row needs `messages`, or `prompt` and `completion`, both texts or both messages, or `text` alone; `conversations`
    of `from` and `value` become messages. `tools`, `chat_template_kwargs`, `correct` and `id` (default: file name and
    row) may be there. Other columns are not read; images are refused, because TRL would read them.
    """
    file, reading["split"] = find_split(str(path), reading.get("split"))
    report = DataReport(file)

    def check(row: Row, raw: RawRow) -> Demonstration:
        name = check_label("id", row.get("id")) or name_row(raw.row, file)
        columns = check_demonstration(row)
        is_text = isinstance(columns.get("prompt", columns.get("text")), str)
        template = check_template_columns(row, is_text=is_text)
        return Demonstration(name, columns, check_correct(row.get("correct"), raw.untyped), raw.row, template)

    return load_rows(report, check, Schema((), columns=columns), **reading), report


def check_demonstration(row: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a row and returns its columns for TRL; raises `BadRow` at the first rule that it breaks.

    Example:
        >>> check_demonstration({"prompt": "1 + 1?", "completion": "2", "topic": "sums"})
        {'prompt': '1 + 1?', 'completion': '2'}
    """
    for column in UNREAD:
        if row.get(column):
            remedy = "Leave the column out, or give images to `LfUTrainer` in Python."
            raise BadRow(column, row[column], f"`{column}` is not read with demonstrations", remedy)
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
    prompt = check_prompt(row.get("prompt"))
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
    messages = check_messages(value, "messages")
    _check_answers("messages", messages, "Write the answer that is to be learnt as an assistant message.")
    return messages


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


def load(recipe: Recipe) -> TrainingData[Demonstration]:
    """Reads the demonstrations of a recipe; incorrect ones make no rows where the recipe does not keep them."""
    data = cast(DemonstrationDatasetConfig, recipe.dataset)

    def read(source: DemonstrationDatasetConfig) -> tuple[list[Demonstration], DataReport]:
        return load_demonstrations(source.path, **source.reading)

    def to_rows(items: Sequence[Demonstration]) -> Rows:
        kept = [item for item in items if data.keep_incorrect or item.is_correct is not False]
        return add_template_columns(
            [{"id": item.id} | item.columns for item in kept], [item.template for item in kept]
        )

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
    return findings + check_demonstration_lengths(recipe, data.rows)


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


TrainedRow = Mapping[str, Any]
PACKED_TOGETHER = 1_000  # rows, of `Dataset.map`


def check_demonstration_lengths(recipe: Recipe, rows: Sequence[TrainedRow]) -> list[Finding]:
    """Tokenises demonstrations, the longest first, and compares them with `max_length` and the model's window."""
    tokenizer = ModelFiles.of(recipe).tokenizer
    if tokenizer is None:
        text = f"The tokenizer of {recipe.model.model_name_or_path!r} is not on this machine; lengths are unknown."
        return [Finding("warning", "lengths", text)]
    is_text = isinstance(_whole(rows[0]), str)
    if not is_text and not (tokenizer.chat_template or recipe.model.chat_template_path):
        text = (
            "The rows are messages and the tokenizer has no chat template. Set `chat_template_path`, or write texts."
        )
        return [Finding("error", "lengths", text)]
    audited = sorted(rows, key=lambda row: -len(str(row)))[:AUDITED]
    try:
        whole = _tokenize(tokenizer, audited, [_whole(row) for row in audited])
        unlearnt = _tokenize(tokenizer, audited, [_unlearnt(recipe, row) for row in audited], is_whole=False)
    except TemplateError as error:
        return [Finding("warning", "lengths", f"Lengths are unknown; the chat template says: {error}.")]
    lengths = [len(tokens) + is_text for tokens in whole]  # TRL ends a text with the end token
    limit, window = recipe.settings.max_length, context_window(recipe)
    if few := _check_packed(recipe, lengths, len(rows)):
        return few
    longest = max(lengths)
    used = longest if limit is None else min(longest, limit)
    if recipe.settings.packing and limit is not None:
        used = limit
    moved = check_positions(recipe, [length if limit is None else min(length, limit) for length in lengths])
    if window is not None and used > window:
        text = f"Rows take up to {used} tokens and the model's window is {window}. Set `max_length: {window}` or less."
        return [Finding("error", "lengths", text, {"max": longest, "window": window})]
    splits = recipe.settings.packing and recipe.settings.packing_strategy != "bfd"
    if limit is None or longest <= limit or splits:
        most = "" if limit is None else f", of `max_length` = {limit}"
        if limit is not None and longest > limit:
            most = f"; packing splits what is longer than `max_length` = {limit}, and leaves nothing out"
        text = (
            f"A demonstration takes {sum(lengths) / len(lengths):.0f} tokens on average and {longest} at most{most}."
        )
        return [Finding("ok", "lengths", text, {"audited": len(lengths), "max": longest}), *moved]
    prompts = [len(commonprefix(pair)) for pair in zip(unlearnt, whole, strict=True)]  # noqa: RUF071 - of tokens
    if recipe.settings.truncation_mode == "keep_end" and not recipe.settings.packing:  # which keeps the start
        prompts = [0] * len(prompts)
    return _cut(audited, lengths, prompts, limit) + moved


def _check_packed(recipe: Recipe, lengths: Sequence[int], num_rows: int) -> list[Finding]:
    """Finds rows that, packed, cannot fill one batch, where such a batch is left out; the trainer counts them."""
    limit, batch = recipe.settings.max_length, recipe.settings.per_device_train_batch_size
    if not recipe.settings.packing or limit is None or not recipe.settings.dataloader_drop_last:
        return []
    tokens = sum(lengths) + max(lengths) * (num_rows - len(lengths))
    # No two rows that TRL packs would fit into one, but for the last of those that it packs together.
    most = 2 * tokens // limit + num_rows // PACKED_TOGETHER + (recipe.settings.dataset_num_proc or 1)
    if most >= batch:
        return []
    text = (
        f"`packing: true` makes at most {most} rows of `max_length: {limit}` tokens, fewer than "
        f"`per_device_train_batch_size: {batch}`, and `dataloader_drop_last: true` leaves such a batch out: nothing "
        "would be trained. Use a smaller batch, give more data, or remove `dataloader_drop_last`."
    )
    return [Finding("error", "batch", text)]


def _cut(rows: Sequence[TrainedRow], lengths: Sequence[int], prompts: Sequence[int], limit: int) -> list[Finding]:
    long = [(row["id"], prompt) for row, length, prompt in zip(rows, lengths, prompts, strict=True) if length > limit]
    gone = [name for name, prompt in long if prompt >= limit]
    remedy = f"Shorten them, or raise `max_length` from {limit}."
    text = f"{len(long)} of {len(rows)} demonstrations are longer than `max_length`, and TRL cuts them off: "
    text += f"{_names([name for name, _ in long])}. {remedy}"
    findings = [Finding("warning", "lengths", text, {"max": max(lengths)})]
    if gone:
        text = f"Of {len(gone)} demonstrations the prompt alone fills `max_length`, and nothing is learnt from them: "
        level = "error" if len(gone) == len(rows) else "warning"
        findings.append(Finding(level, "lengths", f"{text}{_names(gone)}. {remedy}"))  # type: ignore[arg-type]
    return findings


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _whole(row: TrainedRow) -> Any:
    return row["prompt"] + row["completion"] if "prompt" in row else row.get("messages", row.get("text"))


def _unlearnt(recipe: Recipe, row: TrainedRow) -> Any:
    """Returns the beginning of a row that TRL learns nothing of."""
    whole = _whole(row)
    completion_only = "prompt" in row and recipe.settings.completion_only_loss is not False  # TRL: null is true here
    first = row["prompt"] if completion_only else whole[:0]
    if not recipe.settings.assistant_only_loss or isinstance(whole, str):
        return first
    return [*first, *takewhile(lambda message: message["role"] != "assistant", whole[len(first) :])]


def _tokenize(
    tokenizer: PromptTokenizer, rows: Sequence[TrainedRow], parts: Sequence[Any], *, is_whole: bool = True
) -> list[list[int]]:
    """Tokenises parts of rows as TRL does, which has the answer announced after a beginning; nothing has no tokens."""
    is_text = isinstance(parts[0], str)
    rendered = [
        part
        if is_text or not part
        else tokenizer.render(
            part, add_generation_prompt=not is_whole, settings=template_settings(check_template_columns(row))
        )
        for row, part in zip(rows, parts, strict=True)
    ]
    encoded = tokenizer.encode([text or "" for text in rendered], add_special_tokens=is_text)
    return [encoding.ids if part else [] for encoding, part in zip(encoded, parts, strict=True)]
