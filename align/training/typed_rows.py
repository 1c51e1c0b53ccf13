"""Rows as a data set that gives them back as they were, whatever types a column holds together."""

import json
from typing import Any

from datasets import Dataset, Features, Json, List

from align.data.training_data import Rows
from align.errors import DataError

MIXED: Any = {"on_mixed_types": "use_json"}  # else tables give every message every key


def typed_dataset(rows: Rows) -> Dataset:
    """Makes a data set in which texts stay texts beside values of another type, as `1945` beside a list.

    Raises:
        DataError: If a column has numbers that no type holds together.
    """
    try:
        dataset = Dataset.from_list(list(rows), **MIXED)
    except (ValueError, OverflowError):  # of Arrow, which names no column
        _check_columns(rows)
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


def _check_columns(rows: Rows) -> None:
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            Dataset.from_dict({name: [row.get(name) for row in rows]}, **MIXED)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"Column `{name}` has values that a data set cannot hold together: {error}. Write large numbers as "
                f"texts, or give all values of the column one type."
            ) from error
