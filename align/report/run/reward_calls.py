"""The calls of rewards over a run: counted, timed, and with the slowest and the failed rows."""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from align.errors import RunFolderError

_FILE, _GOES_ON = "rewards.jsonl", "goes_on_after"
_SLOWEST, _FAILED = 10, 5


class CalledRow(NamedTuple):
    """One completion whose reward was slow, or none."""

    reward: str
    step: int
    why: str
    prompt: str
    completion: str


class RewardCalls(NamedTuple):
    """The calls of all rewards of a run."""

    counts: list[dict[str, str]]  # one row per reward: column to text
    rows: list[CalledRow]  # the slowest completions, then failed ones of every kind
    spent: list[dict[str, str]]  # one row per reward that asks a model; steps that were taken again count, too


def read_reward_calls(folder: Path) -> RewardCalls | None:
    """Reads `rewards.jsonl` of a run; None if there is none. A line that a kill cut short is left out."""
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        lines = _read_lines(path)
        records = _of_last_try(lines)
        lines = [line for line in lines if _GOES_ON not in line]
        names = dict.fromkeys(record["reward"] for record in records)
        counts = [_count(name, [record for record in records if record["reward"] == name]) for name in names]
        spent = [
            _sum_spending(name, [line["spent"] for line in lines if line["reward"] == name and "spent" in line])
            for name in names
        ]
        return RewardCalls(counts, _slowest(records) + _failed(records), [each for each in spent if each])
    except (OSError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RunFolderError(
            f"{path} holds a line that is no call of a reward as training writes it ({reason}). Mend the line, or "
            "move the file away: the page does without it."
        ) from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    return lines


def _of_last_try(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out steps that a resumed run took again: the later ones count."""
    records: list[dict[str, Any]] = []
    for record in lines:
        if _GOES_ON in record:
            records = [earlier for earlier in records if earlier["step"] <= record[_GOES_ON]]
            continue
        if records and record["mode"] == "train" and record["step"] < records[-1]["step"]:
            records = [earlier for earlier in records if earlier["step"] < record["step"]]
        records.append(record)
    return records


def _count(name: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    rows = sum(record["rows"] for record in records)
    invalid = sum((Counter(record["invalid"]) for record in records), Counter())
    kinds = ", ".join(f"{count} {kind}" for kind, count in invalid.most_common())
    seconds = [record["seconds"] for record in records]
    middle = sorted(times["p50"] for times in seconds)[len(seconds) // 2]
    return {
        "reward": name,
        "completions": f"{rows:,}",
        "no opinion (None)": f"{sum(record['none'] for record in records):,}",
        "invalid": f"{invalid.total():,}" + (f" ({kinds})" if kinds else ""),
        "half take less, ms": f"{1000 * middle:.3g}",
        "95 % take less, ms": f"{1000 * max(times['p95'] for times in seconds):.3g}",
        "slowest, s": f"{max(times['max'] for times in seconds):.3g}",
    }


def _sum_spending(name: str, spent: Sequence[Mapping[str, float]]) -> dict[str, str]:
    if not spent:
        return {}
    total: Counter[str] = Counter()
    for each in spent:
        total.update(each)  # type: ignore[arg-type]  # a Counter adds any numbers
    return {
        "reward": name,
        "requests": f"{total['requests']:,}",
        "from the cache": f"{total['cached']:,}",
        "unanswered": f"{total['unanswered']:,}",
        "tokens in": f"{total['prompt_tokens']:,}",
        "tokens out": f"{total['completion_tokens']:,}",
        "held back, s": f"{total['waited_seconds']:,.1f}",
        "cost": f"{total['cost']:,.4g}" if "cost" in total else "no prices given",
    }


def _slowest(records: Sequence[Mapping[str, Any]]) -> list[CalledRow]:
    rows = [(row, record) for record in records for row in record["slowest"]]
    rows.sort(key=lambda pair: -pair[0]["seconds"])
    return [_row(row, record, f"{row['seconds']:.2f} s") for row, record in rows[:_SLOWEST]]


def _failed(records: Sequence[Mapping[str, Any]]) -> list[CalledRow]:
    """Takes a few rows of each reward and failure, the earliest first."""
    shown: Counter[tuple[str, str]] = Counter()
    found = []
    for record in records:
        for row in record["failed"]:
            kind = record["reward"], row["failure"]
            shown[kind] += 1
            if shown[kind] <= _FAILED:
                found.append(_row(row, record, f"{row['failure']}: {row['message']}"))
    return found


def _row(row: Mapping[str, Any], record: Mapping[str, Any], why: str) -> CalledRow:
    return CalledRow(record["reward"], record["step"], why, row["prompt"], row["completion"])
