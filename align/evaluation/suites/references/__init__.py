"""Whether a model names the same authors of a title each time it is asked, more than it does of other titles."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.statistics.glossary import HIGH
from align.evaluation.suite import Suite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class ReferencesOptions(OwnRows):
    """What is measured."""

    prompt_template: str | None = option(None, "The prompt, with {title} once.")


_MEANINGS = {
    "reference_consistency": ("Reference consistency", "overlap of authors among samples of one title minus that "
        "across titles, as rewarded", HIGH),
    "reference_consistency/": ("Reference consistency in a group", "of the titles of one group", None),
    "reference_agreement": ("Agreement within a title", "the first term of that difference", None),
    "reference_chance": ("Agreement with other titles", "the second one", None),
    "reference_auc": ("Real against invented", "pairs whose real title is more consistent than the invented one; a "
        "tie is half", HIGH),
    "reference_answered": ("Authors named", "responses that name somebody", None),
    "reference_authors_right": ("Authors right", "overlap with the true authors, where these are given", HIGH),
}  # fmt: skip

REFERENCES = Suite(
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
    meanings=_MEANINGS,
)
