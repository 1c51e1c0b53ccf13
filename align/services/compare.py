"""Compares logs of evaluations or trainings that other tools and ours wrote."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from align.errors import UserError
from align.logs.changed import Changed, add_texts
from align.logs.comparison import COMPARISON_FILE, Comparison, compare_logs, failed, left_out, verdicts
from align.logs.log import How, Log
from align.logs.missing import Missing, read_missing
from align.logs.naming import names_apart
from align.logs.reading import TABLE, read_log
from align.options import several
from align.recipe.recipe import read_columns
from align.report.logs import build_logs_page
from align.runs.disk_space import check_writable


def compare(
    *logs: str | Path,
    out: str | Path,
    match: str | Sequence[str] = (),
    scores: str | Sequence[str] = (),
    group: str | None = None,
    average: bool = False,
    missing: str = "bound",
    only_common: bool = False,
    columns: str = "",
) -> Comparison:
    """Compares logs with the first one, document by document, as `align compare` does.

    Args:
        logs: At least two: what a tool wrote, or tables; `NAME=PATH` names one.
        out: Folder for `comparison.json` and the page.
        match: Fields of documents, or columns, that alone say which are the same.
        scores: Columns of tables.
        group: A field that names the group of a document.
        average: Whether rows of a table with the same `id` are answers to one item.
        missing: What a score counts as that is missing or no number: `bound` (anything: a difference is told only if
            it is there whatever they are), `wrong`, `drop`, or the range of scores that are not right or wrong,
            `LOW:HIGH`. A document, or an answer, that only one log has is missing in the other.
        only_common: Whether documents and tasks that only one log has are left out instead.
        columns: What tables call columns, such as `{id: question_id}`, where they have such.

    Raises:
        UserError: If a log cannot be read, or no document is in two of them.
    """
    how = How(several(match), several(scores), group, average, read_columns(columns))
    return compare_paths([str(log) for log in logs], Path(out), how, read_missing(missing, only_common))[0]


def compare_paths(
    logs: Sequence[str], out: Path, how: How, missing: Missing, fail_on: Sequence[str] = ()
) -> tuple[Comparison, Path, list[str]]:
    """Compares logs, and returns the page too, and the differences that meet a condition."""
    if len(logs) < 2:
        raise UserError(f"At least two logs are compared, got {len(logs)}. Name the baseline first.")
    check_writable(out, "--out")
    named = _names(logs)
    logs_read, how = _read(named, how)
    if how.columns and TABLE not in (log.tool for log in logs_read.values()):
        raise UserError("`columns` names columns of tables, and none of these logs is one. Leave it out.")
    comparison = compare_logs(logs_read, missing)
    del logs_read  # each is read again for the texts of what was won and lost
    met = failed(comparison, fail_on)
    changed = {(each.task, each.log): list[Changed]() for each in comparison.differences}
    for each in comparison.differences:
        changed[each.task, each.log] += [*each.wins, *each.losses]
    add_texts(changed, next(iter(named)), lambda name, shown: read_log(named[name], replace(how, shown=shown)))
    out.mkdir(parents=True, exist_ok=True)
    comparison.write(out)
    return comparison, build_logs_page(comparison, out / "report.html"), met


def _read(named: Mapping[str, str], how: How) -> tuple[dict[str, Log], How]:
    """Reads logs, and returns how; of trainings only the steps that all have, if they share some."""
    logs = {name: read_log(path, how) for name, path in named.items()}
    steps = [log.steps for log in logs.values()]
    common = frozenset.intersection(*steps)
    if len(set(steps)) > 1 and common:
        how = replace(how, steps=common)
        logs = {name: read_log(path, how) for name, path in named.items()}
    for log, had in zip(logs.values(), steps, strict=True):
        if common and had > common:
            log.sentences.append(f"{len(common):,} of its {len(had):,} steps are compared, those that all logs have.")
        elif had and not common:
            log.sentences.append(f"Its steps, {min(had)} to {max(had)}, are not those of the other logs.")
    return logs, how


def run(logs: Sequence[str], out: Path, how: How, missing: Missing, fail_on: Sequence[str]) -> int:
    """Compares logs for the command line; 1 if a difference meets a condition."""
    record, page, met = compare_paths(logs, out, how, missing, fail_on)
    apart = filter(None, (left_out(each, record) for each in record.matched))
    for sentence in [*record.sentences, *apart, *_examples(record), *verdicts(record)]:
        print(sentence)
    print(f"\nAll differences are in {out / COMPARISON_FILE}, and the page is {page}.")
    for sentence in met:
        print(f"Failed: {sentence}")
    return bool(met)


def _examples(record: Comparison) -> Iterator[str]:
    """Shows of each log what it wins and loses, one document of the first metric that has one."""
    first, seen = next(iter(record.logs)), set[tuple[str, str]]()
    for each in record.differences:
        for word, count, some in (("Won", each.won, each.wins), ("Lost", each.lost, each.losses)):
            if some and (word, each.log) not in seen:
                seen.add((word, each.log))
                yield f"{word} by `{each.log}` in {each.metric} of {each.task}, {count:,} in all, such as:"
                yield from (f"    {line}" for line in some[0].lines(first, each.log))


def _names(logs: Sequence[str]) -> dict[str, str]:
    """Names logs by what is written before `=`, or by as many parts of their paths as tell them apart."""
    paths, given = [], []
    for log in logs:
        name, equals, path = log.partition("=")
        is_named = bool(equals) and not Path(log).exists()
        paths.append(path if is_named else log)
        given.append(name if is_named else "")
    names = names_apart("log", paths, given)
    if len(set(names)) < len(names):
        raise UserError(
            f"Two logs have the name {max(names, key=names.count)!r}. Give each a name of its own, as NAME=PATH."
        )
    return dict(zip(names, paths, strict=True))
