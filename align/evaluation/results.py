"""What was measured of models, arranged as it is kept and written: `evaluation.json` and `items.parquet`."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from align.evaluation.divided import end_of_part
from align.evaluation.engine import JUDGE, REFERENCE, Evaluation, Finished
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE, Record, write_record
from align.evaluation.record.file import writing
from align.evaluation.record.record import AskingProfile, MetricComparison, PairedAnswers, Warned
from align.evaluation.statistics.glossary import Meaning, entry_of
from align.evaluation.statistics.group_metrics import SPREADS
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values, mcnemar
from align.evaluation.suite import LoadedRows, Measured
from align.evaluation.suites import glossary
from align.whole_files import whole_file

MeasuredSuites = Mapping[str, Mapping[str, Measured]]  # by model, the one asked about first, then suite
_SHOWN = 4  # metrics in a sentence
VALUES = "reward/"  # how columns with the values of a reward begin


def arrange(measured: MeasuredSuites, meanings: Mapping[str, tuple[str, str, str | None]] = {}) -> dict[str, Any]:
    """Returns what every record has of the numbers, by the suites of the first model; another may lack some.

    The glossary explains what was measured; `meanings` are those of a suite of one's own.
    """
    model, *baselines = measured
    known = dict(glossary()) | {name: Meaning(*words) for name, words in meanings.items()}
    metrics = {
        name for suites in measured.values() for each in suites.values() for name in (*each.means, *each.others)
    }
    used = {entry_of(name, known) for name in metrics}
    return {
        "suites": {
            suite: {name: suites[suite].summary() if suite in suites else {} for name, suites in measured.items()}
            for suite in measured[model]
        },
        "comparisons": [
            MetricComparison(
                model=model, baseline=baseline, suite=suite, metric=metric, difference=difference
            ).model_copy(update=_lacking(own.means[metric], other.means[metric]))
            for baseline in baselines
            for suite, own in measured[model].items()
            if (other := measured[baseline].get(suite)) is not None
            for metric, difference in own.differences(other).items()
        ],
        "glossary": {name: meaning for name, meaning in known.items() if name in used},
    }


def _lacking(ours: ItemMean, theirs: ItemMean) -> dict[str, Any]:
    counts = ours.lacking(theirs)
    return {"lacking": counts} if counts else {}


def warn_of_lacking(comparisons: Sequence[MetricComparison]) -> Iterator[Warned]:
    """Says of how many items a model or its baseline has no value, where one alone has none."""
    metrics: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for each in comparisons:
        if each.lacking and any(each.lacking[:2]):
            metrics.setdefault((each.model, each.baseline, tuple(each.lacking)), []).append(each.metric)
    for (model, baseline, (ours, theirs, both)), names in metrics.items():
        more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        text = (
            f"{ours:,} items have no value of it alone, {theirs:,} of `{baseline}` alone and {both:,} of both, in "
            f"{', '.join(names[:_SHOWN])}{more}. Differences hold whatever one alone lacks; what both lack is in none."
        )
        yield Warned(model=model, text=text)


def pair_answers(
    values: Mapping[str, Mapping[str, Values]], ids: Sequence[str], *, are_apart: bool = True
) -> Iterator[PairedAnswers]:
    """Lists the items on which the first model, and each baseline, has more; those without a value are left out.

    Values of items are by model, then metric. McNemar's exact test is there where each item is right or wrong, and
    not a share of several samples, where items are apart, one of a prompt, and where no model alone lacks a value.
    """
    model, *baselines = values
    for baseline in baselines:
        for metric, ours in values[model].items():
            if (theirs := values[baseline].get(metric)) is None:
                continue
            known = ~(np.isnan(ours) | np.isnan(theirs))
            rows = [row[:3] for row in zip(ids, ours, theirs, known, strict=True) if row[3]]
            wins, losses = [name for name, a, b in rows if a > b], [name for name, a, b in rows if a < b]
            num_both = sum(bool(a == b and a > 0) for _, a, b in rows)
            is_whole = all(value in (0, 1) for _, *both in rows for value in both)
            lacks = bool((np.isnan(ours) != np.isnan(theirs)).any())
            yield PairedAnswers(
                model=model,
                baseline=baseline,
                metric=metric,
                wins=wins,
                losses=losses,
                num_both=num_both,
                num_neither=len(rows) - len(wins) - len(losses) - num_both,
                mcnemar_p=mcnemar(len(wins), len(losses)) if is_whole and are_apart and not lacks else None,
                is_whole=is_whole,
            )


def finish(run: Evaluation, loaded: LoadedRows, measured: Mapping[str, Measured]) -> Finished:
    """Arranges what a suite with rows of its own measured, by model."""
    suite, tags = run.suite, run.prompting.response_format
    first = next(iter(measured.values()))
    compared = {  # by which items are won and lost
        name: {metric: mean.groups[0] for metric, mean in each.means.items() if metric == suite.compared}
        for name, each in measured.items()
    }
    own = json.loads(json.dumps({name: getattr(run.options, name) for name in suite.own}, default=str))
    profile = AskingProfile(
        **asdict(run.decoding),
        conversational=run.prompting.conversational,
        system_prompt=run.prompting.system_prompt,
        think_tag=tags.think_tag,
        answer_tag=tags.answer_tag,
    )
    about = run.about(
        loaded,
        [suite.name],
        rows=suite.rows,
        headline=list(suite.headline),
        profile=profile,
        reference=run.source(REFERENCE),
        settings=own | dict(loaded.settings) | dict(first.settings),
        **({"judge": run.source(JUDGE)} if JUDGE in run.helpers else {}),
    )
    record = Record(
        kind="suite",
        about=about,
        **arrange({name: {suite.name: each} for name, each in measured.items()}, suite.meanings),
        paired=list(pair_answers(compared, [row.id for row in loaded.rows])),
        shares=[
            *(name for name, mean in first.means.items() if mean.bounds == (0.0, 1.0) and min(mean.weights) > 0),
            *(name for name in first.others if name.partition("/")[0] in SPREADS),
        ],
        warnings=list(_warnings(measured)),
    )
    return Finished(record, [{"model": name, **row} for name, each in measured.items() for row in each.rows])


def _warnings(measured: Mapping[str, Measured]) -> Iterator[Warned]:
    """Yields each warning once, with the models that it is about."""
    names: dict[str, list[str]] = {}
    for name, each in measured.items():
        for text in each.warnings:
            names.setdefault(text, []).append(name)
    yield from (Warned(model=", ".join(models), text=text) for text, models in names.items())


def save_evaluation(folder: Path, found: Finished) -> None:
    """Writes all files, each whole or not at all; of several processes one does, and `EndOfPart` ends the others."""
    end_of_part()
    import pyarrow as pa
    import pyarrow.parquet as pq

    with writing(folder):
        if found.rows is not None:
            names = list(dict.fromkeys(name for row in found.rows for name in row))
            table = pa.table({name: _column(name, [row.get(name) for row in found.rows]) for name in names})
            with whole_file(folder / ITEMS_FILE) as draft:
                pq.write_table(table, draft)
        write_record(folder / EVALUATION_FILE, found.record)
    if found.save is not None:
        found.save(folder)


def number(value: float) -> float | None:
    """Returns a number as rows have it, None for nan."""
    return None if value != value else float(value)


def image_paths(images: Sequence[Any]) -> list[str | None]:
    """Returns where images are, as rows have it; None for one that is no file."""
    return [os.path.abspath(image) if isinstance(image, str) else None for image in images]


def _column(name: str, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if float in kinds:
        return pa.array(values, type=pa.float64())
    if kinds in ({bool}, {int}):
        return pa.array(values, type=pa.bool_() if kinds == {bool} else pa.int64())
    return pa.array(values, type=_type(name))


def _type(name: str) -> Any:
    """Returns the column's type, which rows of nulls would not tell."""
    import pyarrow as pa

    if name in ("options", "images", "asked_with"):
        return pa.list_(pa.string())
    if name in ("permutations", "rotations"):
        return pa.list_(pa.list_(pa.int64()))
    if name in ("second_choices", "rotation_choices"):
        return pa.list_(pa.int64())
    if name in ("sample", "gold") or name.endswith("_choice"):
        return pa.int64()
    if name in ("consistent", "proxy") or name.startswith(VALUES):
        return pa.float64()
    if name in ("correct", "letter_in_trace", "answer_in_trace"):
        return pa.bool_()
    return pa.string()
