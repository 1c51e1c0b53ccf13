"""What `evaluation.json` holds of models that were asked: what all have, and what each kind adds."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    PlainSerializer,
    model_validator,
)

from align.evaluation.statistics.glossary import Meaning
from align.evaluation.statistics.metrics import Estimate
from rewards.extras import is_installed, loaded

if TYPE_CHECKING:
    import pandas as pd


_RENAMED = {"macro_std": "group_std"}  # by the name that earlier versions gave them
_NUMBERS = ("value", "low", "high", "n")


def _with_nan(cell: object) -> object:
    """Puts nan where a file has null, that is no number. Only a list holds NaN itself."""
    if isinstance(cell, Estimate):
        return cell
    if isinstance(cell, dict):
        known = {key: cell[key] for key in _NUMBERS if key in cell}
        return _filled(known, may_be_nan=False)
    if not isinstance(cell, list | tuple) or len(cell) not in (4, 5):
        raise ValueError("must have value, low, high and n")
    return [*_filled(dict(zip(_NUMBERS, cell, strict=False)), may_be_nan=True).values(), *cell[4:]]


def _filled(numbers: dict[str, object], *, may_be_nan: bool) -> dict[str, object]:
    for each in numbers.values():
        if isinstance(each, float) and not math.isfinite(each) and not (may_be_nan and math.isnan(each)):
            raise ValueError("must hold finite numbers, or null where there is none")
    return {key: math.nan if each is None and key != "n" else each for key, each in numbers.items()}


Metric = Annotated[str, AfterValidator(lambda name: _RENAMED.get(name, name))]
Row = Annotated[Estimate, BeforeValidator(_with_nan)]  # `[value, low, high, n, unit]`
Cell = Annotated[
    Estimate, BeforeValidator(_with_nan), PlainSerializer(lambda each: dict(zip(_NUMBERS, each, strict=False)))
]  # with names


class Part(BaseModel):
    """An object of the file. What is not set is not written; keys that are not known are ignored."""

    model_config = ConfigDict(strict=True, protected_namespaces=())  # `model_type` is a key


Line = tuple[str, str, str, Estimate]  # suite, model (or "a - b"), metric, and what was measured


class Tabled:
    """A record that is shown as a table, one line for each metric of each model and each difference."""

    def lines(self) -> Iterator[Line]:
        """Yields the lines."""
        raise NotImplementedError

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a frame with the columns suite, model, metric, value, low, high and n; intervals are of 95 %."""
        pd = loaded("pandas", "`to_pandas()`")
        rows = [(suite, model, metric, *cell[:4]) for suite, model, metric, cell in self.lines()]
        return pd.DataFrame(rows, columns=["suite", "model", "metric", "value", "low", "high", "n"])

    def __str__(self) -> str:
        return "\n".join(f"{suite} {metric}, {model}: {cell}" for suite, model, metric, cell in self.lines())

    def _repr_html_(self) -> str | None:
        if not is_installed("pandas"):
            return None  # the text is shown
        pd = loaded("pandas", "a table")
        rows: list[dict[str, Any]] = [
            {"suite": suite, "metric": metric, "model": model, "measured": str(cell)}
            for suite, model, metric, cell in self.lines()
        ]
        table = pd.DataFrame(rows).pivot(index=["suite", "metric"], columns="model", values="measured").fillna("")
        order = list(dict.fromkeys(row["model"] for row in rows))
        html: str = table.reindex(list(dict.fromkeys((row["suite"], row["metric"]) for row in rows)))[order].to_html()
        return html


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


class Source(Part):
    """A model that helped: a judge, or a verifier with the reward above which it accepts."""

    path: str
    fingerprint: str
    threshold: float | None = None


class Data(Items):
    """The questions."""

    with_images: int = 0  # written where some have
    unshufflable: int
    gold_letters: dict[str, int]


class Profile(Decoded):
    """How questions became prompts, and responses were decoded."""

    prompt_template: str
    system_prompt: str | None
    conversational: bool | None
    think_tag: str
    answer_tag: str
    media: dict[str, JsonValue] | None = None  # written where questions have images
    num_shuffles: int


class About(Run):
    """What was run."""

    data: Data
    profile: Profile
    judge: Source | None
    verifier: Source | None
    common_group: str | None
    counter_group: str | None


class CurvePoint(Part):
    """What choosing the best of n is worth: in truth, in the verifier's eyes, and at best."""

    n: int
    gold: Cell
    proxy: Cell
    oracle: Cell


class BestOfN(Part):
    """The curve of one model."""

    model: str
    curve: str
    points: list[CurvePoint]


class Optimum(Part):
    """The number of attempts with the highest worth, at a cost of a wrong answer; None if more always pay."""

    cost: FiniteFloat
    attempts: int | None
    utility: FiniteFloat | None


class Utility(Part):
    """What so many attempts are worth, at a cost of a wrong answer."""

    cost: FiniteFloat
    attempts: list[int]
    utility: list[FiniteFloat]

    @model_validator(mode="after")
    def _pairs_up(self) -> Self:
        if len(self.attempts) != len(self.utility):
            raise ValueError("must have as many `attempts` as `utility`")
        return self


class OfDifficulty(Part):
    """A verifier on the questions of which more than `above` and at most `up_to` of the samples are right."""

    above: FiniteFloat
    up_to: FiniteFloat
    questions: int
    true_positive_rate: Cell
    false_positive_rate: Cell


class AttemptsRule(Part):
    """What is answered, and how much of it is right, if one of so many attempts must be accepted."""

    attempts: int
    coverage: Cell
    accuracy: Cell


class ThresholdRule(Part):
    """The same if the best score must reach a threshold: the lowest with a precision on other questions, or None."""

    precision: FiniteFloat
    calibrated_on: int
    threshold: FiniteFloat | None
    coverage: Cell
    accuracy: Cell


class Audit(Part):
    """How far a verifier can be trusted with the samples of a model."""

    accepted: Cell
    true_positive_rate: Cell
    false_positive_rate: Cell
    prior: Cell
    ceiling: Cell
    optimal_attempts: list[Optimum]
    utility: list[Utility]
    by_difficulty: list[OfDifficulty] = Field(default_factory=list)  # files of earlier versions have none
    if_accepted: list[AttemptsRule] = Field(default_factory=list)
    above_threshold: list[ThresholdRule] = Field(default_factory=list)


class _Audited(Part):
    model: str
    verifier: str


class ModelAudit(Audit, _Audited):
    """The audit of one model, with the verifier's name."""


class PolicyRecord(Answers):
    """An evaluation of policies that were asked multiple-choice questions."""

    about: About
    curves: list[BestOfN]
    audits: list[ModelAudit]


class MeasuredReward(Part):
    """A reward that measured; `invalid` counts its failures by model and kind."""

    name: str
    spec: str
    role: str  # `reward` or `audit`
    better: str | None = None  # which values are: `higher`, `lower` or `neither`; None in files of earlier versions
    right_from: FiniteFloat | None  # a response with less is wrong; None if no value says so
    invalid: dict[str, dict[str, int]]


class Sampled(Decoded):
    """How responses were decoded and read."""

    think_tag: str
    answer_tag: str
    pass_at_k: list[int]
    media: dict[str, JsonValue] | None = None  # written where prompts have images


class AboutPrompts(Run):
    """What was run; each suite has the name of its reward."""

    profile: Sampled
    rewards: list[MeasuredReward]


class PromptsRecord(Answers):
    """An evaluation of policies on prompts; `shares` has the metrics that are shares of responses, or chances."""

    about: AboutPrompts
    shares: list[str] = Field(default_factory=list)

    @property
    def sides(self) -> dict[str, str]:
        """Which values of each reward are better, by its name."""
        by_role = {"reward": "higher", "audit": "neither"}
        return {each.name: each.better or by_role.get(each.role, "neither") for each in self.about.rewards}


class AboutPairs(Run):
    """What was run; `profile` is of the responses that a judge compared, and None without a judge."""

    reference: Source
    judge: Source | None
    profile: Decoded | None
    with_marks: int  # pairs with tokens that tell their responses apart


class PairsRecord(Answers):
    """An evaluation of policies on pairs."""

    about: AboutPairs


class Prompted(Decoded):
    """How responses were decoded and read, and whether questions were messages."""

    conversational: bool | None
    system_prompt: str | None
    think_tag: str
    answer_tag: str


class AboutSuite(Run):
    """What was run; `headline` has the metrics to show first, `settings` the suite's own options by name."""

    rows: str
    headline: list[str]
    profile: Prompted
    reference: Source | None
    judge: Source | None = None  # written where one was asked
    settings: dict[str, JsonValue]


class SuiteRecord(Answers):
    """An evaluation by one suite; `shares` has the metrics whose values lie between 0 and 1 by their nature."""

    about: AboutSuite
    shares: list[str] = Field(default_factory=list)
