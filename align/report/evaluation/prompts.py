"""The page of policies whose answers to prompts were measured by rewards."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from align.evaluation.record import ITEMS_FILE
from align.evaluation.record.prompts import PromptsRecord
from align.report.evaluation.about import policy_details, policy_models, prompts_facts
from align.report.evaluation.findings import few_items, written_warning
from align.report.evaluation.items import list_changes, note_items
from align.report.evaluation.measured import Cells, Words, arrange, count_compared
from align.report.evaluation.policy import collect, headline_charts, suite_sections, title
from align.report.evaluation.samples import differ_words, pick_samples
from align.report.evaluation.shares import compared, in_percent
from align.report.evaluation.view import EvaluationView
from rewards.running.protocol import HIGHER


def prompts_view(folder: Path, record: PromptsRecord) -> EvaluationView:
    """Arranges the record of policies that answered prompts."""
    about, words = record.about, Words(record.glossary, record.sides)
    names = [model.name for model in about.models]
    values, differences = collect(record)
    metrics = [name for suite in about.suites for name in _whole(record, suite)]
    first = next(iter(record.sides.values()), HIGHER)
    picked = pick_samples(folder / ITEMS_FILE, names, about.rewards, record.paired, first)
    return EvaluationView(
        title=title(names),
        verdict=list(_verdict(record, names, values, differences)),
        findings=[
            *map(written_warning, record.warnings),
            *few_items(about.data.questions, "prompts"),
        ],
        headline=arrange(metrics, values, differences, words) if metrics else None,
        compared=count_compared(differences),
        charts=headline_charts(metrics, values, differences, words, record.shares),
        facts=prompts_facts(about),
        models=policy_models(about.models),
        details=policy_details(about),
        sections=list(suite_sections(record, words, record.shares)) if about.data.groups else [],
        listings=list_changes(record.paired),
        items=picked,
        items_note=note_items(
            len(picked),
            "prompt",
            record.paired,
            "those with the lowest and the highest first reward",
            " The text is that of the first sample.",
            differ=" and ".join(differ_words(first)),
        ),
    )


def _whole(record: PromptsRecord, suite: str) -> list[str]:
    """Lists the metrics of a reward over all prompts."""
    measured = dict.fromkeys(metric for cells in record.suites.get(suite, {}).values() for metric in cells)
    return [metric for metric in measured if metric.endswith(f"/{suite}")]


def _verdict(record: PromptsRecord, names: Sequence[str], values: Cells, differences: Cells) -> Iterator[str]:
    """Says of each reward whether the first model has more of it than each baseline."""
    for suite in record.about.suites:
        metric = f"reward/{suite}"
        ours, is_share = values[names[0]].get(metric), metric in record.shares
        if ours is None:
            yield f"{suite}: no value was given."
        elif not names[1:]:
            shown = in_percent(ours) if is_share else str(ours)
            yield f"{suite}: {shown} for {names[0]}; there is no baseline to compare with."
        for baseline in names[1:]:
            theirs = values[baseline].get(metric)
            difference = differences.get(f"{names[0]} - {baseline}", {}).get(metric)
            if ours is not None and theirs is not None and difference is not None:
                told = compared(names[0], ours, baseline, theirs, difference, is_share=is_share)
                yield f"{suite}: {told}{_counts(record, metric, names[0], baseline)}"


def _counts(record: PromptsRecord, metric: str, model: str, baseline: str) -> str:
    row = next(
        (row for row in record.paired if (row.model, row.baseline, row.metric) == (model, baseline, metric)), None
    )
    if row is None:
        return "."
    first, second = differ_words(record.sides[metric.partition("/")[2]])
    return f"; prompts {first}: {len(row.wins):,}, {second}: {len(row.losses):,}."
