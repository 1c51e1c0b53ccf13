"""Whether a model names the same authors of a title each time it is asked, more than it does of other titles."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.suite import RowSuite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class ReferencesOptions(OwnRows):
    """What is measured."""

    prompt_template: str | None = option(None, "The prompt, with {title} once.")


REFERENCES = RowSuite(
    name="references",
    about="Whether a model names the same authors of a title each time it is asked.",
    options=ReferencesOptions,
    rows="titles of references",
    needs=(("title",),),
    load="align.evaluation.suites.references.measure:load",
    measure="align.evaluation.suites.references.measure:measure",
    headline=("reference_consistency", "reference_auc", "reference_answered"),
    samples=(3, 1.0),
    least_samples=2,
)
