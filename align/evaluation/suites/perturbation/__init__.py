"""Whether answers flip when a question is perturbed, by family, beyond how often they flip when it is asked twice."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows, WithOptions
from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions(WithOptions, OwnRows):
    """What is measured."""

    families: list[str] | None = option(
        None,
        "Families of versions, names or file.py:function; several words. By default option_order whitespace "
        "distractor misleading_hint.",
    )


_MEANINGS = {
    "worst_group/versions": ("Worst group of the versions", "accuracy of versions, mean over families, of the group "
        "with the lowest one", HIGH),
    "worst_group/flips": ("Most flips in a group", "highest flip rate of a group, mean over families; asking twice is "
        "not subtracted", LOW),
    "original_accuracy": ("Accuracy of the originals", "answers to the questions as they stand that are right; no "
        "valid one is wrong", HIGH),
    "original_accuracy/": ("Accuracy of the originals in a group", "of the questions of one group", HIGH),
    "flip_excess/": ("Flip excess", "flip rate minus that of asking twice, of families trained on (seen) or not", LOW),
    "flip_excess_by_group/": ("Flip excess in a group", "mean over families, of the questions of one group", LOW),
    "flip_rate/": ("Flip rate", "pairs of answers to original and version that differ; twice: to the original "
        "again", LOW),
    "perturbed_accuracy/": ("Accuracy of the versions", "right answers to versions, of questions that change", HIGH),
    "perturbed_accuracy_by_group/": ("Accuracy of the versions in a group", "of the questions of one group", HIGH),
}  # fmt: skip

PERTURBATION = Suite(
    name="perturbation",
    about="Whether answers flip when a question is perturbed, by family.",
    options=PerturbationOptions,
    rows="multiple-choice questions, or questions whose answer is a text",
    needs=(("question", "options", "answer"), ("question", "answer"), ("prompt", "answer")),
    load="align.evaluation.suites.perturbation.rows:load",
    measure="align.evaluation.suites.perturbation.measure:measure",
    headline=(
        "original_accuracy",
        "flip_excess/seen",
        "flip_excess/unseen",
        "flip_excess/unknown",
        "worst_group/versions",
        "worst_group/flips",
    ),
    compared="original_accuracy",
    samples=(2, 1.0),
    meanings=_MEANINGS,
)
