"""Which letter is right: of questions, and of prompts that show options and are answered by a letter or by one."""

from collections.abc import Sequence

import numpy as np

from align.auditing.entry import Entry
from rewards.reading.options import parse_choice, split_options
from rewards.reading.responses import parse_response
from rewards.reading.traces import letter_mentions, stated_choice


def chosen_by(trace: str, options: Sequence[str]) -> int | None:
    """Says which option a trace comes to: by its answer if it has one, else its only letter, or what it states last.

    Example:
        >>> traces = ("<think>x</think><answer>B</answer>", "So iron.", "The answer is B.", "x")
        >>> [chosen_by(each, ["iron", "gold"]) for each in traces]
        [1, 0, 1, None]
    """
    answer = parse_response(trace).answer
    found = parse_choice(trace if answer is None else answer, options)
    if found is not None or answer is not None:
        return found
    named = {each.option for each in letter_mentions(trace, len(options))}
    if len(named) > 1:  # a trace that goes through the options
        return None
    return named.pop() if named else stated_choice(trace, options)


def letter_of(entry: Entry, kind: str) -> tuple[int, int] | None:
    """Returns how many options a row shows and which is right; None where no letter says so."""
    if kind in ("questions", "prompts") and entry.gold is not None:
        return len(entry.sides), entry.gold
    said = entry.label if kind == "prompts" else entry.sides[0] if kind == "sft" else None
    options = split_options(entry.prompt)[1] if said else ()
    found = chosen_by(said or "", options)
    return None if found is None else (len(options), found)


def letters_p_value(counts: Sequence[int]) -> float:
    """Tests whether K letters are right equally often: each by a two-sided binomial test, times K (Bonferroni).

    Example:
        >>> f"{letters_p_value([23, 0, 1, 0, 0]):.0e}", letters_p_value([6, 6, 6, 6])
        ('2e-14', 1.0)
    """
    from scipy.special import bdtr, bdtrc  # `scipy.stats` says the same and takes a second to import

    of, num, even = np.array(counts), sum(counts), 1 / len(counts)
    tails = np.minimum(bdtr(of, num, even), bdtrc(of - 1, num, even))
    return float(min(1.0, 2 * len(counts) * tails.min()))
