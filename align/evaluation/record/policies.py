"""What `evaluation.json` holds of policies that were asked multiple-choice questions, and what follows from them."""

from typing import Self

from pydantic import Field, FiniteFloat, JsonValue, model_validator

from align.evaluation.record.answers import Answers, Decoded, Items, Run
from align.evaluation.record.values import Cell, Part


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
