import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards.reading.numbers import SAME_SIGN
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response

WRAPPERS = ("**", "*", '"', "'", "$", "_")
ARTICLE = re.compile(r"\b(?:a|an|the)\b")
NO_ACCENT_MARK = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})  # noqa: RUF001


def normalise_text(text: str, *, ignore_articles: bool = False, ignore_accents: bool = False) -> str:
    """Writes a text in the form in which two answers are compared.

    In this order: NFC; typographic quotes and dashes become plain ones; invisible characters go; runs of whitespace
    become one space; quotes, asterisks, underscores or dollars around the whole go, and so do full stops at its end;
    lower case; if asked, accents, and a, an and the. Everything else stays, so `C`, `C++` and `-5` differ from `c#`
    and `5`.

    Example:
        >>> normalise_text(" **The  Beatles.** "), normalise_text("The Beatles", ignore_articles=True)
        ('the beatles', 'beatles')
    """
    text = " ".join(unicodedata.normalize("NFC", text).translate(SAME_SIGN).split())
    text = _unwrap(text).casefold()
    if ignore_accents:
        text = strip_accents(text)
    if ignore_articles:
        text = " ".join(ARTICLE.sub(" ", text).split()) or text  # the band called "The The" keeps its name
    return text


def strip_accents(text: str) -> str:
    """Removes accents from lower-case letters.

    Example:
        >>> strip_accents("josé łukasiewicz")
        'jose lukasiewicz'
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(NO_ACCENT_MARK))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@dataclass(eq=False)
class TextAccuracy:
    """Rewards an answer that is the reference text with 1.0 and every other, no answer included, with 0.0.

    The whole answer has to be the text, as `normalise_text` writes both. A longer answer that contains it, or several
    texts, earn nothing ("Paris or London", "not Paris").

    Ambiguities: an answer with its explanation in the tags is wrong; a synonym is wrong unless the row lists it; an
    answer that differs from the reference only by case, outer quotes or a full stop is right.

    Args:
        ignore_articles: Whether a, an and the do not count.
        ignore_accents: Whether accents do not count.
    """

    __name__ = "text_accuracy"

    ignore_articles: bool = False
    ignore_accents: bool = False
    response_format: ResponseFormat = DEFAULT_FORMAT

    def __call__(
        self, completions: Sequence[Completion], answer: Sequence[str | Sequence[str] | None], **kwargs: Any
    ) -> list[float | None]:
        """Scores completions; a row whose `answer` is None or says nothing is skipped.

        An `answer` is a text, or a list of texts of which each is right. Raises `TypeError` if it is neither.

        Example:
            >>> text_accuracy(["<answer>paris.</answer>", "Answer: Paris or London"], ["Paris", "Paris"])
            [1.0, 0.0]
        """
        return [self._score(completion, gold) for completion, gold in zip(completions, answer, strict=True)]

    def _score(self, completion: Completion, gold: str | Sequence[str] | None) -> float | None:
        accepted = {self._normalise(text) for text in accepted_texts(gold)} - {""}
        if not accepted:
            return None
        answer = parse_response(completion_text(completion), self.response_format).answer
        return float(answer is not None and self._normalise(answer) in accepted)

    def _normalise(self, text: str) -> str:
        return normalise_text(text, ignore_articles=self.ignore_articles, ignore_accents=self.ignore_accents)


def accepted_texts(gold: str | Sequence[str] | None) -> list[str]:
    """Lists the texts a row accepts; raises `TypeError` if they are not texts."""
    texts = [] if gold is None else [gold] if isinstance(gold, str) else gold
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise TypeError(
            f"Column `answer` must hold a text or a list of accepted texts, got {gold!r:.120}. "
            "An index into `options` is read by `accuracy`, a number by `number_accuracy`."
        )
    return list(texts)


def _unwrap(text: str) -> str:
    """Removes what stands around the whole text, again and again, and full stops at its end."""
    while True:
        stripped = text.rstrip(". ")
        for mark in WRAPPERS:
            inner = stripped[len(mark) : -len(mark)]
            if inner and stripped == f"{mark}{inner}{mark}" and mark not in inner:
                stripped = inner.strip()
                break
        if stripped == text:
            return text
        text = stripped


text_accuracy = TextAccuracy()
