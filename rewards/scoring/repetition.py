from collections.abc import Hashable, Sequence
from typing import Any, Literal, get_args

from rewards.reading.responses import Completion, completion_text

Unit = Literal["tokens", "words"]
PUNCTUATION = ".,:;!?\"'()[]{}<>*_`-"


class Repetition:
    """Punishes repeated n-grams: `max_penalty * (1 - distinct n-grams / n-grams)` (arXiv 2502.03373, Appendix C.2).

    0 without a repetition; a response that says one n-gram over and over comes close to `max_penalty`. The trace and
    the answer count alike. A response shorter than one n-gram has nothing to repeat and gets 0.

    Ambiguities: tables, lists and code repeat for good reasons; with tokens the number depends on the tokenizer. With
    words, case and punctuation around a word do not count, and a script without spaces is one long word.

    Args:
        ngram_size: Length n of an n-gram.
        max_penalty: Reward of endless repetition, 0 or below.
        unit: What an n-gram is made of: `tokens` or `words`.
    """

    __name__ = "repetition"

    def __init__(self, ngram_size: int = 3, max_penalty: float = -1.0, unit: Unit = "tokens") -> None:
        if isinstance(ngram_size, bool) or not isinstance(ngram_size, int) or ngram_size < 1:
            raise ValueError(f"`ngram_size` must be a whole number, at least 1; got {ngram_size!r}.")
        if isinstance(max_penalty, bool) or not isinstance(max_penalty, int | float):
            raise ValueError(f"`max_penalty` must be a number, got {max_penalty!r}.")
        if not float("-inf") < max_penalty <= 0:
            raise ValueError(f"`max_penalty` must be finite and at most 0, got {max_penalty}. Write -1.0, not 1.0.")
        if unit not in get_args(Unit):
            raise ValueError(f"`unit` must be one of {', '.join(get_args(Unit))}; got {unit!r}.")
        self.ngram_size = ngram_size
        self.max_penalty = max_penalty
        self.unit = unit

    def __call__(
        self, completions: Sequence[Completion], completion_ids: Sequence[Sequence[int]] | None = None, **kwargs: Any
    ) -> list[float]:
        """Scores completions: their text with `unit="words"`, else the tokens in `completion_ids`.

        Example:
            >>> Repetition(ngram_size=2)(["", ""], completion_ids=[[1, 2, 3], [5, 5, 5, 5, 5]])
            [0.0, -0.75]
            >>> Repetition(ngram_size=1, unit="words")(["So, so, so: no."])
            [-0.5]
        """
        if self.unit == "words":
            return [self._punish(words(completion_text(completion))) for completion in completions]
        if completion_ids is None:
            raise ValueError("`repetition` reads tokens and needs `completion_ids`. Pass them, or use `unit: words`.")
        return [self._punish(ids) for ids in completion_ids]

    def _punish(self, units: Sequence[Hashable]) -> float:
        share = repeated_share(units, self.ngram_size)
        return share * self.max_penalty if share else 0.0


def repeated_share(units: Sequence[Hashable], ngram_size: int) -> float:
    """Returns the share of n-grams that occurred before; 0 for a text shorter than one.

    Example:
        >>> repeated_share(list("ababab"), 2)
        0.6
    """
    count = len(units) - ngram_size + 1
    if count < 1:
        return 0.0
    return 1 - len({tuple(units[i : i + ngram_size]) for i in range(count)}) / count


def words(text: str) -> list[str]:
    """Splits a text into words, in lower case and without the punctuation around them.

    Example:
        >>> words("So, it's 3.5 -- so!")
        ['so', "it's", '3.5', 'so']
    """
    stripped = (word.strip(PUNCTUATION) for word in text.casefold().split())
    return [word for word in stripped if word]


repetition = Repetition()
