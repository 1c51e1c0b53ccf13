"""Files that are there whole or not at all, what JSON holds of values, and what tells one file from another."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a place to write to, and moves what was written to its own at the end.

    A process that is killed, and one that fails, leave the old file or none, and no reader meets half of one.

    Args:
        path: Where the file goes; its folder is made.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        if draft.is_file():
            draft.unlink()


def write_whole(path: Path, content: str | bytes, *, errors: str = "strict") -> None:
    """Writes a file at once; `errors` as of `str.encode`.

    Raises:
        OSError: If it cannot be written.
    """
    with whole_file(path) as draft:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", errors))


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Writes one JSON object per line."""
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)


def object_in(path: Path) -> dict[str, Any]:
    """Reads a file of a JSON object; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def as_json(value: Any) -> Any:
    """Turns what has named parts, and numpy's numbers, into what JSON has; a number that is not finite becomes null.

    Example:
        >>> as_json({"interval": (0.5, float("nan"))})
        {'interval': [0.5, None]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content, which is never whole in memory.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Names each path by its last part, or whole where two have one name."""
    each = list(dict.fromkeys(paths))
    names = [path.name for path in each]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in each}
