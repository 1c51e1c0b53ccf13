"""Whether a model that knows a fact in one direction knows it in the other."""

from align.evaluation.suites.suite import RowSuite

REVERSAL = RowSuite(
    name="reversal",
    rows="facts with a prompt in either direction",
    needs=(("subject", "forward", "reverse", "object"),),
    load="align.evaluation.suites.reversal.rows:load",
    measure="align.evaluation.suites.reversal.measure:measure",
    headline=("reversal_gap", "reversal_gap/control", "name_accuracy/", "name_advantage/"),
    compared="name_accuracy/reverse",
    options=("control_data",),
    reads_likelihoods=True,
)
