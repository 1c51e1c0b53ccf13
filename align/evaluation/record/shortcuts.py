"""What text features and phrases do to the margins of a reward model, as `evaluation.json` holds it."""

from align.evaluation.record.values import Part, Row


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
