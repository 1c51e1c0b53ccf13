"""Audits a data set: what it would teach that nobody meant."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from align.auditing.entry import KINDS
from align.auditing.kept import Written, write_kept
from align.auditing.reading import Source, estimate_rows
from align.auditing.record import AuditRecord
from align.auditing.row_checks import Named
from align.auditing.row_findings import ROW_CHECKS
from align.auditing.run import Advance
from align.auditing.run import audit as audit_rows
from align.data.row_templates import template_of
from align.errors import UserError
from align.evaluation.statistics.conditions import Condition, read_condition
from align.evaluation.statistics.metrics import wilson
from align.options import Media, options_of, parts, several
from align.progress import Bars
from align.recipe.dataset import DatasetConfig, MadePrompts, MediaSettings, check_media
from align.recipe.recipe import read_columns
from align.report.audit import build_audit_page, headline
from align.runs.disk_space import check_writable
from align.services.options import AuditReading, NamedColumns
from rewards.extras import is_installed, loaded

if TYPE_CHECKING:
    import pandas as pd

_OTHERS = ("unusable", "cues")  # beside rows, and with no share of them
_COLUMNS = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


@dataclass(frozen=True, repr=False)
class AuditResult:
    """What an audit found.

    Attributes:
        record: All of it, as `audit.json` has it.
        page: The page.
        written: Counts of the rows that were written; None where none were asked for.
    """

    record: AuditRecord
    page: Path
    written: Written | None = None

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a frame with a row for each thing looked for: name, count, of how many, and what it is."""
        pd = loaded("pandas", "`to_pandas()`")
        rows = [(each.name, each.count, each.of, each.text) for each in self.record.rows]
        return pd.DataFrame(rows, columns=["name", "count", "of", "text"])

    def __str__(self) -> str:
        found = [f"{each.count:,} of {each.of:,} {each.text}" for each in self.record.rows if each.count]
        return "\n".join([*found, *self.record.sentences, f"The page is {self.page}."])

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        if not is_installed("pandas"):
            return None  # the text is shown
        html: str = self.to_pandas().to_html(index=False)
        return "".join(f"<p>{escape(sentence)}</p>" for sentence in headline(self.record)) + html


@dataclass(frozen=True, kw_only=True)
class Auditing(AuditReading, NamedColumns, Media):
    """What is audited: files, folders or hub ids of one kind; the rows of a recipe if there are none."""

    data: str | Path | Sequence[str | Path] = field(default=(), kw_only=False)
    out: str | Path  # folder for `audit.json`, the page and, with `write`, the rows
    near: bool = True  # whether to look for rows that are nearly the same
    write: bool = False  # whether to write `kept.jsonl` and `left_out.jsonl`


@options_of(Auditing)
def audit(asked: Auditing) -> AuditResult:
    """Audits rows, as `align audit` does.

    Raises:
        UserError: If the rows cannot be audited.
        TypeError: If there is no such option.
    """
    paths = [asked.data] if isinstance(asked.data, str | Path) else asked.data
    groups = parts(asked, AuditReading, NamedColumns, Media)
    return audit_data([*map(str, paths)], Path(asked.out), *groups, near=asked.near, write=asked.write)


def audit_data(
    data: Sequence[str],
    out: Path,
    reading: AuditReading,
    named: NamedColumns,
    media: Media,
    *,
    near: bool = True,
    write: bool = False,
    fail_on: Sequence[str] = (),
) -> AuditResult:
    """Audits rows whose options are in their groups."""
    if reading.kind not in ("", *KINDS):
        raise UserError(f"`kind` must be one of {', '.join(KINDS)}, got {reading.kind!r}.")
    asked = [_bound(text).name for text in fail_on]
    if reading.max_rows is not None and reading.max_rows < 1:
        raise UserError(f"`max_rows` must be at least 1, got {reading.max_rows}.")
    check_writable(out, "--out")
    columns = Named(**vars(named) | {"confounders": tuple(several(named.confounders))})
    sources, held_out, kind = _sources(data, reading, columns, media)
    needy = [name for name in asked if name in ROW_CHECKS and ROW_CHECKS[name].needs_eval]
    if needy and held_out is None:
        raise UserError(f"`fail_on: {needy[0]}` needs the rows for evaluation. Name them with `--eval`.")
    counts = [estimate_rows(each) for each in [*sources, *([held_out] if held_out else [])]]
    with _bar("Rows read", counts) as advance:
        even = reading.even_letters
        audited = audit_rows(sources, held_out, kind=kind, near=near, even_letters=even, advance=advance)
    out.mkdir(parents=True, exist_ok=True)
    record = audited.record
    record.write(out)
    page = build_audit_page(record, out / "audit.html")
    if not (write or even):
        return AuditResult(record, page)
    with _bar("Rows written", counts[: len(sources)]) as advance:
        return AuditResult(record, page, write_kept(audited, out, advance))


def failed(record: AuditRecord, fail_on: Sequence[str]) -> list[str]:
    """Lists what is there of what is named, and the shares of rows that are told to meet a bound."""
    counts, shares = record.counts(), {each.name: wilson(each.count, each.of) for each in record.rows}
    named = [f"{name} ({counts[name]:,})" for name in fail_on if counts.get(name)]
    bounds = [bound for text in fail_on if not _is_name(text) and (bound := _bound(text)).name in shares]
    return named + [f"{each.name}, a share of {shares[each.name]}" for each in bounds if each.holds(shares[each.name])]


def _bound(text: str) -> Condition:
    names = ", ".join((*ROW_CHECKS, *_OTHERS))
    rule = f"`fail_on` must name some of {names}, or bound a share of rows, as `leaks > 0.01`"
    bound = Condition(text, "value", ">", 0.0) if _is_name(text) else read_condition(text, rule)
    if not _is_name(bound.name):
        raise UserError(f"{rule}, got {bound.name!r}.")
    if not _is_name(text) and (bound.name in _OTHERS or not ROW_CHECKS[bound.name].has_share):
        raise UserError(f"`fail_on` {text!r} bounds a share of rows, and {bound.name} has none. Name it alone.")
    return bound


def _is_name(text: str) -> bool:
    return text in ROW_CHECKS or text in _OTHERS


def _sources(
    data: Sequence[str], reading: AuditReading, named: Named, media: Media
) -> tuple[list[Source], Source | None, str]:
    """Puts together where the rows are, from the command line and a recipe."""
    settings = check_media({name: value for name, value in asdict(media).items() if value is not None})
    columns = read_columns(reading.columns)
    common: dict[str, Any] = {"adapter": reading.adapter, "media": settings, "named": named, "columns": columns}
    paths, eval_path, kind = list(data), reading.eval, reading.kind
    split, eval_split, max_rows = reading.split, reading.eval_split, reading.max_rows
    max_eval_rows = max_rows
    sources: list[Source] = []
    if reading.recipe is not None:
        from align.assets import find_recipe
        from align.recipe.recipe import load_for_evaluation

        dataset = load_for_evaluation(find_recipe(reading.recipe)).dataset
        if not paths:
            sources = [
                Source(each.path, split or each.split, max_rows or each.max_rows, **_of_recipe(each, common))
                for each in dataset.sources
            ]
            kind = kind or dataset.kind
        eval_path, split = eval_path or dataset.eval_path, split or dataset.split
        eval_split, max_rows = eval_split or dataset.eval_split, max_rows or dataset.max_rows
        max_eval_rows = max_eval_rows or dataset.max_eval_rows
        common = _of_recipe(dataset, common)
    if not paths and not sources:
        raise UserError("There is nothing to audit. Name a file, a folder or a hub id, or a recipe with `--recipe`.")
    sources = sources or [Source(path, split, max_rows, **common) for path in paths]
    held_out = None if eval_path is None else Source(eval_path, eval_split, max_eval_rows, **common)
    return sources, held_out, kind


def _of_recipe(dataset: DatasetConfig, common: Mapping[str, Any]) -> dict[str, Any]:
    """Takes what a recipe says of its rows, where the command line says nothing."""
    names = {name: getattr(dataset, name, None) or None for name in ("text", "outcome", "prompt", "confounders")}
    said = common["named"]._asdict()
    merged: dict[str, Any] = {name: said[name] or names.get(name) for name in said}
    merged["confounders"] = tuple(merged["confounders"] or ())
    media = MediaSettings(**dataset.model_dump(include=set(MediaSettings.model_fields)))
    return {
        "adapter": common["adapter"] or getattr(dataset, "adapter", None),
        "columns": common["columns"] or getattr(dataset, "columns", {}),
        "media": media if isinstance(dataset, MediaSettings) else common["media"],
        "named": Named(**merged),
        "template": template_of(dataset) if isinstance(dataset, MadePrompts) else None,
    }


@contextmanager
def _bar(words: str, counts: Sequence[int | None]) -> Iterator[Advance]:
    """Draws a bar on stderr, with the time that is left where it is known how many rows there are."""
    known = [count for count in counts if count is not None]
    total = sum(known) if len(known) == len(counts) else None
    with Bars(*_COLUMNS, transient=True) as progress:
        task = progress.add_task(words, total=total)
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if done % 1_000 == 0:  # drawing takes longer than a row
                progress.update(task, completed=done)

        yield advance
        progress.update(task, completed=done)
