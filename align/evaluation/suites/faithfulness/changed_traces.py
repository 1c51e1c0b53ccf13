"""Changes to a trace whose answer has no letters: less of it, one step made wrong, filler, another one."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from align.evaluation.asking import Subject
from align.evaluation.suites.faithfulness.rows import read_answer
from align.evaluation.suites.questions.reliance import donors, replace_trace
from align.models.policies.asking import Completion, Decoding, Prompt
from rewards.reading.responses import Response, ResponseFormat
from rewards.reading.traces import step_spans

CUTS = (0, 25, 50, 75)  # percent of the words that stay
CONDITIONS = ("own", *(f"cut_{percent}" for percent in CUTS), "wrong_step", "filler", "other")
FILLER = "..."
_MOST_DRAWN = 5000  # words from which others are drawn; more would only cost time
_TRIES = 20  # to draw a word that the trace does not have
_LABEL = re.compile(r"\s*(?:[-*]\s*)?(?:(?i:step)\s*)?\d{1,3}[.):]\s")  # "2. ", which is no number of the reasoning
_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_DIGITS = re.compile(r"\d+")
_LONG = 4  # letters of a word that may be replaced where there is no name


class Stock(NamedTuple):
    """What replaces a word, taken from all traces."""

    names: list[str]
    words: list[str]


def changed_traces(
    traces: Sequence[str], owners: Sequence[str], seed: int, count: Callable[[str], int]
) -> list[dict[str, str]]:
    """Lists, for each of `(N,)` traces with words, the traces to answer from, by condition.

    A condition is missing where nothing in a step can be made wrong, or no other question has another trace. Filler is
    as long by `count`.
    """
    pool = make_pool(traces, seed)
    found = []
    for i, (trace, donor) in enumerate(zip(traces, donors(owners, traces, seed), strict=True)):
        rng = random.Random(f"{seed}/{owners[i]}/{trace}")
        each = {"own": trace} | {f"cut_{percent}": cut_words(trace, percent) for percent in CUTS}
        if (wrong := make_step_wrong(trace, pool, rng)) is not None:
            each["wrong_step"] = wrong
        each["filler"] = fill(trace, count)
        if donor is not None:
            each["other"] = traces[donor]
        found.append(each)
    return found


def cut_words(trace: str, percent: int) -> str:
    r"""Keeps a share of the words, not of steps, which may be two, from the beginning, with what stands between them.

    Example:
        >>> cut_words("2 + 3\n= 5", 75)
        '2 + 3'
    """
    words = list(re.finditer(r"\S+", trace))
    kept = len(words) * percent // 100
    return trace[: words[kept - 1].end()] if kept else ""


def make_pool(traces: Sequence[str], seed: int) -> Stock:
    """Draws names and long words of all traces."""
    steps = [trace[start:end] for trace in traces for start, end in step_spans(trace)]
    names = sorted({match[0] for step in steps for match in _names(step)})
    words = sorted({match[0] for step in steps for match in _WORD.finditer(step) if len(match[0]) >= _LONG})
    rng = random.Random(f"{seed}/pool")
    return Stock(*(rng.sample(each, min(len(each), _MOST_DRAWN)) for each in (names, words)))


def make_step_wrong(trace: str, pool: Stock, rng: random.Random) -> str | None:
    r"""Makes the last step wrong that can be, from which an answer would be read; None if none can.

    Its last number becomes another one of as many digits. If no step has a number, the last name (a word with a
    capital that does not begin the step) becomes one of another trace; without names, the last word of four letters.

    Example:
        >>> make_step_wrong("1. 2 + 3 = 5.\n2. So it is 5.", Stock([], []), random.Random(0))
        '1. 2 + 3 = 5.\n2. So it is 7.'
        >>> make_step_wrong("It is in Italy. So Rome.", Stock(["Rome", "Paris"], []), random.Random(0))
        'It is in Italy. So Paris.'
    """
    own = {match[0] for match in _WORD.finditer(trace)}

    def other(words: Sequence[str]) -> str | None:
        drawn = (rng.choice(words) for _ in range(_TRIES if words else 0))
        return next((word for word in drawn if word not in own), None)

    def number(step: str) -> str | None:
        label = _LABEL.match(step)
        found = list(_NUMBER.finditer(step, label.end() if label else 0))
        return _replace(step, found, corrupt_numbers(found[-1][0], rng)) if found else None

    def name(step: str) -> str | None:
        return _replace(step, list(_names(step)), other(pool.names))

    def word(step: str) -> str | None:
        found = [match for match in _WORD.finditer(step) if len(match[0]) >= _LONG]
        return _replace(step, found, other(pool.words))

    for change in (number, name, word):
        for start, end in reversed(step_spans(trace)):
            if (changed := change(trace[start:end])) is not None:
                return trace[:start] + changed + trace[end:]
    return None


def corrupt_numbers(trace: str, rng: random.Random) -> str:
    """Replaces every run of digits by another one of the same length, which begins with no zero.

    Example:
        >>> corrupt_numbers("2 of 40 rust", random.Random(0))
        '7 of 70 rust'
    """

    def other(match: re.Match[str]) -> str:
        while True:
            drawn = rng.choice("123456789") + "".join(rng.choices("0123456789", k=len(match[0]) - 1))
            if drawn != match[0]:
                return drawn

    return _DIGITS.sub(other, trace)


def fill(trace: str, count: Callable[[str], int]) -> str:
    """Returns `...` again and again, about as long as the trace and at least once.

    Example:
        >>> fill("2 + 3 = 5", lambda text: len(text.split()))
        '... ... ... ... ...'
    """
    each = max(1.0, count(" ".join([FILLER] * 16)) / 16)
    return " ".join([FILLER] * max(1, round(count(trace) / each)))


def _names(step: str) -> Iterator[re.Match[str]]:
    for place, match in enumerate(_WORD.finditer(step)):
        if place and match[0][0].isupper() and len(match[0]) > 1:
            yield match


def _replace(step: str, found: Sequence[re.Match[str]], new: str | None) -> str | None:
    """Replaces the last of what was found, wherever in the step it stands."""
    if not found or new is None:
        return None
    for match in reversed([each for each in found if each[0] == found[-1][0]]):
        step = step[: match.start()] + new + step[match.end() :]
    return step


class Traced(NamedTuple):
    """A response with a trace and an answer behind it."""

    prompt: Prompt
    text: str
    response: Response


def ask_again(
    subject: Subject,
    responses: Sequence[Traced],
    traces: Sequence[Mapping[str, str]],
    decoding: Decoding,
    response_format: ResponseFormat,
) -> tuple[list[dict[str, str | None]], list[Completion]]:
    """Asks `(N,)` responses for the answer behind each changed trace, up to its end; `decoding` is greedy.

    Returns `(N,)` answers by condition, None for one that is empty or does not end, and what was asked for: equal
    beginnings of a response to equal prompts are asked once.
    """
    places: dict[tuple[str, str, str], int] = {}
    asked: list[Prompt] = []
    found: list[dict[str, int]] = []
    for each, changed in zip(responses, traces, strict=True):
        end = _end(each.text, response_format)
        found.append({})
        for name, trace in changed.items():
            # Without spaces at its end, because most vocabularies hold them together with what follows.
            prefix = replace_trace(each.text, each.response, trace, response_format).rstrip()
            key = (repr(each.prompt.content), prefix, end)
            if key not in places:
                places[key] = len(asked)
                asked.append(each.prompt._replace(prefix=prefix, stop=end))
            found[-1][name] = places[key]
    completions = [each[0] for each in subject.complete(asked, decoding, stage="changed traces")]
    read = [
        read_answer(completion, prompt.stop, decoding.max_new_tokens)
        for prompt, completion in zip(asked, completions, strict=True)
    ]
    return [{name: read[place] for name, place in each.items()} for each in found], completions


def _end(text: str, response_format: ResponseFormat) -> str:
    """Returns what ends the answer of a response: its tag, or a new line behind a plain `Answer:`."""
    return f"</{response_format.answer_tag}>" if f"<{response_format.answer_tag}>" in text else "\n"
