"""Agreement of two answers as a reward where nobody knows the right one (as Co-rewarding, arXiv 2508.00410)."""

from collections.abc import Sequence
from typing import Any

from rewards.reading.options import can_shuffle
from rewards.scoring.text_accuracy import normalise_text


class AnswerAgreement:
    """Rewards an answer by the share of second answers, from the same trace and shuffled options, that are the same.

    No right answer is read. It ties the answer to its trace and teaches nothing that traces do not say; a trace that
    says the same of every question is paid in full, so that it needs a KL (`beta`) and labelled questions beside it.

    Example:
        >>> shown = [["iron", "gold"], ["iron", "gold"], ["iron", "Both A and B"]]
        >>> answer_agreement(first_choice=[1, 1, 0], second_choices=[[1, 0], None, [0]], options=shown)
        [0.5, 0.0, None]
    """

    __name__ = "answer_agreement"
    about_form = True  # no right answer moves it
    without_labels = True

    def needs_second_answer(self, first_is_correct: bool) -> bool:
        """Tells that every reward depends on second answers."""
        return True

    def __call__(
        self,
        completions: Sequence[Any] | None = None,
        options: Sequence[Sequence[str]] | None = None,
        first_choice: Sequence[int | None] | None = None,
        second_choices: Sequence[Sequence[int | None] | None] | None = None,
        first_text: Sequence[str | None] | None = None,
        second_texts: Sequence[Sequence[str | None] | None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions by the columns that `ACRETrainer` or, of texts, `TextACRETrainer` adds.

        A row that cannot be asked otherwise is None: its options cannot be shuffled, or no family changes its prompt.
        No answer, and one without a trace, earn 0. Raises `ValueError` without the columns.
        """
        if first_choice is not None and second_choices is not None and options is not None:
            rows = zip(first_choice, second_choices, options, strict=True)
            return [_share(first, seconds) if can_shuffle(shown) else None for first, seconds, shown in rows]
        if first_text is None or second_texts is None:
            raise ValueError(
                "`answer_agreement` needs columns that a second pass adds, `first_choice` and `second_choices`, or "
                "`first_text` and `second_texts`. Train with `method: acre`; `follows_trace` needs no second pass."
            )
        texts = zip(map(_words, first_text), second_texts, strict=True)
        return [
            None if first and seconds is None else _share(first, [*map(_words, seconds or ())])
            for first, seconds in texts
        ]


def _share(first: Any, seconds: Sequence[Any] | None) -> float:
    return 0.0 if first is None or not seconds else sum(each == first for each in seconds) / len(seconds)


def _words(text: str | None) -> str | None:
    return normalise_text(text or "") or None


answer_agreement = AnswerAgreement()
