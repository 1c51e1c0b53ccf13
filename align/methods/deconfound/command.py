"""Corrected rewards from a table of observed outcomes: `align.deconfound`, and `align deconfound`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align import plugins
from align.data.tables.observation_adapters import OBSERVATION_ADAPTERS, find_observation_adapter, roles_of_adapter
from align.data.tables.observations import ObservationReader, Roles, read_observations
from align.data.tables.reading import TableFile
from align.errors import RunFolderError, UserError
from align.methods.deconfound.correction.diagnosing import MOST_ROWS, MOST_TEXTS, diagnose, sample_groups
from align.methods.deconfound.correction.fitting import (
    ESTIMATORS,
    CorrectionSettings,
    fit,
    load_correction,
)
from align.methods.deconfound.correction.fitting import apply as apply_correction
from align.methods.deconfound.correction.fitting import chosen as estimator_for
from align.methods.deconfound.correction.output import (
    CORRECTION_FILE,
    DIAGNOSTICS_FILE,
    PAGE_FILE,
    PAIRS_NEED,
    TABLE_FILE,
    begin,
    finish,
    goes_on,
    sample_pairs,
    write_card,
    write_corrected,
    write_json,
)
from align.methods.deconfound.correction.verdict import explain, refuse_unremoved
from align.methods.deconfound.correction_page import build_correction_page, facts_of, left_out, notes_of, sentences_of
from align.methods.deconfound.options import Columns, Estimation, PairsOf, TableReading
from align.methods.pairs.augmentation.folder import check_at_least_one, check_choice
from align.options import options_of, parts, several
from align.runs.disk_space import check_writable
from align.whole_files import as_lines, write_whole
from rewards.correction import Correction
from rewards.extras import is_installed, loaded, missing

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class DeconfoundResult:
    """A correction that was fitted, or applied.

    Attributes:
        folder: Of the corrected rows, and of the correction with its evidence.
        correction: What was removed from the outcome.
        numbers: The evidence, as `diagnostics.json` has it; empty where a saved correction was applied.
        sentences: What was read and left out, what to be careful about, and what was written.
    """

    folder: Path
    correction: Correction
    numbers: Mapping[str, Any]
    sentences: Sequence[str]

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a row for each confounder: its effect and the interval of it."""
        pd = loaded("pandas", "`to_pandas()`")
        found = self.correction
        columns: dict[str, Any] = {"confounder": found.confounders, "effect": found.coefficients}
        columns |= dict(zip(("low", "high"), zip(*found.intervals, strict=True), strict=True))
        return pd.DataFrame(columns)

    def __str__(self) -> str:
        """Returns the formula, and the sentences."""
        return "\n".join([self.correction.formula, *(sentence.strip() for sentence in self.sentences)])

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        """Returns the first figure of the page, or the effects as a table."""
        from align.report.notebook import first_figure

        figure = first_figure(self.folder / PAGE_FILE)
        if figure or not is_installed("pandas"):
            return figure or None
        return self.to_pandas().to_html(index=False)


@dataclass(frozen=True, kw_only=True)
class Deconfounding(Columns, Estimation, TableReading, PairsOf):
    """What is deconfounded: observed outcomes, a .csv, .parquet or .jsonl file, a folder or a hub id."""

    data: str | Path = field(kw_only=False)
    out: str | Path  # new folder for the corrected table, the correction and the report
    apply: str | Path | None = None  # a saved `correction.json` to map these rows with, in place of fitting one


@options_of(Deconfounding)
def deconfound(asked: Deconfounding) -> DeconfoundResult:
    """Turns observed outcomes into rewards without the effect of known confounders, as `align deconfound` does.

    Raises:
        UserError: If it cannot be done.
        TypeError: If there is no such option.
    """
    out, saved = Path(asked.out), Path(asked.apply) if asked.apply else None
    command = {name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items()}
    _check(asked, goes_on(out, command))
    if saved is None and (sentence := missing("deconfound", "Fitting a correction")):
        raise UserError(sentence)
    correction = None if saved is None else load_correction(saved)
    chosen = _roles(parts(asked, Columns)[0], roles_of_adapter(asked.adapter), correction)
    if asked.pairs is not None and not (chosen.text and (chosen.prompt or chosen.groups)):
        raise UserError(PAIRS_NEED)
    bad: Any = asked.on_bad_rows
    table = TableFile(
        str(asked.data),
        adapter=find_observation_adapter(asked.adapter),
        split=asked.split,
        max_rows=asked.max_rows,
        on_bad_rows=bad,
    )
    estimation = parts(asked, Estimation)[0]
    name, moved = estimator_for(asked.estimator, chosen), several(asked.instrumented) or None
    own = CorrectionSettings(**vars(estimation) | {"estimator": name, "instrumented": moved})
    categories = None if correction is None else correction.categories
    reader = ObservationReader(table, chosen, numbers=own.numbers(chosen.confounders), categories=categories)
    if correction is None:
        result = _fit(reader, own, out, command)
    else:
        begin(out, command)
        result = DeconfoundResult(out, correction, {}, _apply(reader, correction, out))
    if asked.pairs is not None and asked.margin is not None:
        drawn = _write_pairs(reader, result.correction, own.seed, Path(asked.pairs), asked.margin)
        result = replace(result, sentences=[*result.sentences, *drawn])
    finish(out)
    return result


def _check(asked: Deconfounding, again: bool) -> None:
    check_choice("estimator", asked.estimator, ESTIMATORS)
    check_choice("on_bad_rows", asked.on_bad_rows, ("raise", "skip"))
    if (name := asked.adapter) is not None and ".py:" not in name:
        check_choice("adapter", name, [*OBSERVATION_ADAPTERS, *plugins.names(plugins.ADAPTERS)])
    if asked.max_rows is not None:
        check_at_least_one("max_rows", asked.max_rows)
    file = None if asked.pairs is None else Path(asked.pairs)
    if file is None and asked.margin is not None:
        raise UserError("`--margin` needs `--pairs FILE`. Name the file, or leave the margin out.")
    if file is not None and asked.margin is None:
        raise UserError("`--pairs` needs `--margin`: the least difference of two rewards, in units of the outcome.")
    if file is not None and (file.suffix != ".jsonl" or (file.exists() and not again)):
        raise RunFolderError(
            f"`pairs` must name a new .jsonl file, got {file}{' that exists' if file.exists() else ''}."
        )
    if file is not None:
        check_writable(file.parent, "--pairs")


def _roles(columns: Columns, of_adapter: Roles | None, correction: Correction | None) -> Roles:
    """Fills what the options leave open from the adapter, or from the columns that a correction was fitted with."""
    given: dict[str, Any] = vars(columns) | {
        name: several(getattr(columns, name)) for name in ("confounders", "instruments")
    }
    fallback: Mapping[str, Any] = vars(of_adapter) if of_adapter else {}
    if correction is not None:
        known = correction.details.get("columns", {})
        fallback = {**known, **fallback, "confounders": correction.columns, "instruments": ()}
        if given["confounders"] and set(given["confounders"]) != set(correction.columns):
            raise UserError(
                f"The correction was fitted with the confounders {', '.join(correction.columns)}, and "
                f"`--confounders` names {', '.join(given['confounders'])}. Leave the option out."
            )
    chosen: dict[str, Any] = {name: value or fallback.get(name) for name, value in given.items()}
    for name, example in (("outcome", "clicks"), ("confounders", "popularity hour")):
        if not chosen[name]:
            raise UserError(f"`--{name}` is missing. Name the column, such as `--{name} {example}`.")
    chosen |= {name: tuple(chosen[name] or ()) for name in ("confounders", "instruments")}
    return Roles(**chosen)


def _fit(
    reader: ObservationReader,
    settings: CorrectionSettings,
    out: Path,
    command: Mapping[str, Any],
) -> DeconfoundResult:
    rows, _ = read_observations(reader)
    corrector = fit(rows, settings)
    few, kept = sample_groups(rows, MOST_ROWS if rows.text is None else MOST_TEXTS, settings.seed)
    left = None if corrector.left_ is None else corrector.left_[kept]
    same = corrector if few.num_rows == rows.num_rows else None
    correction = _describe(corrector.correction_, reader)
    shares = explain(correction, few, left, reader.roles.outcome)
    refuse_unremoved(correction, few, shares)
    begin(out, command)
    _save(out, reader, correction)
    numbers = diagnose(correction, few, settings, corrector=same, shares=shares)
    facts = facts_of(reader, correction)
    notes = notes_of(reader.roles, settings, correction, numbers)
    write_json(out / DIAGNOSTICS_FILE, numbers | {"counts": reader.report.counts, "notes": notes})
    write_card(out, correction, facts, notes)
    build_correction_page(correction, numbers, facts, notes, out / PAGE_FILE)
    sentences = [
        *sentences_of(correction, reader.report, notes),
        f"{out / TABLE_FILE} holds the corrected rows, {out / PAGE_FILE} the evidence.",
    ]
    return DeconfoundResult(out, correction, numbers, sentences)


def _apply(reader: ObservationReader, correction: Correction, out: Path) -> list[str]:
    num_rows = _save(out, reader, correction)
    unknown = sum(correction.unknown_groups(rows.groups) for rows in reader.read())
    counts = dict(reader.report.counts) | {"missing": reader.report.missing, "unknown_groups": unknown}
    counts |= {"unknown_levels": reader.report.unknown_levels}
    write_json(out / "applied.json", counts)
    said = [f"{num_rows:>9,}  rows in {out / TABLE_FILE}", *left_out(reader.report)]
    if unknown:
        said.append(f"{unknown:>9,}  rows whose group was not fitted: they are not corrected for it")
    said += [
        f"{number:>9,}  rows whose level of {name!r} was not fitted: they are corrected as average ones"
        for name, number in reader.report.unknown_levels.items()
    ]
    return [*said, "No report is written, since nothing was estimated; the evidence is in the report of the fit."]


def _describe(correction: Correction, reader: ObservationReader) -> Correction:
    """Adds what only the reader knows: rows left out, and which columns were read."""
    left_out = reader.report.num_read - reader.report.num_kept
    known = {name: value for name, value in vars(reader.roles).items() if value}
    warned = f"{left_out} rows were left out because a value was missing."
    return replace(
        correction,
        num_dropped=left_out,
        details=correction.details | {"columns": known},
        warnings=(*correction.warnings, *([warned] if left_out else [])),
    )


def _save(out: Path, reader: ObservationReader, correction: Correction) -> int:
    """Writes the corrected rows and the correction, before anything is diagnosed; returns how many rows."""
    num_rows = write_corrected(out, reader, correction)
    correction.save(out / CORRECTION_FILE)
    return num_rows


def _write_pairs(reader: ObservationReader, correction: Correction, seed: int, file: Path, margin: float) -> list[str]:
    rows, _ = read_observations(reader)
    sampled = sample_pairs(rows, apply_correction(correction, rows), margin, seed=seed)
    write_whole(file, as_lines(sampled.pairs), errors="replace")
    return [
        f"{len(sampled.pairs):>9,}  pairs of {sampled.num_prompts:,} prompts in {file}",
        f"{sampled.num_alone:>9,}  prompts with one text only",
        f"{sampled.num_close:>9,}  prompts whose texts differ by less than {margin:g}",
    ]
