"""What `evaluation.json` holds of models that were asked, whatever they were asked."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, FiniteFloat, PlainSerializer

from align.evaluation.record.tables import Line, Tabled
from align.evaluation.record.values import Cell, Metric, Part
from align.evaluation.statistics.glossary import Meaning

HARNESS = "lm-eval:"  # before the name of a task of lm-evaluation-harness


class AskedModel(Part):
    """A policy that was asked."""

    name: str
    path: str
    role: str
    kind: str
    base: str | None
    fingerprint: str
    dtype: str
    backend: str
    seconds: FiniteFloat
    cached_items: int
    extra_generations: int = 0  # written where images were changed


class Items(Part):
    """What was asked, and where it is from; `questions` counts it."""

    path: str | None
    split: str | None
    left_out: dict[str, int]
    fingerprint: str
    questions: int
    groups: dict[str, int]


class Decoded(Part):
    """How responses were decoded."""

    temperature: FiniteFloat
    top_p: FiniteFloat
    num_samples: int
    max_new_tokens: int
    seed: int


class Run(Part):
    """What was run."""

    created: str
    command: list[str]
    suites: list[str]
    models: Annotated[list[AskedModel], Field(min_length=1)]
    data: Items
    recipe: str | None = None
    versions: dict[str, str | int | None]
    seconds: FiniteFloat


class Comparison(Part):
    """How much larger a metric of the model is than a baseline's, on the same items."""

    model: str
    baseline: str
    suite: str
    metric: Metric
    difference: Cell


class PairedAnswers(Part):
    """Ids of the questions that only the model, and only the baseline, gets right."""

    model: str
    baseline: str
    metric: str
    wins: list[str]
    losses: list[str]
    num_both: int
    num_neither: int
    mcnemar_p: FiniteFloat | None
    is_whole: bool | None = None  # None in files of earlier versions, where whole answers have a p-value

    @property
    def says_right(self) -> bool:
        """Whether each answer is right or wrong, and not a share of several samples."""
        return self.mcnemar_p is not None if self.is_whole is None else self.is_whole


class Warned(Part):
    """What a reader has to know before the numbers of a model."""

    model: str
    text: str


class Answers(Tabled, Part):
    """An evaluation of models that were asked; `suites` has the metrics of each suite, by model."""

    about: Run
    suites: dict[str, dict[str, dict[Metric, Cell]]]
    comparisons: list[Comparison]
    paired: list[PairedAnswers]
    glossary: dict[Metric, Annotated[Meaning, PlainSerializer(lambda meaning: meaning._asdict())]]
    warnings: list[Warned]

    def lines(self) -> Iterator[Line]:
        """Yields every metric of every model, and then the differences."""
        for suite, models in self.suites.items():
            yield from (
                (suite, name, metric, cell) for name, cells in models.items() for metric, cell in cells.items()
            )
        for each in self.comparisons:
            yield each.suite, f"{each.model} - {each.baseline}", each.metric, each.difference

    __str__ = Tabled.__str__


def among_all(suite: str, metric: str) -> str:
    """Names a metric of a suite among those of all: tasks of the harness share names, so these are behind the task.

    Example:
        >>> among_all("accuracy", "answered"), among_all("lm-eval:arc_easy", "acc")
        ('answered', 'lm-eval:arc_easy/acc')
    """
    return f"{suite}/{metric}" if suite.startswith(HARNESS) else metric
