"""Rows in the cache of `datasets`, where what a trainer makes of them, such as tokens and marks, is found again."""

import hashlib
from functools import cache
from pathlib import Path

import datasets
from datasets import Dataset

import align
import rewards
from align.versions import installed_version

LEAST = 2_000  # rows; fewer are tokenised in seconds
PACKAGES = ("trl", "transformers", "tokenizers", "datasets")  # whose code makes something of rows


def cached(dataset: Dataset) -> Dataset:
    """Keeps many rows in a file that is named after their content and after the code that reads them.

    `Dataset.map` keeps its results beside such a file, and a second start with the same rows, tokenizer and settings
    reads them. Where nothing can be written the rows stay in memory, and each start makes all of it again.
    """
    if len(dataset) < LEAST:
        return dataset
    name = hashlib.sha256(f"{dataset._fingerprint} {code_digest()}".encode()).hexdigest()[:32]
    file = Path(datasets.config.HF_DATASETS_CACHE) / "truealign" / name / "rows.arrow"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return dataset.map(batched=True, cache_file_name=str(file), new_fingerprint=name, desc="Keeping rows")
    except OSError:
        return dataset


@cache
def code_digest() -> str:
    """Names the code that makes something of rows: `datasets` looks at a function, and not at what it calls."""
    digest = hashlib.sha256(repr([installed_version(package) for package in PACKAGES]).encode())
    for package in (align, rewards):
        folder = Path(str(package.__file__)).parent
        for source in sorted(folder.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()
