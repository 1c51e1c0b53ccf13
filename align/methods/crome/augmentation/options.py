"""The options of `align augment` that edits of one cause of quality have."""

from dataclasses import dataclass

from align.options import option


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """What is edited, and which ties are made."""

    num_attributes: int = option(5, "Attributes edited for each question, 1 to 5.", rare=True)
    neutrals: str = option(
        "irrelevant_query",
        "Ties, of irrelevant_query, paraphrase, causally_aligned, inserted_phrase (comma between), or none.",
    )
    ties_of: str = option("any", "Answers that irrelevant_query takes: any (also edited ones) or original.")
    phrases: str | None = option(None, "A file of phrases, one a line, in front of answers in such ties.")
    oracle: str | None = option(
        None,
        "In place of a model: path/to/rules.py:Rules, with rubric, edit and verify; or rrm, RRM's pairs.",
    )
