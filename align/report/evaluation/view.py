"""What the page of an evaluation shows, whatever was evaluated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from align.report.charts.drawing import Chart
from align.report.run.finding import Finding
from align.report.run.tables import Table
from align.report.thumbnails import Filmstrip

SUITES = {  # and the titles of their sections
    "accuracy": "Accuracy",
    "consistency": "Consistency of the answers",
    "rotation": "Every option in every place",
    "reliance": "Reliance on the trace, and leaks",
    "modality": "Reliance on the images",
    "best_of_n": "Best of n",
    "pairs": "Log-probs of the pairs",
    "judge": "What the judge prefers, asked in both orders",
}


class Grid(NamedTuple):
    """A table of words."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Section(NamedTuple):
    """A heading, how to read what is under it, and charts and tables; what there is none of is left out."""

    title: str
    note: str = ""
    charts: Sequence[Chart] = ()
    table: Table | None = None
    grids: Sequence[Grid] = ()


class Option(NamedTuple):
    """An option of a question; `letter` is its place as first shown."""

    letter: str
    text: str
    is_gold: bool


class Side(NamedTuple):
    """What one model did with an item.

    Attributes:
        model: Its name.
        is_right: Whether its first answer is right.
        facts: Answers, outcome and scores, by the name to show.
        trace: Its reasoning.
        completion: All it wrote.
        is_split: Whether its answers disagree with each other.
        verdict: Where right and wrong do not say it.
    """

    model: str
    is_right: bool
    facts: dict[str, str]
    trace: str
    completion: str
    is_split: bool
    verdict: str = ""


class Item(NamedTuple):
    """One item with the answers of all models, side by side."""

    why: str
    id: str
    tags: Sequence[str]
    question: str
    options: Sequence[Option]
    sides: Sequence[Side]
    images: Filmstrip = Filmstrip()


class Listing(NamedTuple):
    """Names of items under a heading, and how many more there are."""

    title: str
    names: Sequence[str]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Own:
    """What one kind of evaluation of models that were asked has of its own on the page.

    Attributes:
        noun: What was asked, in the plural.
        headline: The metrics to show first.
        shares: Metrics that are shares, or differences of shares.
        verdict: What to take away, one sentence each.
        facts: What was run, by the name to show.
        items: Items with their answers.
        items_note: Which items those are.
        label: What was asked, where the list of facts has a longer name for it.
        findings: What weakens it, beside the warnings of the record.
        details: Long texts by their title.
        sections: What comes behind the sections of the suites.
        by_suite: Whether suites have sections.
    """

    noun: str
    headline: Sequence[str]
    shares: Collection[str]
    verdict: Iterable[str]
    facts: Mapping[str, str]
    items: Sequence[Item]
    items_note: str
    label: str = ""
    findings: Iterable[Finding] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    by_suite: bool = True


@dataclass(frozen=True)
class EvaluationView:
    """The page, in its order.

    Attributes:
        title: Of the page.
        verdict: What to take away, one sentence each.
        findings: What its reader should know before believing it.
        headline: Main metrics by model, with differences to the baselines.
        compared: How many metrics were compared; empty without a baseline.
        charts: The headline as charts.
        facts: What was run.
        models: Which models.
        details: Long texts by their title: command, prompt template, versions.
        sections: The suites.
        listings: Items won and lost.
        items: Items with their answers.
        items_note: Which items those are.
    """

    title: str
    verdict: Sequence[str]
    findings: Sequence[Finding]
    headline: Table | None
    compared: str
    charts: Sequence[Chart]
    facts: dict[str, str]
    models: Grid
    details: dict[str, str]
    sections: Sequence[Section]
    listings: Sequence[Listing] = ()
    items: Sequence[Item] = field(default_factory=list)
    items_note: str = ""
