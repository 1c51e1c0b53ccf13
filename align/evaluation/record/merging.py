"""What `merging.json` holds: what each weight of the tuned model is worth, and which one was picked."""

from pydantic import Field, FiniteFloat

from align.evaluation.record.answers import Cell, Metric, Part

MERGING_FILE = "merging.json"


class MergedModel(Part):
    """One weight.

    Attributes:
        alpha: Weight of the tuned model.
        name: In the evaluation.
        path: Where the model is; None if it was not kept.
        metrics: What was measured of it.
        against_base: Difference of the main metric to the base's, on the same items.
        against_tuned: The same to the tuned model's.
        gained: Ids of items that it has right and both parents have wrong; None where no value is right.
        lost: Ids of items that it has wrong and both parents have right.
    """

    alpha: FiniteFloat
    name: str
    path: str | None
    metrics: dict[Metric, Cell]
    against_base: Cell | None
    against_tuned: Cell | None
    gained: list[str] | None
    lost: list[str] | None


class MergingRecord(Part):
    """A sweep over weights; `rule` and `picked` are None where none was asked for, or none fits.

    `sides` says which values of a reward are better, by its name: `higher`, `lower` or `neither`.
    """

    format: int
    base: str
    tuned: str
    data: str
    metric: Metric
    questions: int
    models: list[MergedModel]
    rule: str | None
    picked: FiniteFloat | None
    sides: dict[str, str] = Field(default_factory=dict)
