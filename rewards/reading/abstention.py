"""Whether a text says that it does not know."""

import re

# "I do not know", "cannot be determined", "no data", "unknown": what English answers say of what they were not told.
_ABSTAINS = re.compile(
    r"\b(?:(?:do|does|did|could|can|would|will) ?n[o']t|cannot|can ?not|unable to|not able to|no way to)"
    r"(?: \w+){0,2} (?:know|say|tell|answer|determine|find|look|access|retrieve|get|provide)"
    r"|\bcannot be (?:known|said|told|answered|determined|found|looked up|retrieved)"
    r"|\b(?:is|are|was|were) (?:not (?:known|available)|unknown|unavailable)"
    r"|^\W*(?:(?:not (?:known|available|sure))|unknown|unavailable|no (?:data|information|answer|result)|n/a)\W*$",
    re.IGNORECASE,
)


def abstains(text: str | None) -> bool:
    """Tells whether a text says, in English, that the answer is not known.

    Example:
        >>> [abstains(text) for text in ("I don't know.", "The price is unavailable", "unknown", "No", "17", None)]
        [True, True, True, False, False, False]
    """
    return bool(text) and _ABSTAINS.search(" ".join(str(text).replace("’", "'").split())) is not None  # noqa: RUF001
