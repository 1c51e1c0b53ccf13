"""`align audit`: what a data set would teach that nobody meant."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from align.audit.entry import KINDS
from align.audit.kept import COUNTERFACTUAL_FILE, KEPT_FILE, LEFT_OUT_FILE, write_kept
from align.audit.reading import Source, estimate_rows
from align.audit.record import AuditRecord
from align.audit.row_checks import Named
from align.audit.run import Advance, audit
from align.audit.trace_scores import TRACES_FILE
from align.cli.audit_traces import find_student, score, show_traces
from align.console import make_console, make_table
from align.errors import UserError
from align.recipe.dataset import DatasetConfig, MediaSettings
from align.recipe.media_settings import check_media
from align.report.audit import build_audit_page
from align.report.audit.words import by_length, in_points, mask_sentence, pairs_sentence, share_of
from align.runs.writable import check_writable

NAMES = ("duplicates", "contradictions", "leaks", "shared_prompts", "near_duplicates", "near_leaks", "groups",
         "prefixes", "images", "unusable", "cues", "mask")  # fmt: skip
_SHOWN_CUES = 20
COUNTERFACTUAL = "counterfactual"


def run(
    data: Sequence[str],
    out: Path,
    *,
    reading: Mapping[str, Any],
    named: Mapping[str, Any],
    scoring: Mapping[str, Any],
    media: Mapping[str, Any],
    near: bool,
    write: bool,
    fail_on: Sequence[str],
) -> int:
    """Prints what was found and writes it down; returns 1 if something is found that it should fail on."""
    if reading["kind"] not in ("", *KINDS):
        raise UserError(f"`kind` must be one of {', '.join(KINDS)}, got {reading['kind']!r}.")
    if unknown := [name for name in fail_on if name not in NAMES]:
        raise UserError(f"`fail_on` must name some of {', '.join(NAMES)}, got {unknown[0]!r}.")
    if reading["max_rows"] is not None and reading["max_rows"] < 1:
        raise UserError(f"`max_rows` must be at least 1, got {reading['max_rows']}.")
    reading, write = _rare_pairs(data, reading, named, write=write)
    check_writable(out, "--out")
    sources, held_out, kind = _sources(data, reading, named, media)
    if missing := [name for name in fail_on if name in ("leaks", "near_leaks", "shared_prompts") and held_out is None]:
        raise UserError(f"`fail_on: {missing[0]}` needs the rows for evaluation. Name them with `--eval`.")
    student = find_student(scoring)
    counts = [estimate_rows(each) for each in [*sources, *([held_out] if held_out else [])]]
    with _bar("Rows read", counts) as advance:
        audited = audit(sources, held_out, kind=kind, near=near, traces=student and student.data, advance=advance)
    out.mkdir(parents=True, exist_ok=True)
    record = audited.record if student is None else score(student, audited.record, out)
    record.write(out)
    page = build_audit_page(record, out / "audit.html")
    _show(record)
    if record.traces is not None:
        print(f"The score of each trace is in {out / TRACES_FILE}.")
    if write:
        with _bar("Rows written", counts[: len(sources)]) as advance:
            written = write_kept(audited, out, advance)
        kept, left_out = f"{written.kept:,} rows are in {out / KEPT_FILE}", f"{written.left_out:,} with reasons in"
        print(f"{kept}, {left_out} {out / LEFT_OUT_FILE}.")
        if audited.groups is not None:
            print(f"{written.counterfactual:,} rows, each with a group, are in {out / COUNTERFACTUAL_FILE}.")
    print(f"The page is {page}.")
    found = record.counts()
    failed = [f"{name} ({found[name]:,})" for name in fail_on if found.get(name)]
    if failed:
        print(f"Failed on {', '.join(failed)}.")
    return int(bool(failed))


def _rare_pairs(
    data: Sequence[str], reading: Mapping[str, Any], named: Mapping[str, Any], *, write: bool
) -> tuple[Mapping[str, Any], bool]:
    """Checks what is said of attributes; files have no splits, so that `--split counterfactual` asks to write one."""
    attributes = named["attributes"]
    if reading["split"] == COUNTERFACTUAL and data and all(Path(each).expanduser().is_file() for each in data):
        if not attributes:
            raise UserError(
                "`--split counterfactual` needs two columns or more whose values are rarely seen together. Name them "
                "with `--attributes`."
            )
        reading, write = {**reading, "split": None}, True
    if attributes and len(set(attributes)) < max(2, len(attributes)):
        raise UserError(f"`attributes` must name two different columns or more, got {', '.join(attributes)}.")
    if attributes and write and reading["adapter"] is not None:
        raise UserError(
            f"{COUNTERFACTUAL_FILE} has a `group` in each row, which the adapter {reading['adapter']} does not read. "
            "Write the rows in our columns first, or leave out `--write`."
        )
    return reading, write


def _sources(
    data: Sequence[str], reading: Mapping[str, Any], named: Mapping[str, Any], media: Mapping[str, Any]
) -> tuple[list[Source], Source | None, str]:
    """Puts together where the rows are, from the command line and a recipe."""
    settings = check_media({name: value for name, value in media.items() if value is not None})
    common: dict[str, Any] = {"adapter": reading["adapter"], "media": settings, "named": Named(**named)}
    paths, eval_path, kind = list(data), reading["eval"], reading["kind"]
    split, eval_split, max_rows = reading["split"], reading["eval_split"], reading["max_rows"]
    max_eval_rows = max_rows
    sources: list[Source] = []
    if reading["recipe"] is not None:
        dataset = _dataset(reading["recipe"])
        if not paths:
            sources = [
                Source(each.path, split or each.split, max_rows or each.max_rows, **_of_recipe(each, common))
                for each in dataset.sources
            ]
        eval_path, split = eval_path or dataset.eval_path, split or dataset.split
        eval_split, max_rows = eval_split or dataset.eval_split, max_rows or dataset.max_rows
        max_eval_rows = max_eval_rows or dataset.max_eval_rows
        common = _of_recipe(dataset, common)
    if not paths and not sources:
        raise UserError("There is nothing to audit. Name a file, a folder or a hub id, or a recipe with `--recipe`.")
    sources = sources or [Source(path, split, max_rows, **common) for path in paths]
    held_out = None if eval_path is None else Source(eval_path, eval_split, max_eval_rows, **common)
    return sources, held_out, kind


def _dataset(name: str) -> DatasetConfig:
    from align.assets import find_recipe
    from align.recipe.recipe import load_recipe

    return load_recipe(find_recipe(name)).dataset


def _of_recipe(dataset: DatasetConfig, common: Mapping[str, Any]) -> dict[str, Any]:
    """Takes what a recipe says of its rows, where the command line says nothing."""
    names = {name: getattr(dataset, name, None) or None for name in ("text", "outcome", "prompt", "confounders")}
    said = common["named"]._asdict()
    merged: dict[str, Any] = {name: said[name] or names.get(name) for name in said}
    merged |= {name: tuple(merged[name] or ()) for name in ("confounders", "attributes")}
    media = MediaSettings(**dataset.model_dump(include=set(MediaSettings.model_fields)))
    return {
        "adapter": common["adapter"] or getattr(dataset, "adapter", None),
        "columns": getattr(dataset, "columns", {}),
        "media": media if isinstance(dataset, MediaSettings) else common["media"],
        "named": Named(**merged),
    }


@contextmanager
def _bar(words: str, counts: Sequence[int | None]) -> Iterator[Advance]:
    """Draws a bar on stderr, with the time that is left where it is known how many rows there are."""
    known = [count for count in counts if count is not None]
    total = sum(known) if len(known) == len(counts) else None
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task(words, total=total)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if done % 1_000 == 0:  # drawing takes longer than a row
                progress.update(task, completed=done)

        yield advance
        progress.update(task, completed=done)


def _show(record: AuditRecord) -> None:
    """Prints the tables."""
    console = make_console(least=100)
    for file in record.files:
        left_out = sum(file.unusable.values())
        print(
            f"{file.file}: {file.read:,} rows of {record.kind} for {file.use}"
            + (f", {left_out:,} cannot be used:" if left_out else ".")
        )
        for problem in file.problems[:3]:
            console.print(Text(f"  {problem}"))
    table = make_table()
    for name, justify in (("found", "right"), ("of", "right"), ("", "left"), ("such as", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for each in record.rows:
        style = "yellow" if each.count else ""
        table.add_row(
            Text(f"{each.count:,}", style), f"{each.of:,}", Text(f"{each.name.replace('_', ' ')}: {each.text}"),
            Text("; ".join(each.examples[:1])),
        )  # fmt: skip
    console.print(table)
    if record.cues is not None:
        _show_cues(record, console)
    if record.mask is not None:
        console.print(Text(mask_sentence(record.mask)))
    if record.attributes is not None:
        console.print(Text(pairs_sentence(record.attributes)))
    if record.traces is not None:
        show_traces(record.traces, console)
    for sentence in record.sentences:
        console.print(Text(sentence))


def _show_cues(record: AuditRecord, console: Any) -> None:
    assert record.cues is not None
    found = record.cues.found
    if found:
        table = make_table("cue", "in", "goes with")
        for name in ("how often", "points", "at one length"):
            table.add_column(name, overflow="fold")
        for cue in found[:_SHOWN_CUES]:
            also = f" (also {', '.join(cue.also[:2])})" if cue.also else ""
            table.add_row(
                Text(cue.name + also), Text(cue.where), Text(cue.goes_with), share_of(cue), in_points(cue.effect),
                in_points(cue.within_length),
            )  # fmt: skip
        console.print(table)
        if len(found) > _SHOWN_CUES:
            print(f"{len(found) - _SHOWN_CUES} more cues are on the page and in audit.json.")
    else:
        print("No feature goes with the label beyond 10 points.")
    print(by_length(record.cues))
