"""What making data has in common: settings, and a folder whose files are written whole or not at all."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from align.errors import RunFolderError, UserError
from align.markdown import render
from align.recipe.rules import suggestion
from align.secrets import mask
from align.whole_files import as_lines, write_whole

PAIRS_FILE, LEFT_OUT_FILE, CARD_FILE, SETTINGS_FILE = "pairs.jsonl", "left_out.jsonl", "card.json", "settings.json"
Row = Mapping[str, Any]


def describe_data(name: str) -> str:
    """Names a file, a folder or a hub data set, without the path of this machine."""
    path = Path(name)
    return describe_file(path) if path.is_file() else path.name if path.is_dir() else name


def describe_file(path: Path) -> str:
    """Names a file by its content, too."""
    return f"{path.name} (SHA-256 {_digest(path.read_bytes())})"


def check_folder(folder: Path, run: Row) -> None:
    """Refuses a folder that holds something else than this run."""
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file. Choose a folder with `--out`. Nothing was written.")
    file = folder / SETTINGS_FILE
    if not file.exists():
        if any(folder.glob("*")):
            raise RunFolderError(f"{folder} holds something else. Choose a new `--out`. Nothing was written.")
        return
    cache = folder / "cache"
    more = f"; with `--cache {cache}` it takes over the answers that fit" if cache.is_dir() else ""
    try:
        held = mask(dict(json.loads(file.read_text(encoding="utf-8"))))
    except (TypeError, ValueError) as error:  # cut off, no text, or no object
        raise RunFolderError(
            f"{file} cannot be read: {error}. It says what {folder} was made with, so that no other run goes on "
            f"there. Choose a new `--out`{more}. Nothing was written."
        ) from error
    for key, value in mask(run).items():
        if held.get(key) != value:
            raise RunFolderError(
                f"{folder} was made with `{key}: {held.get(key)}`, now it is `{value}`. Choose a new `--out`{more}. "
                "Nothing was written."
            )


def claim_folder(folder: Path, run: Row) -> None:
    """Writes down what a folder is for, so that only the same run goes on in it; else raises `RunFolderError`."""
    check_folder(folder, run)
    write_whole(folder / SETTINGS_FILE, json.dumps(mask(run), indent=2) + "\n")


def write_folder(
    folder: Path, pairs: Sequence[Row], others: Mapping[str, Sequence[Row]], card: Row, page: str
) -> None:
    """Writes what a finished run leaves, the pairs last; `page` is the template that words the card."""
    lines = as_lines(pairs)
    masked = dict(mask(card))
    named = masked | {"name": folder.resolve().name, "digest": _digest(lines.encode())}
    readme = render("align.methods", page, named, trim_blocks=True, lstrip_blocks=True)
    for name, rows in others.items():
        write_whole(folder / name, as_lines(rows))
    write_whole(folder / CARD_FILE, json.dumps(masked, indent=2, ensure_ascii=False) + "\n")
    write_whole(folder / "README.md", readme + "\n")
    write_whole(folder / PAIRS_FILE, lines)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How a model is sampled."""

    temperature: float  # 0 takes the most likely token
    max_new_tokens: int  # longest answer
    seed: int = 0  # of everything that is drawn

    def __post_init__(self) -> None:
        """Checks the values."""
        check_at_least_one("max_new_tokens", self.max_new_tokens)
        if self.temperature < 0:
            raise UserError(f"`temperature` must be 0 or more, got {self.temperature}.")


def check_at_least_one(name: str, number: int) -> None:
    """Refuses a count below 1."""
    if number < 1:
        raise UserError(f"`{name}` must be at least 1, got {number}.")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses a value that is not among those known."""
    if value not in known:
        raise UserError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.{suggestion(value, known)}")


class Augmentation(NamedTuple):
    """How data for a method is made."""

    options: tuple[str, ...]  # of the command that mean something to this method only
    with_model: Callable[..., int]  # returns 1 if there is none
    with_rules: Callable[..., int] | None = None
    rules: str = ""  # the option that names the rules
