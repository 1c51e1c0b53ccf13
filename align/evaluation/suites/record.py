"""What an evaluation by a suite leaves: the record."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from align.evaluation.policies.metrics import SuiteResult
from align.evaluation.policies.record import compare_suites, summarise_suites, used_glossary
from align.evaluation.record.answers import PairedAnswers, Warned
from align.evaluation.record.suites import AboutSuite, SuiteRecord
from align.evaluation.statistics.comparison import compare_accuracy
from align.evaluation.statistics.group_metrics import SPREADS
from align.evaluation.suite import Measured

SHARE = (0.0, 1.0)


def suite_record(
    about: AboutSuite, measured: Mapping[str, Measured], ids: Sequence[str], compared: str | None
) -> SuiteRecord:
    """Arranges what was measured as it is kept.

    Args:
        about: What was run.
        measured: Of each model; the first is the one asked about.
        ids: Of the items, in the order of the values of metrics.
        compared: The metric by which items are won and lost.
    """
    suite, first = about.suites[0], next(iter(measured.values()))
    results = {name: {suite: SuiteResult(dict(each.means), dict(each.others))} for name, each in measured.items()}
    return SuiteRecord(
        about=about,
        suites=summarise_suites(results),
        comparisons=compare_suites(results),
        paired=[] if compared is None else list(_pairs(measured, ids, compared)),
        glossary=used_glossary(results),
        shares=[
            *(name for name, mean in first.means.items() if mean.bounds == SHARE and min(mean.weights) > 0),
            *(name for name in first.others if name.partition("/")[0] in SPREADS),
        ],
        warnings=list(_warnings(measured)),
    )


def _warnings(measured: Mapping[str, Measured]) -> Iterator[Warned]:
    """Yields each warning once, with the models that it is about."""
    names: dict[str, list[str]] = {}
    for name, each in measured.items():
        for text in each.warnings:
            names.setdefault(text, []).append(name)
    yield from (Warned(model=", ".join(models), text=text) for text, models in names.items())


def _pairs(measured: Mapping[str, Measured], ids: Sequence[str], compared: str) -> Iterator[PairedAnswers]:
    model, *baselines = measured
    for baseline in baselines:
        if not all(compared in measured[name].means for name in (model, baseline)):
            continue
        ours, theirs = (measured[name].means[compared].groups[0] for name in (model, baseline))
        known = ~(np.isnan(ours) | np.isnan(theirs))
        kept = [each for each, is_known in zip(ids, known, strict=True) if is_known]
        found = compare_accuracy(kept, ours[known], theirs[known])
        yield PairedAnswers(model=model, baseline=baseline, metric=compared, **found._asdict())
