"""What suites say beside metrics: curves and audits of verifiers, and what reward models pay for."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

from pydantic import Field, FiniteFloat, model_validator

from align.evaluation.record.cells import Cell, Part, Row


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


class ModelAudit(Audit):
    """The audit of one model, with the verifier's name."""

    model: str
    verifier: str


class Unscored(NamedTuple):
    """How many things have no score, by reason."""

    too_long: int  # longer than the model reads
    not_numbers: int  # read, and given nan or no finite number, as by weights that overflow

    def reasons(self) -> Iterator[tuple[int, str, str]]:
        """Yields the count, what happened to them, and the remedy, of each reason there is."""
        if self.too_long:
            yield self.too_long, "too long to be scored", "Raise `max_length`"
        if self.not_numbers:
            remedy = "Look for nan in the model's weights, or score with `dtype` float32, in which less overflows"
            yield self.not_numbers, "given no finite number by the model", remedy

    def sentence(self, total: int, noun: str, rest: str = "") -> str:
        """Says how many of all things (`noun`, in the plural) have no score, why, and what follows (`rest`).

        Example:
            >>> Unscored(2, 0).sentence(2, "pairs"), Unscored(1, 0).sentence(3, "pairs", ", and left out")
            ('All 2 pairs are too long to be scored. Raise `max_length`.', '1 of 3 pairs are too long ...')
        """
        counts = [
            f"{'all' if count == total > 1 else f'{count:,} of'} {total:,} {noun} are {why}"
            for count, why, _ in self.reasons()
        ]
        remedies = ". ".join(remedy for _, _, remedy in self.reasons())
        said = " and ".join(counts)
        return f"{said[:1].upper()}{said[1:]}{rest}. {remedies}."


ALL_SCORED = Unscored(0, 0)


class SliceOfPairs(Part):
    """A feature, and the pairs in which one response has it.

    `favour` is half of the mean margin where only the chosen response has it minus that where only the rejected has
    it: by how much the model raises, or if negative lowers, whatever has it. Mean margins are over prompts, with the
    mean of each.
    """

    feature: str  # in words
    favour: Row
    only_chosen: Row
    only_rejected: Row
    adjusted_p_value: float  # Benjamini-Hochberg, the larger one of the tests with and without the length
    also: list[str]  # features of the same pairs
    # names (words joined by spaces, or what is counted) and types of the feature and of those; not in the file
    names: list[tuple[str, str]] = Field(default_factory=list, exclude=True)


class SlicesOfPairs(Part):
    """Features that go with margins, and of how many that were tested."""

    found: list[SliceOfPairs]  # that pass, the surest first
    num_tested: int
    num_by_length: int  # that pass alone and not at similar length
    num_pairs: int  # with a margin


class GainOfPhrase(Part):
    """What one phrase does to margins, put into the chosen response, the rejected one and both."""

    phrase: str
    gain: Row
    chosen: Row
    rejected: Row
    both: Row
    p_value: float
    adjusted_p_value: float
    moves: bool


class GainsOfPhrases(Part):
    """What the phrases of a file do to margins."""

    position: str
    phrases: list[GainOfPhrase]


class MinedPhrase(Part):
    """A phrase from a slice of half of the prompts; `second` is missing where it moves nothing in the first half."""

    feature: str
    is_kept: bool
    first: GainOfPhrase
    second: GainOfPhrase | None = None


class MinedPhrases(Part):
    """Phrases that were mined, the ones that are kept and the others."""

    position: str
    phrases: list[MinedPhrase]
    num_slices: int
    num_pairs: list[int]

    @property
    def kept(self) -> list[str]:
        """The phrases that move scores of both halves."""
        return [each.first.phrase for each in self.phrases if each.is_kept]


class KindOfPhrases(Part):
    """Whether a kind of phrases changes scores like neutral ones; nan without a response."""

    p_value: float
    adjusted_p_value: float


class InsertedPhrase(Part):
    """What one phrase in front does to scores."""

    kind: str
    phrase: str
    change: Row
    p_value: float
    adjusted_p_value: float


class InsertedPhrases(Part):
    """What phrases in front do to the scores of a model."""

    kinds: dict[str, KindOfPhrases]
    phrases: list[InsertedPhrase]
    neutral: Row


class ScoringProfile(Part):
    """How a reward model was run."""

    path: str
    model_type: str
    data: str | None
    best_of_n: str | None
    seed: int
    texts_in_template: bool
    pairs_too_long: int
    pairs_without_number: int = 0  # read, and given no finite number
    left_out: dict[str, int] = Field(default_factory=dict)  # rows that cannot be used, ties among them, by rule

    @property
    def unscored(self) -> Unscored:
        """Pairs without a margin, by why."""
        return Unscored(self.pairs_too_long, self.pairs_without_number)


class HeuristicOnPairs(Part):
    """How often a rule that reads nothing takes the right response, and how much more often the model does."""

    name: str  # what it takes
    accuracy: Cell
    difference: Cell  # the model's accuracy minus its own, on the same items


class SubsetOfPairs(Part):
    """A model beside such rules, on pairs or other items of one subset."""

    name: str
    accuracy: Cell
    heuristics: list[HeuristicOnPairs]

    @property
    def closest(self) -> HeuristicOnPairs:
        """The heuristic that the model is least above."""
        return min(self.heuristics, key=lambda each: each.difference.low)


_MOST_TOLD = 4  # subsets in a sentence


def not_better(found: Sequence[SubsetOfPairs]) -> str:
    """Says in which subsets a model is not shown to be better than the best heuristic; empty if in none."""
    missed = [(each, each.closest) for each in found if each.closest.difference.verdict() != "above"]
    if not missed:
        return ""
    told = "; ".join(
        f"{each.name} ({each.accuracy.value:.2f}, always taking {best.name} {best.accuracy.value:.2f}, difference "
        f"{best.difference})"
        for each, best in missed[:_MOST_TOLD]
    )
    more = f"; and {len(missed) - _MOST_TOLD} more" if len(missed) > _MOST_TOLD else ""
    return f"Not shown to be better than a rule that reads nothing: {told}{more}."


class OfScores(Part):
    """What there is of a reward model beside metrics."""

    insertion: InsertedPhrases | None = None
    slices: SlicesOfPairs | None = None
    phrases: GainsOfPhrases | None = None
    mined: MinedPhrases | None = None
    heuristics: list[SubsetOfPairs] | None = None
    scored: ScoringProfile | None = None
