"""Rows as data sets that give them back as they were, the cache of many, and what shared weights need of images."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pyarrow.compute as pc
from datasets import Dataset, Features, Json, List
from datasets.fingerprint import Hasher

import rewards
from align.data.media.images import VIDEO
from align.data.stored_items import MadeRows, content_digest
from align.data.training_data import Rows
from align.errors import DataError
from align.models.videos import MIXED as MIXED_MEDIA
from align.versions import installed_version

LEAST = 2_000  # rows; fewer are tokenised in seconds
PACKAGES = ("trl", "transformers", "tokenizers", "datasets")  # whose code makes something of rows
MIXED: Any = {"on_mixed_types": "use_json"}  # else tables give every message every key


def _digest(rows: Rows) -> str | None:
    """Names rows by what they are made of, and how; None where they must be made for that."""
    if not isinstance(rows, MadeRows) or (items := content_digest(rows.items)) is None:
        return None
    return f"{items} {Hasher.hash(rows.make)}"


def cached(rows: Rows) -> Dataset:
    """Makes a data set, and keeps many rows in a file that is named after their content and the code that reads them.

    `Dataset.map` keeps its results beside such a file, and a second start with the same rows, tokenizer and settings
    reads them. Of rows that are made when they are read, none is made for a second start. Where nothing can be written
    the rows stay in memory, and each start makes all of it again.
    """
    content = _digest(rows)
    if content is not None and (found := _read(*_place(content))) is not None:
        return found
    dataset = typed_dataset(rows)
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
    for folder in (Path(__file__).parents[1], Path(str(rewards.__file__)).parent):
        for source in sorted(folder.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def typed_dataset(rows: Rows) -> Dataset:
    """Makes a data set in which texts stay texts beside values of another type, as `1945` beside a list."""
    try:
        dataset = Dataset.from_list(list(rows), **MIXED)
    except (ValueError, OverflowError):  # of Arrow, which names no column
        for name in dict.fromkeys(name for row in rows for name in row):
            try:
                Dataset.from_dict({name: [row.get(name) for row in rows]}, **MIXED)
            except (ValueError, OverflowError) as error:
                raise DataError(
                    f"Column `{name}` has values that a data set cannot hold together: {error}. Write large numbers "
                    f"as texts, or give all values of the column one type."
                ) from error
        raise
    features = dict(dataset.features)
    if not _has_json(features):
        return dataset
    return Dataset.from_list([_written(row, features) for row in rows], features=Features(features))


def _has_json(feature: Any) -> bool:
    if isinstance(feature, dict):
        return any(_has_json(each) for each in feature.values())
    return isinstance(feature, Json) or (isinstance(feature, List) and _has_json(feature.feature))


def _written(value: Any, feature: Any) -> Any:
    """Writes texts of mixed fields as JSON: `datasets` takes one that is JSON already, as `1945`, for what it says."""
    if isinstance(feature, Json):
        return json.dumps(value) if isinstance(value, str) else value
    if isinstance(feature, dict) and value is not None:
        return {name: _written(value.get(name), each) for name, each in feature.items()}
    if isinstance(feature, List) and value is not None and _has_json(feature.feature):
        return [_written(each, feature.feature) for each in value]
    return value


def shares_weights(trainer: Any) -> bool:
    """Tells whether processes of a trainer wait for each other in every part of the model."""
    several = trainer.accelerator.num_processes > 1
    return several and bool(trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled)


def check_all_are_videos(dataset: Dataset, dataset_name: str) -> None:
    """Checks that all rows show videos or none does: the vision towers of processes would run unlike passes."""
    if VIDEO in dataset.column_names and len({video is None for video in dataset[VIDEO]}) > 1:
        raise DataError(MIXED_MEDIA.format(what=f"The {dataset_name} dataset"))


def check_all_have_images(dataset: Dataset, dataset_name: str) -> None:
    """Checks that every row makes the vision tower run: processes that share its weights would wait for each other."""
    check_all_are_videos(dataset, dataset_name)
    if "num_images" in dataset.column_names:
        counts = dataset["num_images"]
    else:  # without decoding them
        counts = pc.list_value_length(dataset.data["images"]).to_pylist()
    if 0 in counts and any(counts):
        raise DataError(
            f"Some rows of the {dataset_name} dataset have images and some have none. With DeepSpeed or FSDP every "
            f"process must run the vision tower in every step. Give every row an image, or train with DDP."
        )
