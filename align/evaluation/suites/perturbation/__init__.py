"""Whether answers flip when a question is perturbed, by family, beyond how often they flip when it is asked twice."""

from align.evaluation.suites.suite import RowSuite

PERTURBATION = RowSuite(
    name="perturbation",
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
    options=("families",),
    asks_options=True,
    samples=(2, 1.0),
)
