"""The recipe's observations: read, corrected, and put into the rows of a reward model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from align.checks.counts import check_counts, check_rows, name_first
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.lengths import check_dropped, check_window, pick_longest, tokenize_rows
from align.checks.memory import Footprint, activations
from align.data.mixing import Share, join_reports, mix_rows
from align.data.tables.observation_adapters import find_observation_adapter, roles_of_adapter
from align.data.tables.observations import (
    ObservationReader,
    ObservationReport,
    Observations,
    Roles,
    join,
    read_observations,
)
from align.data.tables.outcome_rows import ObservedText, Scale, confounder_prefix, observed_texts, outcome_rows
from align.data.tables.reading import TableFile
from align.data.training_data import Rows, TrainingData, fingerprints
from align.errors import DataError, asked_by
from align.methods.deconfound.correction.fitting import (
    CorrectionSettings,
    apply,
    chosen,
    confounders_of,
    fit,
)
from align.methods.deconfound.correction.verdict import explain, refuse_nothing_left, refuse_unremoved
from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.models.prompt_tokenizer import PromptTokenizer
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from rewards.correction import Correction
from rewards.correction.categories import Category


class Corrected(NamedTuple):
    """What was fitted to the rows for training."""

    correction: Correction
    scale: Scale
    unknown_groups: int  # evaluation rows whose group was not fitted


def load(recipe: Recipe) -> TrainingData[Any]:
    """Reads the observations of a recipe and fits the correction to those for training."""
    data = cast(ObservationDatasetConfig, recipe.dataset)
    parts: list[tuple[Observations, ObservationReport]] = []
    for source in data.sources:  # the levels of all sets are those of the first one
        parts.append(_read(source, parts[0][0].categories if parts else None))
    train, report = _join(data, parts)
    correction = _correction(data, train, report)
    corrected = apply(correction, train)
    outcome = roles_of(data.sources[0]).outcome
    refuse_nothing_left(corrected, train, outcome)
    prefixes, prefix = _prefixes(train) if data.estimator == "input" else (None, "")
    scale = Scale(outcome, float(corrected.mean()), float(corrected.std()), prefix)
    options = {"conversational": data.conversational}
    name = Path(data.path).stem if data.mix is None else "row"
    texts = observed_texts(train, name)
    rows: Rows = outcome_rows(texts, corrected, scale, prefixes=prefixes, **options)
    shares: Sequence[Share] = ()
    if data.mix is not None:  # the correction was fitted to each row once
        rows, shares = mix_rows(rows, [text.id for text in texts], [part.num_rows for part, _ in parts], data)
    eval_rows: list[dict[str, Any]] = []
    held_out_texts: list[ObservedText] = []
    unknown, eval_report = 0, None
    if data.held_out is not None:
        held_out, eval_report = _read(data.held_out, correction.categories)
        fixed = [prefix] * held_out.num_rows if prefix else None
        unknown = correction.unknown_groups(held_out.groups)
        out_of_sample = apply(correction, held_out)
        held_out_texts = observed_texts(held_out, Path(data.held_out.path).stem)
        eval_rows = outcome_rows(held_out_texts, out_of_sample, scale, prefixes=fixed, **options)
    extra = Corrected(correction, scale, unknown)
    return TrainingData(texts, report, rows, eval_rows, fingerprints(data), extra, eval_report, held_out_texts, shares)


def roles_of(data: ObservationDatasetConfig) -> Roles:
    """Returns which column is what; an adapter fills in what the recipe leaves open."""
    known = roles_of_adapter(data.adapter)
    found = {
        name: getattr(data, name) or getattr(known, name, None) for name in ("text", "outcome", "groups", "prompt")
    }
    lists = {name: tuple(getattr(data, name)) or getattr(known, name, ()) for name in ("confounders", "instruments")}
    return Roles(**found | lists)  # type: ignore[arg-type]


def check(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts rows, words the correction and its warnings, and measures lengths."""
    findings = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    corrected: Corrected = data.extra
    correction = corrected.correction
    for report in (cast(ObservationReport, data.report), cast(ObservationReport | None, data.eval_report)):
        if report is not None and report.missing:
            counts = ", ".join(f"{name} ({count})" for name, count in report.missing.items())
            text = f"{report.file}: rows with missing values are left out: {counts}. Fill them in, or do without."
            findings.append(Finding("warning", "data", text, dict(report.missing)))
        for name, number in (report.unknown_levels if report is not None else {}).items():
            text = f"{number:,} rows have a level of {name!r} that was not fitted, and count as average ones."
            findings.append(Finding("warning", "data", text, {"rows": number}))
    numbers = {
        "coefficients": dict(zip(correction.confounders, correction.coefficients, strict=True)),
        "intervals": dict(zip(correction.confounders, correction.intervals, strict=True)),
    }
    if corrected.scale.prefix:
        text = (
            f"The model reads the confounders before the text. Where it is used, {corrected.scale.prefix!r} has to go "
            "before every prompt; `reward_scale.json` keeps it."
        )
        findings.append(Finding("warning", "correction", text))
    else:
        text = f"{correction.estimator}: {correction.formula}, fitted to {correction.num_rows:,} rows."
        findings.append(Finding("ok", "correction", text, numbers))
    findings += [Finding("warning", "correction", warning) for warning in correction.warnings]
    if corrected.unknown_groups:
        text = (
            f"{corrected.unknown_groups} of {len(data.eval_rows)} evaluation rows are of groups that were not in "
            "training, so they are not corrected for them."
        )
        findings.append(Finding("warning", "correction", text))
    return findings + _check_lengths(recipe, data.rows)


@asked_by("recipe")
def _read(
    data: ObservationDatasetConfig, categories: tuple[Category, ...] | None = None
) -> tuple[Observations, ObservationReport]:
    adapter = find_observation_adapter(data.adapter)
    table = TableFile(
        data.path, adapter=adapter, split=data.split, max_rows=data.max_rows, on_bad_rows=data.on_bad_rows
    )
    roles = roles_of(data)
    numbers = _settings(data).numbers(roles.confounders)
    return read_observations(ObservationReader(table, roles, numbers=numbers, categories=categories))


def _join(
    data: ObservationDatasetConfig, parts: Sequence[tuple[Observations, ObservationReport]]
) -> tuple[Observations, ObservationReport]:
    """Puts the rows of several sets together, for one correction of them all."""
    roles = [roles_of(source) for source in data.sources]
    for source, each in zip(data.sources, roles, strict=True):
        if each != roles[0]:
            raise DataError(
                f"{source.path} has other roles of columns than {data.sources[0].path}, and one correction is fitted "
                f"to all sets of a mixture: {each} and {roles[0]}. Name the columns alike."
            )
    return join([part for part, _ in parts]), join_reports([report for _, report in parts])


def _correction(data: ObservationDatasetConfig, rows: Observations, report: ObservationReport) -> Correction:
    fitted = fit(rows, _settings(data))
    refuse_unremoved(
        fitted.correction_, rows, explain(fitted.correction_, rows, fitted.left_, roles_of(data.sources[0]).outcome)
    )
    return replace(fitted.correction_, num_dropped=report.num_read - report.num_kept)


def _settings(data: ObservationDatasetConfig) -> CorrectionSettings:
    estimator = "none" if data.estimator == "input" else chosen(data.estimator, roles_of(data.sources[0]))
    return CorrectionSettings(estimator=estimator, instrumented=data.instrumented, seed=data.seed)


def _prefixes(rows: Observations) -> tuple[list[str], str]:
    names, values = list(rows.confounders), confounders_of(rows).values
    standardised = (values - values.mean(axis=0)) / np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
    return [confounder_prefix(names, row) for row in standardised.tolist()], confounder_prefix(
        names, [0.0] * len(names)
    )


def _check_lengths(recipe: Recipe, rows: Rows) -> list[Finding]:
    """Tokenises texts as the trainer does and counts those that it leaves out."""
    looked_at, _ = pick_longest(recipe, rows, None, ("prompt", "text"))
    encoded, problems = tokenize_rows(recipe, looked_at, _render, is_text=isinstance(rows[0]["prompt"], str))
    if problems:
        return problems
    lengths = [len(text.ids) for (text,) in encoded]

    def count(dropped: Rows) -> tuple[str, dict[str, Any]]:
        names = [row["id"] for row in dropped]
        at_least = "At least " if len(looked_at) < len(rows) else ""
        text = f"{at_least}{len(names)} of {len(rows)} texts are longer than `max_length`, and left out: "
        return f"{text}{name_first(names)}.", {"rows": names}

    return check_window(recipe, lengths, "Texts", "A text") + check_dropped(recipe, looked_at, lengths, count)


def _render(tokenizer: PromptTokenizer, row: dict[str, Any]) -> list[str]:
    if isinstance(row["prompt"], str):
        return [tokenizer.end(row["prompt"] + row["text"])]
    messages = [*row["prompt"], {"role": "assistant", "content": row["text"]}]
    return [tokenizer.render(messages, add_generation_prompt=False)]


def footprint(recipe: Recipe) -> Footprint:
    """Says what a reward model on outcomes keeps in memory."""
    return Footprint(activations(recipe, 1, "texts"), has_lm_head=False)


def check_batch(recipe: Recipe, launch: Launch, num_texts: int) -> list[Finding]:
    """Says what one step over texts is."""
    return check_rows(recipe, launch, num_texts, "texts", "", 1)
