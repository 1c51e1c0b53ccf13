"""Names of columns as `columns` of a recipe gives them, in words that can be written into one."""

import json
import re
from collections.abc import Mapping

PLAIN = re.compile(r"[^\W\d][\w.-]*(?: [\w.-]+)*")  # what YAML reads as a text without quotes
READ_OTHERWISE = ("true", "false", "null", "yes", "no", "on", "off")


def word_mapping(columns: Mapping[str, str | list[str]]) -> str:
    """Writes an entry of `columns` as a recipe reads it, with names in quotes that YAML would read otherwise.

    Example:
        >>> print(word_mapping({"question": "The question", "options": ["A", " B"], "answer": "1"}))
        {question: The question, options: [A, " B"], answer: "1"}
    """
    return f"{{{', '.join(f'{_word_names(ours)}: {_word_names(theirs)}' for ours, theirs in columns.items())}}}"


def _word_names(names: str | list[str]) -> str:
    if not isinstance(names, str):
        return f"[{', '.join(map(_word_names, names))}]"
    if PLAIN.fullmatch(names) and names.lower() not in READ_OTHERWISE:
        return names
    return json.dumps(names, ensure_ascii=not names.isprintable())
