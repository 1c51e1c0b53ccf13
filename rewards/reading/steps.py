"""The steps of a reasoning trace: its lines, or the sentences of one line."""

import re

from rewards.reading.traces import SENTENCE_END

_LINE = re.compile(r"[^\n]*(?:\n|$)")
_ONLY_A_NUMBER = re.compile(r"\W*\w{1,3}[.)]\s*")  # the end of a sentence it is not


def step_spans(trace: str) -> list[tuple[int, int]]:
    r"""Cuts a trace into steps, which are all of it between them; none is blank unless the trace is.

    Steps are lines, or sentences where there is one line only. The number of a step belongs to it.

    Example:
        >>> trace = "First, 2 + 2 = 4.\n\nSo 5."
        >>> [trace[start:end] for start, end in step_spans(trace)]
        ['First, 2 + 2 = 4.\n\n', 'So 5.']
        >>> [len(step_spans(each)) for each in ("It rusts. So iron.", "1. It rusts. 2. So iron.", "")]
        [2, 2, 0]
    """
    several = "\n" in trace.strip()
    ends = [match.end() for match in (_LINE if several else SENTENCE_END).finditer(trace)]
    spans: list[tuple[int, int]] = []
    start = 0
    for end in [*ends, len(trace)]:
        piece = trace[start:end]
        if not piece.strip() or (not several and end < len(trace) and _ONLY_A_NUMBER.fullmatch(piece)):
            if spans and not piece.strip() and end > start:
                spans[-1] = (spans[-1][0], end)
                start = end
            continue
        spans.append((start, end))
        start = end
    return spans


def steps_of(trace: str) -> list[str]:
    """Lists the steps of a trace as texts."""
    return [trace[start:end] for start, end in step_spans(trace)]
