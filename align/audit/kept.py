"""Writes the rows that are left once duplicates, contradictions and leaks are out, and those with their reasons."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from align.audit.run import Audited
from align.data.problems import RowProblem
from align.errors import DataError
from align.whole_files import whole_file

KEPT_FILE, LEFT_OUT_FILE = "kept.jsonl", "left_out.jsonl"


class Written(NamedTuple):
    """How many rows went where."""

    kept: int
    left_out: int


def write_kept(audited: Audited, folder: Path, advance: Callable[[], None] = lambda: None) -> Written:
    """Reads the rows for training again, and writes each as it stands there to one of two files, in their order.

    A row that is left out stands beside its file, its row, and the reason.

    Raises:
        DataError: If a row holds what JSON cannot, such as the bytes of an image.
    """
    num_kept = num_out = 0
    reasons = iter(audited.reasons)
    with (
        whole_file(folder / KEPT_FILE) as kept,
        whole_file(folder / LEFT_OUT_FILE) as left_out,
        kept.open("w", encoding="utf-8") as keeps,
        left_out.open("w", encoding="utf-8") as leaves,
    ):
        for reader in audited.readers:
            for raw, entry in reader.read():
                advance()
                content = None if isinstance(raw.content, RowProblem) else raw.content
                place = {"file": reader.file, "row": raw.row}
                if isinstance(entry, RowProblem):
                    why = {"reason": "unusable", "of": f"{entry.rule}. {entry.remedy}"}
                else:
                    reason, of = next(reasons)
                    if not reason:
                        keeps.write(_line(content or {}, place))
                        num_kept += 1
                        continue
                    why = {"reason": reason, "of": of}
                leaves.write(_line(place | why | {"content": content}, place))
                num_out += 1
    return Written(num_kept, num_out)


def _line(row: Mapping[str, Any], place: Mapping[str, Any]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{place['file']}, row {place['row']}: `--write` writes JSON lines, and the row holds what they cannot "
            f"({error}). Write images as files and their paths into the rows."
        ) from error
