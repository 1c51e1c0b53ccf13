"""A verifier by difficulty, and what is answered if it must accept first, as sections of the page."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from align.evaluation.record.policies import AttemptsRule, ModelAudit, OfDifficulty, ThresholdRule
from align.report.charts.axis import format_number
from align.report.evaluation.measured import known
from align.report.evaluation.view import Grid, Section
from align.report.run.tables import Row, Table

T = TypeVar("T")


def difficulty_section(audits: Sequence[ModelAudit]) -> list[Section]:
    """Tabulates how much of what is wrong a verifier accepts, by the share of a question's samples that are right."""
    parts = _by_label(audits, lambda audit: [(name_difficulty(each), each) for each in audit.by_difficulty])
    if not parts:
        return []
    rows = [
        Row(label, meaning, [None if each is None else known(read(each)) for each in found])
        for meaning, read in (
            ("wrong attempts accepted", lambda each: each.false_positive_rate),
            ("right attempts accepted", lambda each: each.true_positive_rate),
        )
        for label, found in parts.items()
    ]
    note = (
        "Questions by how many of their samples are right; intervals are over questions. Where a verifier accepts "
        "much of what is wrong on hard questions, more attempts there bring wrong answers."
    )
    counts = [
        [label, *("" if each is None else f"{each.questions:,}" for each in found)] for label, found in parts.items()
    ]
    columns = _columns(audits)
    return [
        Section(
            "The verifier by difficulty",
            note,
            [],
            Table(columns, rows, len(columns)),
            [Grid(["Questions", *columns], counts)],
        )
    ]


def abstention_section(audits: Sequence[ModelAudit]) -> list[Section]:
    """Tabulates how often is answered, and how often rightly, if the verifier must accept first."""
    attempts = _by_label(
        audits, lambda audit: [(f"first accepted of {each.attempts:,}", each) for each in audit.if_accepted]
    )
    precise = _by_label(
        audits,
        lambda audit: [(f"best score, for precision {each.precision:g}", each) for each in audit.above_threshold],
    )
    rows = [row for label, rules in attempts.items() for row in _of_rule(label, rules)]
    rows += [row for label, rules in precise.items() for row in _of_rule(label, rules)]
    if not rows:
        return []
    columns = _columns(audits)
    thresholds = [
        [label, *("not measured" if each is None else say_threshold(each.threshold) for each in rules)]
        for label, rules in precise.items()
    ]
    note = (
        "Answer only what the verifier accepts, else abstain. A threshold is set on one random half of the questions, "
        "as the lowest with the precision asked for, and measured on the other half."
    )
    grids = [Grid(["Threshold", *columns], thresholds)] if thresholds else []
    return [Section("When to answer", note, [], Table(columns, rows, len(columns)), grids)]


def _of_rule(label: str, rules: Sequence[AttemptsRule | ThresholdRule | None]) -> tuple[Row, Row]:
    coverage = [None if each is None else known(each.coverage) for each in rules]
    accuracy = [None if each is None else known(each.accuracy) for each in rules]
    return Row(label, "questions answered", coverage), Row(label, "of these, right", accuracy, "higher")


def name_difficulty(part: OfDifficulty) -> str:
    """Names a bin of questions.

    Example:
        >>> rates = {"true_positive_rate": [0.5, 0.1, 0.9, 3], "false_positive_rate": [0.2, 0.1, 0.9, 3]}
        >>> name_difficulty(OfDifficulty(above=0.25, up_to=0.5, questions=3, **rates))
        'over 25 to 50 % right'
    """
    if part.above == part.up_to:
        return "all right" if part.up_to == 1 else "none right"
    upper = "under 100" if part.up_to == 1 else f"{100 * part.up_to:g}"
    return f"over {100 * part.above:g} to {upper} % right"


def say_threshold(threshold: float | None) -> str:
    """Writes a threshold."""
    return "no score reaches it" if threshold is None else f"from {format_number(threshold)}"


def _columns(audits: Sequence[ModelAudit]) -> list[str]:
    return [f"{row.model}: {row.verifier}" for row in audits]


def _by_label(
    audits: Sequence[ModelAudit], read: Callable[[ModelAudit], Sequence[tuple[str, T]]]
) -> dict[str, list[T | None]]:
    """Arranges parts of several audits by label, None where an audit has none of this label."""
    found = [dict(read(audit)) for audit in audits]
    labels = dict.fromkeys(label for each in found for label in each)
    return {label: [each.get(label) for each in found] for label in labels}
