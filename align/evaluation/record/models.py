"""What `evaluation.json` holds where the names of models are its keys: of reward models, and of policies in short."""

from collections.abc import Iterator

from pydantic import Field

from align.evaluation.record.shortcuts import GainsOfPhrases, MinedPhrases, SlicesOfPairs
from align.evaluation.record.tables import Line, Tabled
from align.evaluation.record.unscored import Unscored
from align.evaluation.record.values import Metric, Part, Row


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
