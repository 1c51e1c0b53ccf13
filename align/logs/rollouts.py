"""Completions with their rewards: of TRL's and verl's trainers, and of evaluations of verifiers."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from align.logs.harnesses import refuse_several
from align.logs.log import Item, as_number
from align.logs.rows import first_row, only, rows_of

_STEP = re.compile(r"(\d+)\.jsonl")
_NOT_SCORES = {"step", "advantage", "advantages", "images", "idx", "index", "example_id", "request_id", "uid"}
_OF_TIME = re.compile(r".*_ms|.*_time|.*tokens?|timing.*")
SEVERAL = "These are completions of a training, of the model at each step; answers to one prompt are averaged."


def scores_of(row: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Returns what is a number and no count of the run's own."""
    return {
        name: value
        for name, value in row.items()
        if name not in _NOT_SCORES
        and name not in others
        and not isinstance(value, str)
        and as_number(value) is not None
        and not _OF_TIME.fullmatch(name)
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
            yield Item("training", row["prompt"], scores_of(row, "prompt", "completion"), about=row)


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
            yield Item(str(row.get("data_source") or "rollouts"), document, scores_of(row, *document), about=row)


def verifiers_files(path: Path) -> list[Path]:
    """Finds results of verifiers: `traces.jsonl` of 0.2 and newer, `results.jsonl` before."""
    if path.is_file():
        row = first_row(path)
        return [path] if "traces" in row or {"example_id", "reward", "completion"} <= row.keys() else []
    return sorted([*path.rglob("traces.jsonl"), *path.rglob("results.jsonl")])


def read_verifiers(files: list[Path], sentences: list[str]) -> Iterator[Item]:
    """Reads episodes of verifiers; one that failed has no reward, is counted, and is in no number."""
    refuse_several([str(file.parent) for file in files], "runs")
    failed = 0
    for file in files:
        for row in rows_of(file):
            if "traces" not in row:
                document = only(row, "prompt", "answer", "info")
                scores = scores_of(row, *document)
                yield Item(str(row.get("task", "rollouts")), document, scores, prompt=row.get("prompt"), about=row)
                continue
            task = row["task"]["data"]
            rewards: dict[str, float] = {}
            for trace in row["traces"]:
                given = {name: each for name, each in (trace.get("rewards") or {}).items() if each is not None}
                if given:
                    rewards["reward"] = sum(each["score"] * each.get("weight", 1.0) for each in given.values())
                rewards |= {name: each["score"] for name, each in given.items()}
                rewards |= {name: each for name, each in (trace.get("metrics") or {}).items() if each is not None}
            failed += not rewards
            document = {name: value for name, value in task.items() if name != "idx"}  # a place, and no content
            yield Item(row["env"]["id"], document, rewards, str(task.get("name") or ""), about=task)
    if failed:
        sentences.append(f"{failed:,} episodes failed, so that they have no reward, and are in no number.")
