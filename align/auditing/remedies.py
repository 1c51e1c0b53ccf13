"""What can be done about a cue, by the kind of data and of feature."""

import re

from align.methods import METHODS


def remedies(kind: str, where: str, feature: str, name: str, surplus: int) -> list[str]:
    """Lists what can be done, the cheapest first.

    Args:
        kind: Of the rows.
        where: What has the feature.
        feature: Type of the feature.
        name: The feature.
        surplus: Rows with the cue that would have to go until the rest are no cue.
    """
    if feature == "place":
        return ["`dataset.shuffle_options: true` draws the order of the options, at no cost."]
    phrase = "" if feature == "count" else f" with the phrase {name!r}"
    found = []
    if kind == "pairs":
        method = next((each for each, record in METHODS.items() if record.makes_reward_model and record.augment), "")
        if method:
            found.append(
                f"Add ties{phrase} on either side: `align augment FILE --method {method}` makes neutral pairs."
            )
        found.append(f"Leave out about {surplus:,} of the pairs that have it on this side only, until both are even.")
        found.append(_audit_line(feature, name))
    elif kind == "questions":
        if where == "question":
            found.append("`dataset.shuffle_options: true` parts the letter from what the question says.")
        else:
            found.append(
                "Rewrite wrong options until they have it as often as right ones, or leave such questions out."
            )
        found.append(_audit_line(feature, name))
    elif kind == "outcomes":
        found.append(
            "If it moves the outcome without being what is wanted, count it into a column of its own and name that "
            "among `confounders`."
        )
    else:
        found.append(f"Leave out or add about {surplus:,} rows, until every label has it equally often.")
        found.append(_audit_line(feature, name))
    return found


def _audit_line(feature: str, name: str) -> str:
    """Words the line of a recipe that logs how often a policy says it."""
    if feature == "count":
        what = name.split(" ", 1)[-1]
        return f"Watch it in training: `audit_funcs: [./cues.py:count]`, which returns the {what} of each completion."
    pattern = r"\s*".join(map(re.escape, name.split(" ")))  # words and marks, with spaces between or without
    begins, ends = feature == "begins with", feature == "ends with"
    start = r"^\s*" if begins else r"\b" * (name[0].isalnum() and name.isascii())
    end = r"\s*$" if ends else r"\b" * (name[-1].isalnum() and name.isascii())
    code = f'float(bool(re.search(r"{start}{pattern}{end}", text.lower())))'
    return f"Watch it in training: `audit_funcs: [./cues.py:says]`, which returns `{code}` for each completion."
