"""What each estimator takes for granted, in words that a report can print."""

from typing import NamedTuple


class Words(NamedTuple):
    """An estimator's title, its assumptions, and what would break them."""

    title: str
    assumptions: tuple[str, ...]
    breaks_if: str


_ADDITIVE = "The confounders add to the outcome in proportion, the same for every text."

WORDS = {
    "iv": Words(
        "instrumental variables (two-stage least squares)",
        (
            _ADDITIVE,
            "Each instrument moves the confounder.",
            "An instrument reaches the outcome through the confounder only.",
            "Given the text, an instrument shares no cause with the outcome.",
            "Given the text, confounders without an instrument share no unobserved cause with the outcome.",
        ),
        "The instrument changes the outcome by another way than the confounder, or hardly moves the confounder; or an "
        "unobserved cause moves the confounder and the outcome while the text reacts to the confounder.",
    ),
    "dml": Words(
        "cross-fitted partially linear double machine learning",
        (
            _ADDITIVE,
            "Given the text, nothing unobserved moves both the confounder and the outcome.",
            "Given the text, the confounder still varies.",
            "The confounders are measured without error.",
            "Ridge regression on the features finds what the text says about outcome and confounder.",
        ),
        "An unobserved cause moves the confounder and the outcome, or the confounder is measured with error.",
    ),
    "fixed_effects": Words(
        "fixed effects by joint within-estimation",
        (
            _ADDITIVE,
            "Whatever else confounds is the same for all rows of a group and adds to their outcome.",
            "The features hold what the text is worth, in proportion, so that group effects leave it in place.",
            "Within groups, nothing unobserved moves both a confounder and the outcome.",
        ),
        "Something that confounds changes within a group, or no text is given, so that a group's effect contains what "
        "its texts are worth.",
    ),
    "ols": Words(
        "naive residual (ordinary least squares)",
        (_ADDITIVE, "The worth of a text is unrelated to the confounders, and so is everything else unobserved."),
        "Texts that are worth more appear where the confounder is high or low: the residual then takes away a part of "
        "what the text is worth.",
    ),
    "none": Words(
        "no correction",
        ("The confounders do not move the outcome, or are unrelated to the text.",),
        "A confounder moves the outcome and goes with some texts: the reward then pays those texts for it.",
    ),
}
