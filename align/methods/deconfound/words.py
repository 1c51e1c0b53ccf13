"""What `align deconfound` says about a table and its correction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.console import make_console, make_table
from align.data.tables.observations import ObservationReader, ObservationReport, Roles
from align.methods.deconfound.correction.settings import CorrectionSettings
from align.report.charts.interval import in_words
from align.report.run.finding import percent
from rewards.correction import Correction

if TYPE_CHECKING:
    from align.methods.deconfound.command import DeconfoundResult

MUCH = 0.05  # share of the reward that groups explain


def facts_of(
    reader: ObservationReader, correction: Correction, how: str, embedding_model: str | None
) -> dict[str, str]:
    """Lists what was read and fitted, by the name to show."""
    roles = reader.roles
    text = f"{roles.text}, by {Path(embedding_model).name}" if embedding_model else roles.text
    facts = {
        "Data": Path(reader.table.path).name,
        "Outcome": roles.outcome,
        "Confounders": ", ".join(roles.confounders),
        "Instruments": ", ".join(roles.instruments),
        "Text": text,
        "Groups": roles.groups and f"{roles.groups}, {what_groups_are(correction)}",
        "Prompt": roles.prompt,
        "Estimator": correction.estimator,
        "Rows": f"{correction.num_rows:,}",
        "Left out": f"{correction.num_dropped:,}",
        "Read": how,
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
    roles: Roles, settings: CorrectionSettings, correction: Correction, numbers: Mapping[str, Any], chunked: bool
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
        if each["kind"] == "groups" and not correction.group_effects and (each["after"] or 0) >= MUCH:
            notes.append(
                f"The groups {roles.groups!r} explain {percent(each['after'])} of the reward: they are clusters here, "
                f"and nothing of them is taken off. If they confound, name {roles.groups!r} among the confounders, or "
                "take `fixed_effects`."
            )
    if chunked:
        notes.append("The table was read in chunks, from sums over rows.")
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


def print_result(result: "DeconfoundResult") -> None:
    """Prints the effects, what they do to associations, and the sentences; of what was applied the formula."""
    correction, numbers = result.correction, result.numbers
    if numbers:
        grid = make_table("confounder", f"effect ({correction.estimator})", "correlation before", "after")
        known = [{each["name"]: each for each in numbers[key]} for key in ("before", "after")]
        for place, name in enumerate(correction.confounders):
            grid.add_row(
                name,
                in_words(correction.coefficients[place], *correction.intervals[place]),
                *(interval_in_words(each.get(name, {}), "correlation") for each in known),
            )
        shares = make_table("column", "is a", "explains of the outcome", "of the reward")
        for each in numbers["explained"]:
            shares.add_row(each["name"], each["kind"], *(share_in_words(each[key]) for key in ("before", "after")))
        console = make_console(least=120)
        console.print(grid)
        console.print(shares)
    else:
        print(correction.formula)
    for sentence in result.sentences:
        print(sentence)


def interval_in_words(found: Mapping[str, Any], key: str) -> str:
    """Writes an estimate with its interval; one that could not be made is empty."""
    return "" if found.get(key) is None else in_words(found[key], found["low"], found["high"])


def share_in_words(share: float | None) -> str:
    """Writes a share; one that cannot be told says so."""
    return "not known" if share is None else percent(share)


def left_out(report: ObservationReport) -> list[str]:
    """Says how many rows were left out, and why."""
    return [
        *(f"{count:>9,}  rows without {name}, left out" for name, count in report.missing.items()),
        *(f"{count:>9,}  rows left out: {rule}" for rule, count in report.reasons.items()),
    ]
