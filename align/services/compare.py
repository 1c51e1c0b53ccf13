"""Compares logs of evaluations or trainings that other tools and ours wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from align.errors import UserError
from align.logs.comparison import COMPARISON_FILE, Comparison, compare_logs, failed, verdicts
from align.logs.reading import How, read_log
from align.options import several
from align.report.logs import build_logs_page
from align.runs.room import check_writable


@dataclass(frozen=True)
class Compared:
    """A comparison, and where it is."""

    record: Comparison
    page: Path
    met: Sequence[str]  # differences that meet a condition of `fail_on`


def compare(
    *logs: str | Path,
    out: str | Path,
    match: str | Sequence[str] = (),
    scores: str | Sequence[str] = (),
    group: str | None = None,
    adjust: str = "holm",
    average: bool = False,
) -> Comparison:
    """Compares logs with the first one on the documents that both have, as `align compare` does.

    Args:
        logs: At least two: what a tool wrote, or tables; `NAME=PATH` names one.
        out: Folder for `comparison.json` and the page.
        match: Fields of documents, or columns, that alone say which are the same.
        scores: Columns of tables.
        group: A field that names the group of a document.
        adjust: How p-values count that there are many: `holm` or `bh`.
        average: Whether rows of a table with the same `id` are answers to one item.

    Raises:
        UserError: If a log cannot be read, or no document is in two of them.
    """
    how = How(several(match), several(scores), group, average)
    return compare_paths([str(log) for log in logs], Path(out), how, adjust).record


def compare_paths(logs: Sequence[str], out: Path, how: How, adjust: str, fail_on: Sequence[str] = ()) -> Compared:
    """Compares logs, prints what is sure, and lists the differences that meet a condition."""
    if len(logs) < 2:
        raise UserError(f"At least two logs are compared, got {len(logs)}. Name the baseline first.")
    check_writable(out, "--out")
    named = _names(logs)
    comparison = compare_logs({name: read_log(path, how) for name, path in named.items()}, adjust)
    met = failed(comparison, fail_on)
    out.mkdir(parents=True, exist_ok=True)
    comparison.write(out)
    return Compared(comparison, build_logs_page(comparison, out / "report.html"), met)


def run(logs: Sequence[str], out: Path, how: How, adjust: str, fail_on: Sequence[str]) -> int:
    """Compares logs for the command line; 1 if a difference meets a condition."""
    compared = compare_paths(logs, out, how, adjust, fail_on)
    for sentence in [*compared.record.sentences, *verdicts(compared.record)]:
        print(sentence)
    print(f"\nAll differences are in {out / COMPARISON_FILE}, and the page is {compared.page}.")
    for sentence in compared.met:
        print(f"Failed: {sentence}")
    return bool(compared.met)


def _names(logs: Sequence[str]) -> dict[str, str]:
    """Names logs by what is written before `=`, or by as many parts of their paths as tell them apart."""
    paths, given = [], []
    for log in logs:
        name, equals, path = log.partition("=")
        is_named = bool(equals) and not Path(log).exists()
        paths.append(path if is_named else log)
        given.append(name if is_named else "")
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise UserError(f"{twice} is given twice. Name each log once.")
    parts = [Path(path).expanduser().resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = [name or "/".join(each[-length:]) for name, each in zip(given, parts, strict=True)]
        if len(set(names)) == len(names):
            break
    if len(set(names)) < len(names):
        raise UserError(
            f"Two logs have the name {max(names, key=names.count)!r}. Give each a name of its own, as NAME=PATH."
        )
    return dict(zip(names, paths, strict=True))
