import re
from pathlib import Path
from typing import Any

from align.data.media.video import IMAGE_SUFFIXES
from align.data.pairs.spans import strip_tags
from align.data.problems import BadRow
from align.data.questions.adapters import Adapter, Row

MEDIA_COLUMNS = ("video", "image", "images", "media_path")
LLAVA_PLACEHOLDER = re.compile(r"<(?:image|video)>\n?")


def rrpo(row: Row) -> dict[str, Any]:
    """Reads RRPO's self-alignment data: `question`, `answer`, `pred`, `answer_masked`, `pred_masked`, `sample_id`.

    The masked columns have the other two with their differing phrases in tags, and may write whitespace differently.
    The responses are the texts without tags. With media (`video`, `image`, `images`, or `media_path`, an image or
    video by its name), the three become messages, and `<image>` or `<video>` in the question goes: images stand in
    front of it.

    Example:
        >>> row = {"question": "Colour?", "answer": "It is red.", "answer_masked": "It is <MASK> red </MASK> .",
        ...        "pred": "It is blue.", "pred_masked": "It is <MASK> blue </MASK> ."}
        >>> rrpo(row)["chosen"], rrpo(row)["chosen_spans"]
        ('It is red.', [[6, 9]])
    """
    media = _media(row)
    converted = {
        "id": row.get("sample_id"),
        "prompt": row["question"],
        "chosen": row["answer"],
        "rejected": row["pred"],
        "chosen_spans": _move_spans(row["answer_masked"], row["answer"], "answer_masked", "answer"),
        "rejected_spans": _move_spans(row["pred_masked"], row["pred"], "pred_masked", "pred"),
        "spans_from": "tags",
    }
    return converted | _as_messages(row) | media if media else converted


PREFERENCE_ADAPTERS: dict[str, Adapter] = {"rrpo": rrpo}


def _media(row: Row) -> dict[str, Any]:
    columns = [column for column in MEDIA_COLUMNS if row.get(column)]
    if not columns:
        return {}
    if len(columns) > 1:
        raise BadRow(columns[1], row[columns[1]], f"the row has {' and '.join(columns)}", "Keep one of them.")
    column, value = columns[0], row[columns[0]]
    if column == "media_path":
        column = "image" if Path(str(value)).suffix.lower() in IMAGE_SUFFIXES else "video"
    return {column: value}


def _as_messages(row: Row) -> dict[str, Any]:
    question = row["question"]
    if not isinstance(question, str):
        raise BadRow("question", question, "the column is not a text", "Write one.")
    said = {"chosen": row["answer"], "rejected": row["pred"]}
    return {
        "prompt": [{"role": "user", "content": LLAVA_PLACEHOLDER.sub("", question).strip()}],
        **{side: [{"role": "assistant", "content": text}] for side, text in said.items()},
    }


def _move_spans(masked: Any, text: Any, masked_column: str, column: str) -> list[list[int]]:
    """Turns tags into offsets into the text without tags, whatever whitespace either of them has."""
    for name, value in ((masked_column, masked), (column, text)):
        if not isinstance(value, str):
            raise BadRow(name, value, "the column is not a text", "Write one.")
    plain, spans = strip_tags(masked, masked_column)
    places = [i for i, character in enumerate(text) if not character.isspace()]
    if "".join(plain.split()) != "".join(text.split()):
        remedy = f"Without its tags it must have the words of `{column}`."
        raise BadRow(masked_column, masked, f"the text is not that of `{column}`", remedy)
    return [[places[_count(plain[: span.start])], places[_count(plain[: span.end]) - 1] + 1] for span in spans]


def _count(text: str) -> int:
    return len("".join(text.split()))
