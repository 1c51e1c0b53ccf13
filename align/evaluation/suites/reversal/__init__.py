"""Whether a model that knows a fact in one direction knows it in the other."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.suite import RowSuite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class ReversalOptions(OwnRows):
    """What is measured."""

    control_data: str | None = option(
        None, "Rows that were trained in both directions; else those whose column `control` is true."
    )


REVERSAL = RowSuite(
    name="reversal",
    about="Whether a model that knows a fact in one direction knows it in the other.",
    options=ReversalOptions,
    rows="facts with a prompt in either direction",
    needs=(("subject", "forward", "reverse", "object"),),
    load="align.evaluation.suites.reversal.measure:load",
    measure="align.evaluation.suites.reversal.measure:measure",
    headline=("reversal_gap", "reversal_gap/control", "name_accuracy/", "name_advantage/"),
    compared="name_accuracy/reverse",
    reads_likelihoods=True,
)
