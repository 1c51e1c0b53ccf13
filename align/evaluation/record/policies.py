"""What `evaluation.json` holds of policies: what was run, metrics by suite, and what follows from the answers."""

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, JsonValue, PlainSerializer, model_validator

from align.evaluation.record.values import Cell, Metric, Part
from align.evaluation.statistics.glossary import Meaning


class Source(Part):
    """A model that helped: a judge, or a verifier with the reward above which it accepts."""

    path: str
    fingerprint: str
    threshold: float | None = None


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


class Data(Part):
    """The questions."""

    path: str | None
    split: str | None
    left_out: dict[str, int]
    fingerprint: str
    questions: int
    with_images: int = 0  # written where some have
    unshufflable: int
    groups: dict[str, int]
    gold_letters: dict[str, int]


class Profile(Part):
    """How questions became prompts, and responses were decoded."""

    temperature: FiniteFloat
    top_p: FiniteFloat
    num_samples: int
    max_new_tokens: int
    seed: int
    prompt_template: str
    system_prompt: str | None
    conversational: bool | None
    think_tag: str
    answer_tag: str
    media: dict[str, JsonValue] | None = None  # written where questions have images
    num_shuffles: int


class About(Part):
    """What was run."""

    created: str
    command: list[str]
    suites: list[str]
    models: Annotated[list[AskedModel], Field(min_length=1)]
    data: Data
    profile: Profile
    recipe: str | None = None
    judge: Source | None
    verifier: Source | None
    common_group: str | None
    counter_group: str | None
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


class Audit(Part):
    """How far a verifier can be trusted with the samples of a model."""

    accepted: Cell
    true_positive_rate: Cell
    false_positive_rate: Cell
    prior: Cell
    ceiling: Cell
    optimal_attempts: list[Optimum]
    utility: list[Utility]


class _Audited(Part):
    model: str
    verifier: str


class ModelAudit(Audit, _Audited):
    """The audit of one model, with the verifier's name."""


class Warned(Part):
    """What a reader has to know before the numbers of a model."""

    model: str
    text: str


class PolicyRecord(Part):
    """An evaluation of policies; `suites` has the metrics of each suite, by model."""

    about: About
    suites: dict[str, dict[str, dict[Metric, Cell]]]
    comparisons: list[Comparison]
    paired: list[PairedAnswers]
    curves: list[BestOfN]
    audits: list[ModelAudit]
    glossary: dict[Metric, Annotated[Meaning, PlainSerializer(lambda meaning: meaning._asdict())]]
    warnings: list[Warned]
