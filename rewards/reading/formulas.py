"""Finds the one formula a response answers with, as LaTeX; in doubt there is none."""

import re

from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat, parse_response

MAX_CHARACTERS = 1000
BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*+(?P<brace>\{)?")
WRAPPED = re.compile(r"\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)
DOLLAR = re.compile(r"(?<!\\)\$")
MINUS = str.maketrans("−–", "--")  # noqa: RUF001


def answered_formula(text: str, response_format: ResponseFormat = DEFAULT_FORMAT) -> str | None:
    r"""Finds the formula a response answers with.

    It is the content of the answer tags (or of the last line `Answer: ...`), or, in a response without them, of the
    `\boxed{...}` (or `\fbox{...}`) behind the trace. Boxes in the trace do not count.

    Example:
        >>> answered_formula(r"<think>\boxed{1}</think>So \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
        >>> answered_formula(r"\boxed{1} or \boxed{2}") is None
        True
    """
    answer = parse_response(text, response_format).answer
    if answer is not None:
        return single_formula(answer)
    opened, closed = f"<{response_format.think_tag}>", f"</{response_format.think_tag}>"
    body = text.rpartition(closed)[2]
    tags = (opened, f"<{response_format.answer_tag}>", f"</{response_format.answer_tag}>")
    if not BOXED.search(body) or any(tag in body for tag in tags):
        return None
    return single_formula(body)


def single_formula(text: str) -> str | None:
    r"""Reads a text as one formula; None if it is empty, has several, or is longer than 1000 characters.

    If the text has `\boxed{...}`, the formula is what the box holds; several boxes count only if all hold the same.
    Else it is the whole text, without the `$`, `\(` or `\[` around it.

    Example:
        >>> single_formula("$x + 1$."), single_formula("$5$ or $6$")
        ('x + 1', None)
    """
    if BOXED.search(text):
        boxes = _boxes(text)
        if boxes is None or len({"".join(box.split()) for box in boxes}) != 1:
            return None
        text = boxes[-1]
    text = text.translate(MINUS).strip().removesuffix(".").strip()
    if wrapped := WRAPPED.fullmatch(text):
        text = next(group for group in wrapped.groups() if group is not None).strip()
    if not text or len(text) > MAX_CHARACTERS or DOLLAR.search(text) or "\\(" in text or "\\[" in text:
        return None
    return text


def _boxes(text: str) -> list[str] | None:
    """Lists what the boxes hold; None if one has no braces, or they never close."""
    boxes, position = [], 0
    while box := BOXED.search(text, position):
        end = _closing_brace(text, box.end()) if box["brace"] else None
        if end is None:
            return None
        boxes.append(text[box.end() : end])
        position = end
    return boxes


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    return None
