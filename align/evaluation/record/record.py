"""The record of an evaluation: what was run, metrics by suite and model, differences, and what suites say beside."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, JsonValue, PlainSerializer

from align.evaluation.record.cells import Cell, Line, Part, Tabled
from align.evaluation.record.details import OfScores, SubsetOfPairs
from align.evaluation.statistics.glossary import Meaning
from align.evaluation.statistics.metrics import Estimate

SCORES: Literal["scores"] = "scores"  # the kind of reward models, and their suite


class EvaluatedModel(Part):
    """A model that was asked."""

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
    with_images: int = 0  # written where some have
    unshufflable: int = 0  # of questions with options
    gold_letters: dict[str, int] = Field(default_factory=dict)


class HelperModel(Part):
    """A model that helped: a judge or a verifier."""

    path: str
    fingerprint: str


class AskingProfile(Part):
    """How responses were decoded and read, and how questions became prompts, where a suite makes prompts."""

    temperature: FiniteFloat
    top_p: FiniteFloat
    num_samples: int
    max_new_tokens: int
    seed: int
    prompt_template: str = ""
    system_prompt: str | None = None
    conversational: bool | None = None
    think_tag: str = ""
    answer_tag: str = ""
    pass_at_k: list[int] = Field(default_factory=list)
    media: dict[str, JsonValue] | None = None  # written where there are images
    num_shuffles: int = 0


class MeasuredReward(Part):
    """A reward that measured; `invalid` counts its failures by model and kind."""

    name: str
    spec: str
    role: str  # `reward` or `audit`
    better: str | None = None  # which values are: `higher`, `lower` or `neither`; None in files of earlier versions
    right_from: FiniteFloat | None  # a response with less is wrong; None if no value says so
    invalid: dict[str, dict[str, int]]


class About(Part):
    """What was run; below `seconds` stands what some suites have."""

    created: str
    command: list[str]
    suites: list[str]
    models: Annotated[list[EvaluatedModel], Field(min_length=1)]
    data: Items
    recipe: str | None = None
    versions: dict[str, str | int | None]
    seconds: FiniteFloat
    rows: str = ""  # what the rows of the suite are
    headline: list[str] = Field(default_factory=list)  # metrics to show first
    profile: AskingProfile | None = None  # None where nothing was generated
    reference: HelperModel | None = None
    judge: HelperModel | None = None
    verifier: HelperModel | None = None
    rewards: list[MeasuredReward] = Field(default_factory=list)  # each is a suite
    with_marks: int = 0  # pairs with tokens that tell their responses apart
    settings: dict[str, JsonValue] = Field(default_factory=dict)  # the suite's own options by name


class MetricComparison(Part):
    """How much larger a metric of the model is than a baseline's, on the same items."""

    model: str
    baseline: str
    suite: str
    metric: str
    difference: Cell
    lacking: list[int] | None = None  # items without a value: of the model alone, the baseline alone, and both

    def sentence(self, label: str) -> str:
        """Says on which side of the baseline's value the model's is, if that can be told."""
        found, side = self.difference, self.difference.verdict() or "not told apart from"
        return f"`{self.model}` is {side} `{self.baseline}` in {label}: {found} on {found.n:,} {found.unit}."


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


class Record(Tabled, Part):
    """An evaluation; `suites` has the metrics of each suite, by model, the one asked about first."""

    kind: Literal["policy", "prompts", "pairs", "suite", "scores"]  # `policy` is of questions
    about: About
    suites: dict[str, dict[str, dict[str, Cell]]]
    comparisons: list[MetricComparison]
    paired: list[PairedAnswers] = Field(default_factory=list)
    glossary: dict[str, Annotated[Meaning, PlainSerializer(lambda meaning: meaning._asdict())]] = Field(
        default_factory=dict
    )
    warnings: list[Warned] = Field(default_factory=list)
    shares: list[str] = Field(default_factory=list)  # metrics that are shares of items, or chances
    heuristics: dict[str, list[SubsetOfPairs]] = Field(default_factory=dict)  # of pairs, by model
    scores: dict[str, OfScores] = Field(default_factory=dict)  # of reward models, by name

    @property
    def names(self) -> list[str]:
        """The models, the one asked about first."""
        return [model.name for model in self.about.models]

    @property
    def sides(self) -> dict[str, str]:
        """Which values of each reward are better, by its name."""
        by_role = {"reward": "higher", "audit": "neither"}
        return {each.name: each.better or by_role.get(each.role, "neither") for each in self.about.rewards}

    def summary(self, name: str) -> dict[str, Estimate]:
        """Returns the metrics of a model, of all suites."""
        return {metric: cell for by_model in self.suites.values() for metric, cell in by_model.get(name, {}).items()}

    def differences(self) -> Mapping[tuple[str, str], dict[str, Estimate]]:
        """Returns the differences between two models, of all suites, by their names."""
        found: dict[tuple[str, str], dict[str, Estimate]] = {}
        for each in self.comparisons:
            found.setdefault((each.model, each.baseline), {})[each.metric] = each.difference
        return found

    def lines(self) -> Iterator[Line]:
        """Yields every metric of every model, and then the differences."""
        for suite, models in self.suites.items():
            yield from (
                (suite, name, metric, cell) for name, cells in models.items() for metric, cell in cells.items()
            )
        for each in self.comparisons:
            yield each.suite, f"{each.model} - {each.baseline}", each.metric, each.difference

    def __str__(self) -> str:
        told = [each.sentence(each.metric) for each in self.comparisons if each.difference.verdict()]
        return "\n".join([*told, Tabled.__str__(self)])
