"""Whether a model that knows a fact in one direction knows it in the other."""

from align.evaluation.options import OwnRows
from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite

_MEANINGS = {
    "reversal_gap": ("Reversal gap", "accuracy of forward prompts minus that of reverse ones, of the same facts", LOW),
    "reversal_gap/": ("Reversal gap", "of facts that were trained in both directions (control)", LOW),
    "reversal_gap_by_group/": ("Reversal gap in a group", "of facts of one group, without the control", LOW),
    "name_accuracy_by_group/": ("Name given in a group", "by direction, without the control", HIGH),
    "name_accuracy/": ("Name given", "answers that hold the true name or an alias, by direction; X_control: trained "
        "in both", HIGH),
}  # fmt: skip

REVERSAL = Suite(
    name="reversal",
    about="Whether a model that knows a fact in one direction knows it in the other.",
    options=OwnRows,
    rows="facts with a prompt in either direction",
    needs=(("subject", "forward", "reverse", "object"),),
    load="align.evaluation.suites.reversal.measure:load",
    measure="align.evaluation.suites.reversal.measure:measure",
    headline=("reversal_gap", "reversal_gap/control", "name_accuracy/"),
    compared="name_accuracy/reverse",
    meanings=_MEANINGS,
)
