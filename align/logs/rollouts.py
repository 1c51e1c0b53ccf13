"""Completions with their rewards: of TRL's and verl's trainers, and of evaluations of verifiers."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from align.logs.harnesses import refuse_several
from align.logs.log import Item, as_number
from align.logs.log_rows import first_row, only, rows_of

_STEP = re.compile(r"(\d+)\.jsonl")
_NOT_SCORES = {"step", "advantage", "advantages", "images", "idx", "index", "example_id", "request_id", "uid"}
_OF_TIME = re.compile(r".*_ms|.*_time|.*tokens?|timing.*")
SEVERAL = "These are completions of a training, of the model at each step; answers to one prompt are averaged."


def scores_of(row: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Returns what may be a score, which a text is not, and is no count of the run's own."""
    return {
        name: value if as_number(value) is None or not isinstance(value, str) else None
        for name, value in row.items()
        if name not in _NOT_SCORES and name not in others and not _OF_TIME.fullmatch(name)
    }


def trl_files(path: Path) -> list[Path]:
    """Finds what TRL's trainers write with `log_completions`, and so do ours."""
    if path.is_file():
        return (
            [path] if path.suffix == ".parquet" and {"prompt", "completion", "step"} <= first_row(path).keys() else []
        )
    return sorted([*path.glob("completions_*.parquet"), *path.glob("completions/completions_*.parquet")])


def read_trl(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads tables of completions."""
    sentences.append(SEVERAL)
    for file in files:
        for row in rows_of(file):
            scores = scores_of(row, "prompt", "completion")
            yield Item("training", row["prompt"], scores, about=row, step=row["step"], said=row["completion"])


def verl_files(path: Path) -> list[Path]:
    """Finds what verl wrote to `trainer.rollout_data_dir` or `trainer.validation_data_dir`."""
    files = [path] if path.is_file() else [file for file in path.glob("*.jsonl") if _STEP.fullmatch(file.name)]
    files.sort(key=lambda file: int(match[1]) if (match := _STEP.fullmatch(file.name)) else 0)
    return files if files and {"input", "output", "score"} <= first_row(files[0]).keys() else []


def read_verl(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads dumps of verl; several steps are averaged, one file is one step."""
    if len(files) > 1:
        sentences.append(f"{SEVERAL} Name one file, such as {files[-1]}, for one step.")
    for file in files:
        for row in rows_of(file):
            document = only(row, "input", "gts")
            task, scores = str(row.get("data_source") or "rollouts"), scores_of(row, *document)
            yield Item(task, document, scores, about=row, step=row.get("step"), said=row["output"])


def verifiers_files(path: Path) -> list[Path]:
    """Finds results of verifiers: `traces.jsonl` of 0.2 and newer, `results.jsonl` before."""
    if path.is_file():
        row = first_row(path)
        return [path] if "traces" in row or {"example_id", "reward", "completion"} <= row.keys() else []
    return sorted([*path.rglob("traces.jsonl"), *path.rglob("results.jsonl")])


def read_verifiers(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads episodes of verifiers; one that failed has no reward."""
    refuse_several([str(file.parent) for file in files], "runs")
    for file in files:
        for row in rows_of(file):
            if "traces" not in row:
                document = only(row, "prompt", "answer", "info")
                scores = scores_of(row, *document)
                task, said = str(row.get("task", "rollouts")), row.get("completion")
                yield Item(task, document, scores, prompt=row.get("prompt"), about=row, said=said)
                continue
            task = row["task"]["data"]
            rewards: dict[str, Any] = {}
            for trace in row["traces"]:
                given = {name: each or {"score": None} for name, each in (trace.get("rewards") or {}).items()}
                terms = [(as_number(each["score"]), each.get("weight", 1.0)) for each in given.values()]
                if terms:
                    rewards["reward"] = sum(math.nan if each is None else each * weight for each, weight in terms)
                rewards |= {name: each["score"] for name, each in given.items()} | (trace.get("metrics") or {})
            document = {name: value for name, value in task.items() if name != "idx"}  # a place, and no content
            name, place = str(task.get("name") or ""), str(task.get("idx", ""))
            said = [each["message"] for trace in row["traces"] for each in trace.get("nodes") or () if each["sampled"]]
            yield Item(row["env"]["id"], document, rewards, name, about=task, id=place, said=said)
