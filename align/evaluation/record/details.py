"""What suites say beside metrics: what reward models pay for, and what rules that read nothing find."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import Field

from align.evaluation.record.cells import Cell, Number, Part


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
    favour: Cell
    only_chosen: Cell
    only_rejected: Cell
    adjusted_p_value: Number  # Benjamini-Hochberg, the larger one of the tests with and without the length
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
    gain: Cell
    chosen: Cell
    rejected: Cell
    both: Cell
    p_value: Number
    adjusted_p_value: Number
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


class ScoringProfile(Part):
    """How a reward model was run."""

    model_type: str
    best_of_n: str | None
    texts_in_template: bool
    pairs_too_long: int
    pairs_without_number: int = 0  # read, and given no finite number

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

    slices: SlicesOfPairs | None = None
    phrases: GainsOfPhrases | None = None
    mined: MinedPhrases | None = None
    heuristics: list[SubsetOfPairs] | None = None
    scored: ScoringProfile | None = None
