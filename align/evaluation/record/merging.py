"""The file `merging.json`: what each weight of a merge is worth."""

from pydantic import Field, FiniteFloat

from align.evaluation.record.cells import Cell, Part

MERGING_FILE = "merging.json"


class MergedModel(Part):
    """One weight."""

    alpha: FiniteFloat  # weight of the tuned model
    name: str
    path: str | None  # None if it was not kept
    metrics: dict[str, Cell]
    against_base: Cell | None  # difference of the main metric to the base's, on the same items
    against_tuned: Cell | None


class MergingRecord(Part):
    """A sweep over weights; `rule` and `picked` are None where none was asked for, or none fits."""

    format: int
    base: str
    tuned: str
    data: str
    metric: str
    questions: int
    models: list[MergedModel]
    rule: str | None
    picked: FiniteFloat | None
    # which values of a reward are better, by its name: `higher`, `lower` or `neither`
    sides: dict[str, str] = Field(default_factory=dict)
