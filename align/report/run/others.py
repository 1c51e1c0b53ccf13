"""Runs of other trainers, as far as their logs tell: the curves and completions of TRL, the rollouts of verl."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.errors import RunFolderError
from align.logs.log import as_number
from align.logs.rollouts import scores_of, verl_files
from align.logs.rows import rows_of
from align.report.run.completions import REWARD_METRIC
from align.report.run.folder import RunFolder, Series, as_series, read_completions

STATE = "trainer_state.json"
_TABLES = 24  # files of rollouts that are shown, spread over the run


def is_of_others(folder: Path) -> bool:
    """Tells whether a folder holds the log of a trainer that is not ours."""
    if not folder.is_dir() or (folder / "recipe.yaml").exists() or (folder / "metrics.jsonl").exists():
        return False
    tables = folder.glob("completions/completions_*.parquet")
    return _state(folder) is not None or any(tables) or bool(verl_files(folder))


def read_others(folder: Path) -> RunFolder:
    """Reads such a folder; what a trainer does not log is not there, and the page says nothing of it."""
    state, dumps = _state(folder), verl_files(folder)
    if dumps:
        rows = [_as_ours(row) for file in _spread(dumps) for row in rows_of(file)]
        metrics = _means(_as_ours(row) for file in dumps for row in rows_of(file))
        return _folder(folder, "verl", metrics | {"reward": metrics["rewards/score/mean"]}, rows, of_it=("score",))
    completions = read_completions(folder / "completions")
    metrics = _history(state) if state is not None else _means(completions)
    return _folder(folder, "TRL or transformers", metrics, completions)


def _folder(
    folder: Path, tool: str, metrics: dict[str, Series], rows: list[dict[str, Any]], of_it: Sequence[str] = ()
) -> RunFolder:
    """Makes a folder whose recipe is its rewards alone; some may be `of_it`, and the others only logged beside it."""
    names = [match[1] for key in metrics if (match := REWARD_METRIC.fullmatch(key))]
    recipe: dict[str, Any] = {"reward_funcs": names} if names else {}
    if of_it:
        recipe["reward_weights"] = [float(name in of_it) for name in names]
    return RunFolder(folder, f"(none: written by {tool})", recipe, {}, metrics, rows)


def _state(folder: Path) -> Path | None:
    """Finds the log of a trainer of transformers: its own, or that of the newest checkpoint."""
    saved = [path for path in folder.glob(f"checkpoint-*/{STATE}") if path.parent.name[11:].isdigit()]
    found = [folder / STATE, *sorted(saved, key=lambda path: -int(path.parent.name[11:]))]
    return next((path for path in found if path.is_file()), None)


def _history(state: Path) -> dict[str, Series]:
    try:
        history = json.loads(state.read_text(encoding="utf-8"))["log_history"]
        return _series((line["step"], line) for line in history)
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{state} is no log of a trainer of transformers: {error!r}.") from error


def _means(rows: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Makes the curves that TRL logs, of the rewards of completions."""
    by_step: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, value in scores_of(row, "prompt", "completion").items():
            by_step[int(row.get("step", 0))][f"rewards/{name}/mean"].append(float(value))
    return _series(
        (step, {name: sum(values) / len(values) for name, values in found.items()})
        for step, found in sorted(by_step.items())
    )


def _series(lines: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, Series]:
    points: dict[str, dict[int, float]] = {}
    for step, line in lines:
        for name, value in line.items():
            if not isinstance(value, str) and (number := as_number(value)) is not None:
                points.setdefault(name, {})[int(step)] = number
    return as_series(points)


def _as_ours(row: Mapping[str, Any]) -> dict[str, Any]:
    """Names the columns of verl as TRL does."""
    named = {"input": "prompt", "output": "completion", "gts": "gold"}
    return {named.get(name, name): value for name, value in row.items()}


def _spread(files: list[Path]) -> list[Path]:
    places = {round(each * (len(files) - 1) / max(1, _TABLES - 1)) for each in range(_TABLES)}
    return [files[place] for place in sorted(places)]
