import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.data.media.thumbnails import spread_places
from align.errors import RunFolderError
from align.evaluation.statistics.metrics import SURE
from align.recipe.problems import one_line
from align.recipe.yaml_loader import dump_yaml
from align.secrets import mask

_TABLES_READ = 24  # a long run writes thousands of tables; these, spread evenly, are enough to sample from


@dataclass(frozen=True)
class Series:
    """One logged quantity over optimizer steps, `(S,)` each."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def recent(self) -> float:
        """Returns the mean of the last quarter, ignoring steps at which nothing was measured."""
        values = self.values[-max(1, len(self.values) // 4) :]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def last(self) -> NDArray[np.float64]:
        """Returns the last quarter, or what warnings take of a short run: as many logs as may be sure."""
        return self.values[-max(SURE, len(self.values) // 4) :]

    def first(self) -> NDArray[np.float64]:
        """Returns the first quarter, as many logs as may be sure at least; none of a run too short for two of them."""
        return self.values[: max(SURE, len(self.values) // 4) * (len(self.values) >= 2 * SURE)]


@dataclass(frozen=True)
class RunFolder:
    """What a training run left behind, read once."""

    path: Path
    recipe_text: str
    recipe: dict[str, Any]
    versions: dict[str, Any]
    metrics: dict[str, Series]
    completions: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    broken_lines: list[int] = field(default_factory=list)  # of metrics.jsonl
    checks: list[dict[str, Any]] = field(default_factory=list)  # what `align check` found


def read_run_folder(path: Path) -> RunFolder:
    """Reads a run folder; completions and pairs may be missing, the rest may not."""
    if not path.is_dir():
        wrong = "it is a file" if path.exists() else "there is no such folder"
        raise RunFolderError(
            f"{str(path)!r} is no folder of a run or an evaluation: {wrong}. Give the `output_dir` of `align train` "
            "or the `--out` of `align eval`."
        )
    recipe_text = _read(path / "recipe.yaml")
    metrics, broken_lines = read_metrics(path / "metrics.jsonl")
    recipe = _parse_recipe(path / "recipe.yaml", recipe_text)
    return RunFolder(
        path=path,
        recipe_text=recipe_text if mask(recipe) == recipe else dump_yaml(mask(recipe)),
        recipe=mask(recipe),
        versions=read_object(path / "versions.json"),
        metrics=metrics,
        completions=read_completions(path / "completions"),
        pairs=read_pairs(path / "pairs.parquet"),
        broken_lines=broken_lines,
        checks=read_checks(path / "checks.json"),
    )


def read_metrics(path: Path) -> tuple[dict[str, Series], list[int]]:
    """Reads `metrics.jsonl` into one series per key, and lists the lines that are not JSON.

    A run that went on from an earlier checkpoint logs steps again; what was logged from there on before is of a model
    that is gone. An evaluation that it makes up for before its first step is of the model that was there.
    """
    points: dict[str, dict[int, float]] = {}
    broken = []
    last = 0
    for number, line in enumerate(_read(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            broken.append(number)
            continue
        step = _step(path, number, record)
        if step < last:
            end = step if "loss" in record else step + 1
            points = {
                key: kept for key, values in points.items() if (kept := {at: values[at] for at in values if at < end})
            }
        last = step
        for key, value in record.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                points.setdefault(key, {})[step] = float(value)
    if not points:
        raise RunFolderError(f"{path}: no line is JSON, so this is not a log of `align train`.")
    return as_series(points), broken


def as_series(points: Mapping[str, Mapping[int, float]]) -> dict[str, Series]:
    """Makes series of values by step."""
    ordered = {key: sorted(values.items()) for key, values in points.items() if key != "step"}
    return {key: Series(*map(np.array, zip(*pairs, strict=True))) for key, pairs in ordered.items()}


def read_completions(folder: Path) -> list[dict[str, Any]]:
    """Reads the rows of the completions tables, in step order; at most a fixed number of tables, spread evenly."""
    files = sorted(folder.glob("completions_*.parquet"))
    rows = [row for place in spread_places(len(files), _TABLES_READ) for row in _read_table(files[place])]
    return sorted(rows, key=lambda row: row.get("step", 0))


def read_pairs(path: Path) -> list[dict[str, Any]]:
    """Reads the sample of preference pairs; a run that does not learn from pairs has none."""
    return _read_table(path) if path.exists() else []


def read_checks(path: Path) -> list[dict[str, Any]]:
    """Reads what was found before training; a run from before that was written down has nothing."""
    if not path.exists():
        return []
    found = _read_json(path)
    return [mask(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _read_table(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as parquet

    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{path} is not a readable parquet table: {error} Delete it if the run was killed."
        ) from None
    return rows


def _step(path: Path, number: int, record: Any) -> int:
    if not isinstance(record, dict) or not isinstance(record.get("step"), int | float):
        raise RunFolderError(
            f"{path}, line {number}: a logged step must be an object with a number `step`, got {str(record)[:80]}."
        )
    return int(record["step"])


def _parse_recipe(path: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        recipe = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RunFolderError(f"{path} is not YAML: {error}") from None
    if not isinstance(recipe, dict):
        raise RunFolderError(f"{path} must hold `key: value` lines, got a {type(recipe).__name__}.")
    return recipe


def read_object(path: Path) -> dict[str, Any]:
    """Reads a file that holds a JSON object."""
    value = _read_json(path)
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} must hold a JSON object, got a {type(value).__name__}.")
    return dict(mask(value))  # a folder from before secrets were masked when written


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{path}, line {error.lineno}: not JSON ({error.msg}).") from None


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(
            f"{path.name} is missing in {str(path.parent)!r}. A run folder holds recipe.yaml, versions.json and "
            "metrics.jsonl; give the `output_dir` of a run that logged at least one step."
        ) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {one_line(error)}. Mend it, or take it from a copy.") from None
    if not text.strip():
        raise RunFolderError(f"{path} is empty. A report needs a run that logged at least one step.")
    return text
