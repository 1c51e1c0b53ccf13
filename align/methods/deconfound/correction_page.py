"""What `align deconfound` says about a table and its correction: in the terminal, and on one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.console import print_table
from align.data.tables.observations import ObservationReader, ObservationReport, Roles
from align.methods.deconfound.correction.fitting import CorrectionSettings
from align.report.charts.axis import format_number
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals, in_words
from align.report.page import write_page
from align.report.run.finding import Finding, percent
from rewards.correction import Correction
from rewards.correction.instrumental import WEAK_F

SHARES = {
    "before": "explains of the outcome", "line": "by a line", "after": "of the reward", "left": "beyond the text",
}  # fmt: skip


def facts_of(reader: ObservationReader, correction: Correction) -> dict[str, str]:
    """Lists what was read and fitted, by the name to show."""
    roles = reader.roles
    facts = {
        "Data": Path(reader.table.path).name,
        "Outcome": roles.outcome,
        "Confounders": ", ".join(roles.confounders),
        "Instruments": ", ".join(roles.instruments),
        "Text": roles.text,
        "Groups": roles.groups and f"{roles.groups}, {what_groups_are(correction)}",
        "Prompt": roles.prompt,
        "Estimator": correction.estimator,
        "Rows": f"{correction.num_rows:,}",
        "Left out": f"{correction.num_dropped:,}",
        "Dates": "; ".join(f"{name} in {unit}" for name, unit in reader.units.items()),
        "Clusters": None if correction.num_clusters is None else f"{correction.num_clusters:,}",
    }
    return {name: value for name, value in facts.items() if value}


def what_groups_are(correction: Correction) -> str:
    """Says what the groups are to the estimator."""
    if correction.group_effects:
        return "an effect each, which is taken off"
    return "clusters of the intervals and folds; nothing of them is taken off"


def notes_of(
    roles: Roles, settings: CorrectionSettings, correction: Correction, numbers: Mapping[str, Any]
) -> list[str]:
    """Lists what the reader should know beside the correction's own warnings."""
    notes = []
    if roles.instruments and settings.estimator != "iv":
        notes.append(f"The instruments were not used: `estimator: {settings.estimator}` takes none.")
    if numbers["num_rows"] < correction.num_rows:
        notes.append(
            f"Diagnostics are of {numbers['num_rows']:,} rows drawn from {correction.num_rows:,}; the correction "
            "is of all."
        )
    for name, reason in numbers["not_made"].items():
        notes.append(f"Not all of `{name}` could be made: {reason}.")
    for each in numbers["explained"]:
        if each["line"] is not None and (each["before"] or 0) > each["line"] + each["chance"]:
            notes.append(
                f"{each['name']!r} explains {percent(each['before'])} of the outcome, and a straight line of it "
                f"{percent(each['line'])}: its effect is a curve."
            )
        kept = each["left"] if each["left"] is not None else each["after"]
        if (
            correction.estimator != "none"
            and (each["before"] or 0) > each["chance"]
            and (kept or 0) > each["before"] / 2
        ):
            notes.append(
                f"That the effect of {each['name']!r} is taken off is not shown: it explains "
                f"{percent(each['before'])} of the outcome, and {percent(kept)} of the reward"
                f"{' beyond the text' * (each['left'] is not None)}, where chance explains up to "
                f"{percent(each['chance'])}. Use more rows."
            )
        if each["kind"] == "groups" and not correction.group_effects and (each["after"] or 0) > each["chance"]:
            notes.append(
                f"The groups {roles.groups!r} explain {percent(each['after'])} of the reward: they are clusters here, "
                f"and nothing of them is taken off. If they confound, name {roles.groups!r} among the confounders, or "
                "take `fixed_effects`."
            )
    if along := numbers["taken_along"]:
        shares = ", ".join(f"{name!r} explains {percent(share)}" for name, share in along.items())
        notes.append(
            f"`ols` takes off a part of what texts are worth, too: of that, as `dml` finds it, {shares}. Choose "
            "`dml`, which leaves it in the reward."
        )
    if correction.estimator == "ols" and roles.text and (reason := numbers["sensitivity"]["not_run"].get("dml")):
        notes.append(f"How much of what texts are worth `ols` takes off, too, is not known. {reason}")
    for first, second, share in numbers["together"][:1]:
        notes.append(
            f"{first!r} and {second!r} together explain {percent(share)} of the reward: `{correction.estimator}` takes"
            f" off what each does alone. {'' if roles.text else 'With `--text`, '}`dml` takes off that, too."
        )
    return notes


def sentences_of(correction: Correction, report: ObservationReport, notes: Sequence[str]) -> list[str]:
    """Says what was read and left out, and what to be careful about."""
    units = correction.details.get("units", {})
    return [
        *(f"{name} is read in {unit}, so its effect is that of one day." for name, unit in units.items()),
        f"{report.num_kept:>9,}  rows",
        *left_out(report),
        *(f"Warning: {warning}" for warning in correction.warnings),
        *(f"Note: {note}" for note in notes),
    ]


def print_result(correction: Correction, numbers: Mapping[str, Any], sentences: Sequence[str]) -> None:
    """Prints the effects and what each column explains, as the page does, and sentences; else the formula."""
    if not numbers:
        print(correction.formula)
    for _, _, columns, rows in (_coefficients(correction), *_explained(correction, numbers)) if numbers else ():
        print_table(columns, rows, least=120)
    for sentence in sentences:
        print(sentence)


def share_in_words(share: float | None) -> str:
    """Writes a share; one that is not told is empty."""
    return "" if share is None else percent(share)


def left_out(report: ObservationReport) -> list[str]:
    """Says how many rows were left out, and why."""
    return [
        *(f"{count:>9,}  rows without {name}, left out" for name, count in report.missing.items()),
        *(f"{count:>9,}  rows left out: {rule}" for rule, count in report.reasons.items()),
    ]


_MOST_CHARTS = 6


def build_correction_page(
    correction: Correction, numbers: Mapping[str, Any], facts: Mapping[str, str], notes: Sequence[str], out: Path
) -> Path:
    """Writes the page of a correction, with the numbers of `diagnose`."""
    return write_page(
        "correction.html.j2",
        out,
        package="align.methods.deconfound",
        title=f"Correction of {facts['Outcome']}",
        facts=facts,
        verdict=[
            f"`{each['name']}` explained {percent(each['before'])} of the outcome, now {percent(each['after'])} of "
            f"the reward; up to {percent(each['chance'])} is chance."
            for each in numbers["explained"]
            if each["name"] in correction.columns and None not in (each["before"], each["after"])
        ],
        findings=[
            *(_finding(warning, "doubt") for warning in correction.warnings),
            *(_finding(text, "note") for text in notes),
        ],
        correction=correction,
        fell_back=correction.requested if correction.estimator != correction.requested else "",
        charts=_charts(correction, numbers),
        sections=sections(correction, numbers),
        in_grpo=in_grpo(numbers),
    )


def _finding(text: str, level: str) -> Finding:
    """Arranges a warning: its first sentence, and what follows."""
    title, _, rest = text.rstrip(".").partition(". ")
    return Finding(title, f"{rest}." if rest else "", level)


def _charts(correction: Correction, numbers: Mapping[str, Any]) -> list[Chart]:
    charts = []
    note = "With 95 % intervals; an arrow goes on beyond the axis. `none` removes nothing."
    for place, name in enumerate(correction.confounders[:_MOST_CHARTS]):
        estimates = [
            Interval(each["estimator"], "", each["coefficients"][place], *each["intervals"][place])
            for each in numbers["sensitivity"]["estimates"]
        ]
        charts.append(draw_intervals(f"Effect of {name} by estimator", note, estimates, "outcome per unit", cut=True))
    return charts


Numbers = Mapping[str, Any]
# A heading, how to read what is under it, and the columns and rows of a table; without rows the note stands alone.
Section = tuple[str, str, Sequence[str], Sequence[Sequence[str]]]


def sections(correction: Correction, numbers: Numbers) -> list[Section]:
    """Lists every table that the diagnostics hold."""
    made = (_explained, _first_stage, _overlap, _placebo, _sensitivity, _agreement, _additivity)
    return [_coefficients(correction), *(section for make in made for section in make(correction, numbers))]


def in_grpo(numbers: Numbers) -> str:
    """Says where the correction reaches a policy that GRPO trains."""
    text = (
        "GRPO subtracts the mean reward of the responses to one prompt, so a correction that is the same for all "
        "responses to a prompt cancels there: raw and corrected outcome train the same policy. It counts where "
        "responses to one prompt were observed under different confounders, and wherever rewards of different prompts "
        "are compared: in a reward model, in pairs across prompts, and in picking data. A policy's new responses have "
        "no confounder to correct for; train a reward model on the corrected outcome (`method: deconfound`) and use "
        "that as the reward, which is a correction per response."
    )
    within = numbers.get("within")
    if within is None:
        return text + " Without `prompt` or `groups` the share that cancels is not known here."
    return (
        f"{text} In this table {percent(within['share_within'])} of the correction's variance lies within a "
        f"{within['by']}; the rest would cancel. {within['num_with_several']:,} of {within['num_labels']:,} "
        f"{within['by']}s have several rows."
    )


def _coefficients(correction: Correction) -> Section:
    note = (
        f"Change of the outcome per unit of the confounder, by {correction.estimator}, with 95 % intervals: the best "
        "straight line through its effect, of which the whole is taken off. The reward is the outcome at the mean "
        "effect of every confounder."
    )
    rows = [
        (name, in_words(slope, *interval), format_number(error), format_number(mean))
        for name, slope, interval, error, mean in zip(
            correction.confounders, correction.coefficients, correction.intervals, correction.standard_errors,
            correction.means, strict=True,
        )
    ]  # fmt: skip
    if correction.group_effects:
        note += f" {len(correction.group_effects):,} groups have an effect of their own, too."
    columns = ("confounder", f"effect ({correction.estimator})", "standard error", "mean")
    return "Effect of the confounders", note, columns, rows


def _explained(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    note = (
        "Variance explained by each named column alone (adjusted R²; group means for labels and parts of numbers). "
        "What is left in the reward may be what texts are worth; beyond the text nothing may be left."
    )
    if any(each["kind"] == "groups" for each in numbers["explained"]):
        note += f" `groups` are {what_groups_are(correction)}."
    rows = [
        (each["name"], each["kind"], *(share_in_words(each[key]) for key in SHARES)) for each in numbers["explained"]
    ]
    yield "What each column explains", note, ("column", "is a", *SHARES.values()), rows


def _first_stage(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    details = correction.details
    if not details.get("first_stage_f"):
        return
    note = "How well the instruments move each confounder, after the text was taken off. Below F = 10 they are weak."
    p_value, test = (details.get(f"overidentification_{name}") for name in ("p", "test"))
    if p_value is not None:
        note += (
            f" There are more instruments than confounders, so they can contradict each other: p = "
            f"{format_number(p_value)} ({test}); a small one says that at least one reaches the outcome in another "
            "way."
        )
    elif test is not None:
        note += f" There are more instruments than confounders, but whether they contradict each other is {test}."
    else:
        note += " There are no more instruments than needed, so nothing here can tell a bad one."
    rows = [
        (
            name, format_number(strength), format_number(details["partial_r2"][name]),
            "weak" if min(strength, details["cragg_donald"]) < WEAK_F else "strong",
        )
        for name, strength in details["first_stage_f"].items()
    ]  # fmt: skip
    yield "First stage", note, ("confounder", "F", "share explained", ""), rows


def _overlap(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    knows = "the text and the other confounders" if numbers["overlap_knows_text"] else "the other confounders"
    note = (
        f"Similar texts must have been seen with high and low confounders. `explained` is the share of a confounder "
        f"that {knows} predict; near 1 nothing is left to learn from. Effective rows are those that carry the "
        "estimate; a third of all is ordinary."
    )
    explained = correction.details.get("text_r2", {}).get("outcome")
    if explained is not None:
        note += f" Out of fold, the text explains {percent(explained)} of the outcome."
    rows = [
        (each["name"], percent(each["explained"]), f"{each['effective_rows']:,.0f}", percent(each["share"]))
        for each in numbers["overlap"]
    ]
    columns = ("confounder", "explained", "effective rows", "of all rows")
    yield "Overlap", note, columns, rows


def _placebo(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    if not numbers["placebo"]:
        return
    note = (
        "The same estimate after a permutation that removes every effect. Permuted confounders must have effects "
        "about 0 and intervals that hold 0 in about 95 %; permuted instruments must have a first-stage F about 1. A "
        "placebo that holds does not show that the assumptions are true."
    )
    rows = []
    for each in numbers["placebo"]:
        if "not_run" in each:
            rows.append((each["what"], f"not run: {each['not_run']}", "", ""))
            continue
        means = [sum(column) / len(column) for column in zip(*each["coefficients"], strict=True)]
        effects = ", ".join(map(format_number, means)) if each["what"] == "confounder" else "not meant to be 0"
        coverage = percent(each["coverage"]) if each["what"] == "confounder" else ""
        strengths = [value for value in each["strengths"] if value is not None]
        strength = format_number(sum(strengths) / len(strengths)) if strengths else ""
        rows.append(
            (f"{each['what']}, {each['repeats']} times, {each['num_rows']:,} rows", effects, coverage, strength)
        )
    yield "Placebo", note, ("permuted", "mean effects", "intervals with 0", "mean F"), rows


def _sensitivity(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    note = (
        "Estimators with different assumptions on the same rows. Where they agree, the assumptions matter little; "
        "where they do not, the table cannot say which is right."
    )
    found = numbers["sensitivity"]
    names = correction.confounders
    rows = [
        (each["estimator"], f"{each['num_rows']:,}", *(
            in_words(slope, *interval)
            for slope, interval in zip(each["coefficients"], each["intervals"], strict=True)
        ))
        for each in found["estimates"]
    ]  # fmt: skip
    rows += [(name, "not run", reason, *("" for _ in names[1:])) for name, reason in found["not_run"].items()]
    yield "Sensitivity to the estimator", note, ("estimator", "rows", *names), rows


def _agreement(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    found = numbers["sensitivity"]
    if not found["names"]:
        return
    note = (
        f"Rank correlation of the rewards by two estimators, and in brackets the share of the best tenth that they "
        f"have in common, on {numbers['num_rows']:,} rows."
    )
    rows = [
        (name, *(f"{_number(rank)} ({percent(top)})" for rank, top in zip(ranks, tops, strict=True)))
        for name, ranks, tops in zip(found["names"], found["rank_correlation"], found["top_overlap"], strict=True)
    ]
    yield "Do the rankings agree?", note, ("", *found["names"]), rows


def _additivity(correction: Correction, numbers: Numbers) -> Iterator[Section]:
    if not numbers["additivity"]:
        note = "Whether one slope fits every text is tested where the text is known to the estimator; it was not here."
        yield "Additivity", note, (), ()
        return
    note = (
        "Products of confounders with the predicted worth of the text, which must be 0 if a confounder adds the same "
        "for every text. An interval without 0 says that too much is removed from some texts and too little from "
        "others."
    )
    rows = [
        (each["term"], in_words(each["coefficient"], each["low"], each["high"]), format_number(each["p_value"]))
        for each in numbers["additivity"]
    ]
    yield "Additivity", note, ("term", "coefficient", "p"), rows


def _number(value: float | None) -> str:
    return "" if value is None else format_number(value)
