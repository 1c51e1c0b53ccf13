from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from align.data.columns import Columns
from align.data.files import RawRow, Row, find_split
from align.data.loading import RowOptions, Schema, find_adapter, store_rows
from align.data.media.images import add_images
from align.data.media.rows import MediaReader, listed_images, media_folder
from align.data.media.video import VideoMetadata
from align.data.pairs.pair import NEEDS, Pair, check_differ, split_pair
from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS
from align.data.pairs.spans import Spans, mark_texts, spans_of, words_differ
from align.data.problems import DataReport
from align.data.stored_items import MadeRows
from align.data.streaming import RowSource
from align.data.template_settings import add_template_columns
from align.recipe.dataset import MediaSettings


@dataclass(frozen=True)
class PreferencePair(Pair):
    """One pair that passed every check."""

    given_spans: tuple[Spans, Spans] | None  # in characters, where the data have them; None for a diff
    spans_from: str  # `offsets` or `tags` in the data, or a `diff`
    images: tuple[Any, ...] = ()  # in front of the prompt; the frames of a video included
    video: VideoMetadata | None = None  # where the images are its frames
    group: str | None = None  # for metrics by group

    @property
    def chosen_spans(self) -> Spans:
        """What counts in the better response, in characters."""
        return spans_of(self.chosen, self.rejected, self.given_spans)[0]

    @property
    def rejected_spans(self) -> Spans:
        """What counts in the worse one."""
        return spans_of(self.chosen, self.rejected, self.given_spans)[1]

    @property
    def has_spans(self) -> bool:
        """Whether something counts; a diff is not finished for that."""
        given = self.given_spans
        return words_differ(self.chosen, self.rejected) if given is None else any(given)


def check_pair(row: Mapping[str, Any], *, number: int = 0, name: str = "") -> PreferencePair:
    """Checks a preference row, in the order a reader would, and finds the spans in which its responses differ.

    A row made by `pair_to_row` gives the same pair again. Its images are as they stand in the row, and not opened.
    `name` stands for a missing `id`.

    Example:
        >>> pair = check_pair({"prompt": "Capital of France?", "chosen": "It is Paris.", "rejected": "It is Rome."})
        >>> pair.chosen_spans, pair.rejected_spans, pair.spans_from
        ((Span(start=6, end=11),), (Span(start=6, end=10),), 'diff')
    """
    split = split_pair(row, images=True, number=number, name=name)
    marked = mark_texts(row, split.chosen, split.rejected, are_texts=split.messages is None)
    check_differ(marked.chosen, marked.rejected)
    group = row.get("group")  # training has no use for it, so that what is no label is not refused
    return PreferencePair(
        **vars(split) | marked._asdict(),
        images=tuple(listed_images(row)),
        group=str(group) if isinstance(group, str | int) and str(group).strip() else None,
    )


def load_preferences(
    path: str | Path,
    *,
    media: MediaSettings | None = None,
    columns: Columns | None = None,
    **reading: Unpack[RowOptions],
) -> tuple[Sequence[PreferencePair], DataReport]:
    """Loads preference pairs and checks every row.

    A row needs `prompt`, `chosen` and `rejected`: texts, or messages in any of TRL's conversational forms, and the
    prompt may be what both responses begin with. What counts is said by `chosen_spans` and `rejected_spans` (pairs of
    character offsets into the responses) or by `<MASK>` tags in the responses, else found by a word diff. `id`
    (default: file name and row) may be there, `tools` and `chat_template_kwargs` for the chat template, and one of
    `image`, `images` and `video`, as in `load_questions`; the prompt is then messages. Other columns are not read.
    `adapter` is a name in `PREFERENCE_ADAPTERS`.

    Many pairs are kept in a file that goes with the process; what is returned then reads it, a slice is a list.
    """
    file, reading["split"] = find_split(str(path), reading.get("split"))
    reader = MediaReader(media_folder(file), media)
    source = preference_source(
        file, adapter=reading.get("adapter"), split=reading["split"], reader=reader, columns=columns
    )
    with reader.progress:
        return store_rows(file, source.check, source.schema, **reading)


def preference_source(
    path: str | Path,
    *,
    adapter: str | None = None,
    split: str | None = None,
    reader: MediaReader | None = None,
    columns: Columns | None = None,
) -> RowSource[PreferencePair]:
    """Says how the rows of a file become pairs; see `load_preferences`."""
    schema = Schema(NEEDS, find_adapter(adapter, PREFERENCE_ADAPTERS), PREFERENCE_ADAPTERS, columns)
    file, split = find_split(str(path), split)
    media = reader or MediaReader(media_folder(file))

    def check(row: Row, raw: RawRow) -> PreferencePair:
        pair = check_pair(row, number=raw.row, name=raw.name)
        images, video = media.show_in(row, pair.prompt)
        return replace(pair, images=images, video=video) if images or pair.images else pair

    return RowSource(file, split, schema, check)


def pair_to_row(pair: PreferencePair) -> dict[str, Any]:
    """Makes the row that a trainer reads, in TRL's form, with the spans as lists of offsets.

    Example:
        >>> row = pair_to_row(check_pair({"prompt": "France?", "chosen": "Paris.", "rejected": "Rome."}))
        >>> row["chosen"], row["chosen_spans"], row["spans_from"]
        ('Paris.', [[0, 5]], 'diff')
    """
    row = pair.trl_row | {
        "chosen_spans": [list(span) for span in pair.chosen_spans],
        "rejected_spans": [list(span) for span in pair.rejected_spans],
        "spans_from": pair.spans_from,
    }
    return row | {"images": list(pair.images)} if pair.images else row


def pairs_to_rows(pairs: Sequence[PreferencePair]) -> Sequence[dict[str, Any]]:
    """Makes the rows of a data set: all of them have `images`, and columns for the template, if any has some."""
    if not isinstance(pairs, list) and not any(pair.images or pair.template for pair in pairs):
        return MadeRows(pairs, pair_to_row)
    rows = add_template_columns([pair_to_row(pair) for pair in pairs], [pair.template for pair in pairs])
    return add_images(rows, pairs)
