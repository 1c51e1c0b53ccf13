"""What the page of an evaluation shows, whatever was evaluated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from align.report.charts.drawing import Chart
from align.report.run.finding import Finding
from align.report.run.tables import Grid, MetricTable
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
    table: MetricTable | None = None
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
    """One item with the answers of all models, side by side, and why it is shown."""

    question: str
    sides: Sequence[Side]
    options: Sequence[Option] = ()
    why: str = ""
    id: str = ""
    tags: Sequence[str] = ()
    images: Filmstrip = Filmstrip()


class Listing(NamedTuple):
    """Names of items under a heading, and how many more there are."""

    title: str
    names: Sequence[str]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class EvaluationView:
    """The page, in its order; one kind of evaluation fills what it has of its own, and the frame does the rest."""

    title: str = ""
    verdict: Iterable[str] = ()  # what to take away, one sentence each
    figure: Sequence[Chart] = ()  # the one that shows it, if there is one
    findings: Iterable[Finding] = ()  # what its reader should know before believing it
    few: Sequence[str] = ()  # what is left open since there are few items, which one of the findings says
    headline: MetricTable | None = None  # main metrics by model, with differences to the baselines
    compared: str = ""  # how many metrics were compared; empty without a baseline
    charts: Sequence[Chart] = ()  # the rest of the headline as charts
    facts: Mapping[str, str] = field(default_factory=dict)  # what was run, by the name to show
    models: Grid | None = None
    details: Mapping[str, str] = field(default_factory=dict)  # long texts by their title
    sections: Sequence[Section] = ()
    listings: Sequence[Listing] = ()  # items won and lost
    items: Sequence[Item] = ()
    items_note: str = ""  # which items those are
    # What the frame asks of a kind
    noun: str = "items"  # what was asked, in the plural
    label: str = ""  # the same, where the list of facts has a longer name for it
    main: Sequence[str] = ()  # metrics to show first
    shares: Collection[str] = ()  # metrics that are shares, or differences of shares
    by_suite: bool = True  # whether suites have sections
