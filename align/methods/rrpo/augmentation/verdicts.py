"""Decides which responses are wrong."""

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

from align.errors import UserError
from align.methods.rrpo.augmentation.letters import named_letters
from align.methods.rrpo.augmentation.sources import Source
from align.models.samplers.sampler import Prompt
from rewards.catalog import resolve_reward
from rewards.running.contract import check_reward
from rewards.running.protocol import is_async, result_of

# Words as \w+, but every Chinese, Japanese or Korean character by itself, because no space parts them.
_WIDE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_LETTER = rf"[^\W{_WIDE}]"
_NUMBER = rf"(?<!{_LETTER})(?:-?\d++(?:\.\d++)*+|-?(?<!\.)\.\d++)(?!{_LETTER})"
WORD = re.compile(rf"{_NUMBER}|[{_WIDE}]|{_LETTER}+")
SIGN_IN_WORDS = re.compile(r"\b(?:minus|negative)\s+(?=\.?\d)")
DECIMAL = re.compile(r"(-?)(\d*)\.(\d+)")
ARTICLES = ("a", "an", "the")
RIGHT_SCORE = 0.5


class Check(Protocol):
    """Tells right responses from wrong ones."""

    name: str  # for the record

    def are_right(self, sources: Sequence[Source], responses: Sequence[str]) -> list[bool | None]:
        """Judges one response per source; None where there is no verdict."""


class ContainsReference:
    """A response is right if the reference occurs in it, word for word.

    Case, punctuation, thousands separators and an article before the reference do not count, but the sign and the
    decimals of a number do. A right answer in other words counts as wrong, and "not Paris" as right: a judge knows
    better. Where the row has options, the letter of the right one is right too, and one that contradicts itself or
    cannot be read gets no verdict.
    """

    name = "contains"

    def are_right(self, sources: Sequence[Source], responses: Sequence[str]) -> list[bool | None]:
        """Looks for each source's reference and the letters of its options in its response."""
        return [_is_right(each, response) for each, response in zip(sources, responses, strict=True)]


class RewardCheck:
    """A response is right if a reward gives it 0.5 or more; None and NaN are no verdict, as for TRL.

    Args:
        spec: A reward, as `rewards.catalog.resolve_reward` finds it.
        conversational: Whether it reads responses as messages.

    Raises:
        UserError: If there is no such reward.
    """

    def __init__(self, spec: str, *, conversational: bool) -> None:
        try:
            self._reward = resolve_reward(spec)
        except ValueError as error:
            raise UserError(f"`judge`: {error}") from error
        self.name = f"judge {spec}"
        self._conversational = conversational

    def try_out(self, sources: Sequence[Source]) -> None:
        """Calls the reward on a few references, before anything is paid for.

        Raises:
            UserError: If the reward cannot judge these rows.
        """
        rows = [_columns(sources)[i] | {"prompt": source.given.rendered} for i, source in enumerate(sources)]
        responses = [self._as_completion(source.reference) for source in sources]
        problems = check_reward(self._reward, rows, responses)
        if problems:
            raise UserError(" ".join(f"`judge`: {problem}" for problem in problems))

    def are_right(self, sources: Sequence[Source], responses: Sequence[str]) -> list[bool | None]:
        """Scores all responses in one call, as TRL calls a reward."""
        if not responses:
            return []
        values = _call(self._reward, sources, [self._as_completion(response) for response in responses], responses)
        if len(values) != len(responses):
            raise UserError(f"`judge` returned {len(values)} values for {len(responses)} responses. Return one each.")
        scores = [math.nan if value is None else float(value) for value in values]
        return [None if math.isnan(score) else score >= RIGHT_SCORE for score in scores]

    def _as_completion(self, response: str) -> Any:
        return [{"role": "assistant", "content": response}] if self._conversational else response


def names_wrong_answer(source: Source, text: str) -> bool:
    """Tells whether a text holds a known wrong answer that is no part of the right one."""
    return any(contains(text, wrong) and not contains(source.reference, wrong) for wrong in source.wrong_answers)


def _is_right(source: Source, response: str) -> bool | None:
    states_it = contains(response, source.reference)
    named = named_letters(response, source.options)
    letters, read = {each.letter for each in named}, {each.letter for each in named if each.is_read}
    if not letters:
        return states_it
    if letters != {source.letter}:
        return False if read and source.letter not in letters and not states_it else None
    if states_it:
        return True
    return True if read and not names_wrong_answer(source, response) else None


def contains(text: str, phrase: str) -> bool:
    """Tells whether a phrase occurs in a text as whole words.

    Example:
        >>> contains("It has 1,000 rooms.", "1000 rooms"), contains("A Parisian.", "Paris"), contains("-1.50", "1.5")
        (True, False, False)
    """
    words = normalised_words(phrase)
    if len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    if not words:  # nothing but symbols
        return phrase.strip() in text
    return f" {' '.join(words)} " in f" {' '.join(normalised_words(text))} "


def normalised_words(text: str) -> list[str]:
    """Takes a text apart into words without case, punctuation and thousands separators; a number is one word."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\N{MINUS SIGN}", "-")
    folded = SIGN_IN_WORDS.sub("-", re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", folded))
    return [_shortest(word) for word in WORD.findall(folded)]


def _shortest(word: str) -> str:
    """Writes a number in one way: 0.5 for .50, and 5 for 5.0."""
    if (found := DECIMAL.fullmatch(word)) is None:
        return word
    sign, whole, decimals = found[1], found[2] or "0", found[3].rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def _columns(sources: Sequence[Source]) -> list[dict[str, Any]]:
    names = {name: None for source in sources for name in source.columns}
    return [{name: source.columns.get(name) for name in names} for source in sources]


def _call(
    reward: Callable[..., Any], sources: Sequence[Source], completions: list[Any], responses: Sequence[str]
) -> list[Any]:
    """Calls a reward with the keyword arguments of TRL 1.16; bytes stand in for tokens."""
    rows = _columns(sources)
    prompts: list[Prompt] = [source.given.rendered for source in sources]
    arguments = {
        **{name: [row[name] for row in rows] for name in rows[0] if name not in ("prompt", "completion")},
        "prompts": prompts,
        "completions": completions,
        "completion_ids": [list(response.encode()) for response in responses],
        "trainer_state": SimpleNamespace(global_step=0, max_steps=1, epoch=0.0, num_train_epochs=1),
        "log_extra": lambda column, values: None,
        "log_metric": lambda name, value: None,
    }
    values = result_of(reward(**arguments)) if is_async(reward) else reward(**arguments)
    return list(values)
