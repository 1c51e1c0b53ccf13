"""What `evaluation.json` holds where the names of models are its keys: of reward models, and of policies in short."""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import Field, FiniteFloat

from align.evaluation.record.answers import Cell, Line, Metric, Part, Row, Tabled


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
    """A feature of responses, and margins where only one response of a pair has it."""

    feature: str
    favour: Row
    only_chosen: Row
    only_rejected: Row
    adjusted_p_value: float
    opposite_signs: bool
    also: list[str]


class SlicesOfPairs(Part):
    """Features that go with margins, and of how many that were tested."""

    found: list[SliceOfPairs]
    num_tested: int
    num_by_length: int
    num_opposite_signs: int
    num_pairs: int


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


class Scored(Part):
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


class Measured(Part):
    """What was measured of one model: metrics, and differences to others on the same items by metric."""

    summary: dict[Metric, Row]
    difference_to: dict[str, dict[Metric, Row]] = Field(default_factory=dict)
    insertion: InsertedPhrases | None = None
    slices: SlicesOfPairs | None = None
    phrases: GainsOfPhrases | None = None
    mined: MinedPhrases | None = None
    scored: Scored | None = None


class ModelsRecord(Tabled, Part):
    """An evaluation of reward models, or of policies in short."""

    models: dict[str, Measured]

    def lines(self) -> Iterator[Line]:
        """Yields every metric of every model, and then the differences."""
        for name, model in self.models.items():
            yield from (("scores", name, metric, cell) for metric, cell in model.summary.items())
        for name, model in self.models.items():
            for other, cells in model.difference_to.items():
                yield from (("scores", f"{name} - {other}", metric, cell) for metric, cell in cells.items())

    __str__ = Tabled.__str__


MERGING_FILE = "merging.json"


class MergedModel(Part):
    """One weight."""

    alpha: FiniteFloat  # weight of the tuned model
    name: str
    path: str | None  # None if it was not kept
    metrics: dict[Metric, Cell]
    against_base: Cell | None  # difference of the main metric to the base's, on the same items
    against_tuned: Cell | None
    # ids of items that it has right and both parents have wrong; None where no value is right
    gained: list[str] | None
    lost: list[str] | None  # ids of items that it has wrong and both parents have right


class MergingRecord(Part):
    """A sweep over weights; `rule` and `picked` are None where none was asked for, or none fits."""

    format: int
    base: str
    tuned: str
    data: str
    metric: Metric
    questions: int
    models: list[MergedModel]
    rule: str | None
    picked: FiniteFloat | None
    # which values of a reward are better, by its name: `higher`, `lower` or `neither`
    sides: dict[str, str] = Field(default_factory=dict)
