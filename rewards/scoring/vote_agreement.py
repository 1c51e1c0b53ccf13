"""The commonest answer of a group as its label (TTRL, arXiv 2504.16084)."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.reading.options import parse_choice
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.scoring.text_accuracy import normalise_text

VOTES = ("first", "second")
_FEWEST = 2  # votes, below which an answer would be its own label


@dataclass(eq=False)
class VoteAgreement:
    """Rewards an answer that is the commonest of its group with 1.0, and another, no answer included, with 0.0.

    No right answer is read. Options are compared by their texts, other answers as `normalise_text` writes them. A tie
    gives no label, and the group is None. What most say becomes what all say, right or wrong: where a policy likes a
    letter, a vote over one order of the options teaches the letter. So a recipe needs orders that differ within the
    group: `dataset.shuffle_options: within_group`, or second answers with a shuffle each.

    Args:
        votes: Whether `first` answers vote, or `second` ones, which `method: acre` asks for.
        fixed_order: Whether to vote although a group sees its options in one order.
    """

    __name__ = "vote_agreement"
    whole_batch = True  # an answer is held against those of its group
    about_form = True  # no right answer moves it
    without_labels = True

    votes: str = "first"
    fixed_order: bool = False
    response_format: ResponseFormat = DEFAULT_FORMAT

    def __post_init__(self) -> None:
        if self.votes not in VOTES:
            raise ValueError(f"`votes` must be `first` or `second`, got {self.votes!r}.")

    def needs_second_answer(self, first_is_correct: bool) -> bool:
        """Tells whether second answers vote."""
        return self.votes == "second"

    def __call__(
        self,
        completions: Sequence[Completion],
        prompts: Sequence[Any] | None = None,
        id: Sequence[Hashable] | None = None,
        options: Sequence[Sequence[str] | None] | None = None,
        second_choices: Sequence[Sequence[int | None] | None] | None = None,
        second_texts: Sequence[Sequence[str | None] | None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; those of a group have one `id`, else one prompt, and are in one call.

        Raises `ValueError` if second answers are to vote and there are none.

        Example:
            >>> shown = [["iron", "gold"], ["gold", "iron"], ["iron", "gold"]]
            >>> vote_agreement(["Answer: A", "Answer: B", "Answer: B"], ["Which rusts?"] * 3, options=shown)
            [1.0, 1.0, 0.0]
        """
        shown = options if options is not None else [None] * len(completions)
        answers = [self._answer(text, each) for text, each in zip(completions, shown, strict=True)]
        votes = [[each] for each in answers]
        if self.votes == "second":
            votes = _seconds(shown, second_choices, second_texts)
        groups = map(str, id if id is not None else prompts or [""] * len(completions))
        cast: dict[str, Counter[str]] = defaultdict(Counter)
        names = [*groups]
        for name, given in zip(names, votes, strict=True):
            cast[name].update(each for each in given if each is not None)
        labels = {name: self._label(counted) for name, counted in cast.items()}
        found = zip(names, answers, strict=True)
        return [None if labels[name] is None else float(answer == labels[name]) for name, answer in found]

    def _answer(self, completion: Completion, options: Sequence[str] | None) -> str | None:
        answer = parse_response(completion_text(completion), self.response_format).answer
        if options is None:
            return normalise_text(answer or "") or None
        choice = parse_choice(answer, options)
        return None if choice is None else options[choice]

    def _label(self, votes: Counter[str]) -> str | None:
        if votes.total() < _FEWEST:
            return None
        (label, most), (_, next_most) = [*votes.most_common(2), ("", 0)][:2]
        return label if most > next_most else None


def _seconds(
    options: Sequence[Sequence[str] | None],
    choices: Sequence[Sequence[int | None] | None] | None,
    texts: Sequence[Sequence[str | None] | None] | None,
) -> list[list[str | None]]:
    """Lists the second answers of each row, as texts."""
    if choices is None and texts is None:
        raise ValueError(
            "`vote_agreement` with `votes: second` needs second answers, the columns `second_choices` or "
            "`second_texts`. Train with `method: acre`, or let the first answers vote."
        )
    if choices is None:
        return [[normalise_text(each or "") or None for each in row or ()] for row in texts or ()]
    rows = zip(options, choices, strict=True)
    return [[shown[each] for each in row or () if each is not None and shown] for shown, row in rows]


vote_agreement = VoteAgreement()
