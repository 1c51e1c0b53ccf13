"""Whether a model names the same authors of a title each time it is asked, more than it does of other titles."""

from align.evaluation.suites.suite import RowSuite

REFERENCES = RowSuite(
    name="references",
    rows="titles of references",
    needs=(("title",),),
    load="align.evaluation.suites.references.rows:load",
    measure="align.evaluation.suites.references.measure:measure",
    headline=("reference_consistency", "reference_auc", "reference_answered"),
    options=("prompt_template",),
    samples=(3, 1.0),
    least_samples=2,
)
