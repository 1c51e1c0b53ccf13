from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from align.data.columns import Columns
from align.data.conversations import Message, check_prompt
from align.data.files import RawRow, Row, find_split
from align.data.loading import RowOptions, Schema, adapted, load_rows
from align.data.media.images import add_images
from align.data.media.rows import MEDIA, MediaReader, media_folder
from align.data.media.video import VideoMetadata
from align.data.problems import BadRow, DataReport
from align.data.question_checks import check_id
from align.data.questions.adapters import ADAPTERS
from align.data.row_templates import RowTemplate
from align.data.streaming import RowSource
from align.recipe.dataset import MediaSettings

LABEL = "answer"  # the column that rows without labels do not have
# What TRL hands to a reward beside the columns of the data; a column of the same name would be lost or crash the call.
TAKEN = ("prompts", "completion", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")


@dataclass(frozen=True)
class PromptRow:
    """One row that passed every check."""

    id: str
    prompt: str | list[Message]  # messages end with the user's
    columns: Mapping[str, Any]  # every other column, for the rewards
    images: tuple[Any, ...]  # in front of the prompt; the frames of a video included
    row: int  # line of a JSONL or CSV file, else number of the record
    video: VideoMetadata | None = None  # where the images are its frames


@dataclass
class PromptReport(DataReport):
    """What was read, kept and left out of a data set of prompts."""

    num_unchanged: dict[str, int] = field(default_factory=dict)  # kept rows that a family cannot change

    @property
    def counts(self) -> dict[str, int]:
        """Everything that was counted, by name, for tables and JSON."""
        return super().counts | {f"not_changed_by_{name}": count for name, count in self.num_unchanged.items()}


def load_prompts(
    path: str | Path,
    *,
    media: MediaSettings | None = None,
    columns: Columns | None = None,
    template: RowTemplate | None = None,
    has_labels: bool = True,
    **reading: Unpack[RowOptions],
) -> tuple[list[PromptRow], PromptReport]:
    """Loads prompts and checks every row.

    A row needs `prompt`, or what `template` makes it of. `id` (default: file name and row) may be there, and one of
    `image`, `images` and `video`, as in `load_questions`; the prompt is then messages. `columns` has our names of
    columns that have another name in the file. Without `has_labels` a column `answer` is left out.
    """
    file, reading["split"] = find_split(str(path), reading.get("split"))
    reader = MediaReader(media_folder(file), media)
    source = prompt_source(file, reader=reader, columns=columns, template=template, has_labels=has_labels)
    with reader.progress:
        return load_rows(file, source.check, source.schema, PromptReport, **reading)


def prompt_source(
    file: str,
    *,
    reader: MediaReader,
    columns: Columns | None = None,
    adapter: str | None = None,
    template: RowTemplate | None = None,
    has_labels: bool = True,
) -> RowSource[PromptRow]:
    """Says how the rows of a file become prompts; see `load_prompts`."""

    def check(content: Row, raw: RawRow) -> PromptRow:
        if template is not None:
            content = template.fill(content, untyped=raw.untyped)
        prompt, columns = check_prompt_row(content)
        if not has_labels:
            columns.pop(LABEL, None)
        images, video = reader.show_in(content, prompt)
        return PromptRow(check_id(content, raw), prompt, columns, images, raw.row, video)

    needs = ("prompt",) if template is None else template.columns
    return RowSource(file, None, adapted(Schema(needs, known=ADAPTERS, columns=columns), adapter), check)


def check_prompt_row(content: Mapping[str, Any]) -> tuple[str | list[Message], dict[str, Any]]:
    """Checks a row and takes it apart into its prompt and its other columns."""
    prompt = check_prompt(content.get("prompt"), images=True)
    if not isinstance(prompt, str) and prompt[-1]["role"] != "user":
        remedy = "The model answers the last message: end with the user's."
        raise BadRow("prompt", prompt[-1], "the last message is not the user's", remedy)
    for name in TAKEN:
        if name in content:
            raise BadRow(name, content[name], "TRL gives rewards a column of this name", "Rename the column.")
    return prompt, {name: value for name, value in content.items() if name not in ("id", "prompt", *MEDIA)}


def prompts_to_rows(prompts: Sequence[PromptRow]) -> list[dict[str, Any]]:
    """Makes the rows that a trainer reads: every row has every column, and `images` if any has some."""
    names = dict.fromkeys(name for prompt in prompts for name in prompt.columns)
    rows = [
        {"id": prompt.id, "prompt": prompt.prompt} | {name: prompt.columns.get(name) for name in names}
        for prompt in prompts
    ]
    return add_images(rows, prompts)
