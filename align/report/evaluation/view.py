"""What the page of an evaluation shows, whatever was evaluated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from align.report.charts.drawing import Chart
from align.report.run.finding import Finding
from align.report.run.tables import Grid, Table
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
    """What one model did with an item."""

    model: str
    is_right: bool  # whether its first answer is right
    facts: dict[str, str]  # answers, outcome and scores, by the name to show
    trace: str  # its reasoning
    completion: str  # all it wrote
    is_split: bool  # whether its answers disagree with each other
    verdict: str = ""  # where right and wrong do not say it
    turns: Sequence[tuple[str, str]] = ()  # who said what, where it is a conversation; in place of `completion`


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
    """What one kind of evaluation of models that were asked has of its own on the page."""

    noun: str  # what was asked, in the plural
    headline: Sequence[str]  # metrics to show first
    shares: Collection[str]  # metrics that are shares, or differences of shares
    verdict: Iterable[str]  # what to take away, one sentence each
    facts: Mapping[str, str]  # what was run, by the name to show
    items: Sequence[Item] = ()
    items_note: str = ""  # which items those are
    models: Grid | None = None  # in place of what all have
    listings: Sequence[Listing] = ()  # behind the items won and lost
    label: str = ""  # what was asked, where the list of facts has a longer name for it
    findings: Iterable[Finding] = ()  # what weakens it, beside the warnings of the record
    details: Mapping[str, str] = field(default_factory=dict)  # long texts by their title
    sections: Sequence[Section] = ()  # behind those of the suites
    by_suite: bool = True  # whether suites have sections


@dataclass(frozen=True)
class EvaluationView:
    """The page, in its order."""

    title: str
    verdict: Sequence[str]  # what to take away, one sentence each
    figure: Sequence[Chart]  # the one that shows it, if there is one
    findings: Sequence[Finding]  # what its reader should know before believing it
    headline: Table | None  # main metrics by model, with differences to the baselines
    compared: str  # how many metrics were compared; empty without a baseline
    charts: Sequence[Chart]  # the rest of the headline as charts
    facts: dict[str, str]  # what was run
    models: Grid
    details: dict[str, str]  # long texts by their title: command, prompt template, versions
    sections: Sequence[Section]
    listings: Sequence[Listing] = ()  # items won and lost
    items: Sequence[Item] = field(default_factory=list)
    items_note: str = ""  # which items those are
