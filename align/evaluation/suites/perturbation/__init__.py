"""Whether answers flip when a question is perturbed, by family, beyond how often they flip when it is asked twice."""

from dataclasses import dataclass

from align.evaluation.options import WithOptions
from align.evaluation.suite import RowSuite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions(WithOptions):
    """What is measured."""

    families: list[str] | None = option(
        None,
        "Families of versions, names or file.py:function; several words. By default option_order whitespace "
        "distractor misleading_hint.",
    )


PERTURBATION = RowSuite(
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
)
