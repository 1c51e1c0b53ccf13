"""Rows in the cache of `datasets`, where what a trainer makes of them, such as tokens and marks, is found again."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import datasets
from datasets import Dataset
from datasets.fingerprint import Hasher

import align
import rewards
from align.data.stored_items import MadeRows, content_digest
from align.data.training_data import Rows
from align.versions import installed_version

LEAST = 2_000  # rows; fewer are tokenised in seconds
PACKAGES = ("trl", "transformers", "tokenizers", "datasets")  # whose code makes something of rows


def cached(rows: Rows, to_dataset: Callable[[Rows], Dataset]) -> Dataset:
    """Makes a data set, and keeps many rows in a file that is named after their content and the code that reads them.

    `Dataset.map` keeps its results beside such a file, and a second start with the same rows, tokenizer and settings
    reads them. Of rows that are made when they are read, none is made for a second start. Where nothing can be written
    the rows stay in memory, and each start makes all of it again.
    """
    content = _digest(rows)
    if content is not None and (found := _read(*_place(content))) is not None:
        return found
    dataset = to_dataset(rows)
    if len(dataset) < LEAST:
        return dataset
    name, file = _place(content or dataset._fingerprint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if (found := _read(name, file)) is not None:
            return found
        return dataset.map(
            batched=True,
            cache_file_name=str(file),
            load_from_cache_file=False,
            new_fingerprint=name,
            desc="Keeping rows",
        )
    except OSError:
        return dataset


def _digest(rows: Rows) -> str | None:
    """Names rows by what they are made of, and how; None where they must be made for that."""
    if not isinstance(rows, MadeRows) or (items := content_digest(rows.items)) is None:
        return None
    return f"{items} {Hasher.hash(rows.make)}"


def _place(content: str) -> tuple[str, Path]:
    """Names what is kept of some content, and its file."""
    name = hashlib.sha256(f"{content} {code_digest()}".encode()).hexdigest()[:32]
    return name, Path(datasets.config.HF_DATASETS_CACHE) / "truealign" / name / "rows.arrow"


def _read(name: str, file: Path) -> Dataset | None:
    """Reads rows that were kept; None where there are none, or where the file is damaged."""
    try:
        kept = Dataset.from_file(str(file))
    except (OSError, ValueError):  # Arrow's errors are values of the second
        return None
    return Dataset(kept.data, info=kept.info, fingerprint=name)


@cache
def code_digest() -> str:
    """Names the code that makes something of rows: `datasets` looks at a function, and not at what it calls."""
    digest = hashlib.sha256(repr([installed_version(package) for package in PACKAGES]).encode())
    for package in (align, rewards):
        folder = Path(str(package.__file__)).parent
        for source in sorted(folder.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()
