import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from align.data.conversations import Message, check_prompt
from align.data.files import RawRow
from align.data.loading import RowOptions, Schema, load_rows
from align.data.problems import BadRow, DataReport
from align.data.question_checks import check_id, check_number, check_responses
from align.whole_files import write_whole

UNREADABLE = re.compile("[\0\ud800-\udfff]")  # which a model may write, see `check_values`


@dataclass(frozen=True)
class Candidates:
    """The N responses to one prompt."""

    id: str
    prompt: str | list[Message]  # a text, or messages
    responses: tuple[str, ...]
    quality: tuple[float, ...] | None  # how good each response really is; None if that is not known
    row: int  # line of a JSONL or CSV file, else number of the record


def load_candidates(path: str | Path, **reading: Unpack[RowOptions]) -> tuple[list[Candidates], DataReport]:
    """Loads prompts with their candidates and checks every row.

    A row needs `prompt` (a text, or messages) and `responses` (a list of texts). `quality` (a number per response) and
    `id` (default: file name and row) may be there. Other columns are not read.
    """
    return load_rows(path, _check, Schema(("prompt", "responses")), **reading)


def save_candidates(file: Path, rows: Iterable[Candidates]) -> None:
    """Writes prompts with candidates as `load_candidates` reads them; what no row may hold becomes U+FFFD."""
    lines = []
    for row in rows:
        line: dict[str, Any] = {"id": row.id, "prompt": row.prompt}
        line["responses"] = [UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text) for text in row.responses]
        if row.quality is not None:
            line["quality"] = row.quality
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_whole(file, "".join(lines))


def _check(row: Mapping[str, Any], raw: RawRow) -> Candidates:
    responses = check_responses("responses", row.get("responses"))
    return Candidates(
        id=check_id(row, raw),
        prompt=check_prompt(row.get("prompt")),
        responses=responses,
        quality=_check_quality(row.get("quality"), len(responses)),
        row=raw.row,
    )


def _check_quality(quality: object, count: int) -> tuple[float, ...] | None:
    if quality is None:
        return None
    if not isinstance(quality, list | tuple) or len(quality) != count:
        raise BadRow("quality", quality, f"the quality is not a list of {count} numbers", "Write one per response.")
    return tuple(check_number("quality", value) for value in quality)
