"""Asks a policy chunk by chunk, and nothing twice."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from align.data.questions.multiple_choice import Question
from align.evaluation.kept_answers import KeptAnswers, Progress
from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import question_key
from align.models.policies.asking import Answered, Completion, Decoding, LetterQuestion, Policy, read
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat


class Asker:
    """Asks one policy, with its answers kept by item, in chunks of `policy.chunk_size`; see `KeptAnswers`.

    Args:
        policy: Whom to ask.
        response_format: Tags of trace and answer.
        cache: Where answers are kept; nowhere without it.
        progress: Called after each chunk.
        kept: What keeps them, in place of a cache and progress.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        response_format: ResponseFormat = DEFAULT_FORMAT,
        cache: AnswerCache | None = None,
        progress: Progress | None = None,
        kept: KeptAnswers | None = None,
    ) -> None:
        self.policy = policy
        self.response_format = response_format
        self._kept = kept or KeptAnswers(cache, progress)

    def respond(
        self, questions: Sequence[Question], decoding: Decoding, *, stage: str = "answering"
    ) -> list[list[Answered]]:
        """Returns S responses to each question."""

        def ask(part: list[int]) -> list[Any]:
            return self.policy.generate([questions[i] for i in part], decoding)

        lengths = [_length(question) for question in questions]
        profile = asdict(decoding)
        contents = [self._content("responses", [*question_key(each), profile]) for each in questions]
        found = self._kept.ask(stage, ask, contents, lengths, self.policy.chunk_size)
        return [
            [read(question, _completion(each), self.response_format) for each in responses]
            for question, responses in zip(questions, found, strict=True)
        ]

    def choose(self, stage: str, groups: Sequence[Sequence[LetterQuestion]]) -> list[list[int]]:
        """Returns the likeliest letter of each question as an index into its own options, by groups of one item."""

        def ask(part: list[int]) -> list[Any]:
            scores = iter(self.policy.score_letters([row for i in part for row in groups[i]]))
            return [[next(scores) for _ in groups[i]] for i in part]

        lengths = [_length(rows[0].question) if rows else 0 for rows in groups]
        contents = [self._content("letters", _letter_keys(rows)) for rows in groups]
        widest = max((len(rows) for rows in groups), default=1) or 1
        found = self._kept.ask(stage, ask, contents, lengths, max(1, 4 * self.policy.chunk_size // widest))
        return [
            [row.order[_best(scores)] for row, scores in zip(rows, answers, strict=True)]
            for rows, answers in zip(groups, found, strict=True)
        ]

    def _content(self, kind: str, content: Any) -> list[Any]:
        return [self.policy.fingerprint, kind, content]


def _completion(kept: Sequence[Any]) -> Completion:
    text, ids = kept
    return Completion(text, None if ids is None else tuple(ids))


def _letter_keys(rows: Sequence[LetterQuestion]) -> list[Any]:
    """Lists what the answers depend on, each thing that the rows share once."""
    questions = {id(row.question): question_key(row.question) for row in rows}
    firsts = {id(row.first): list(row.first.completion.ids or ()) for row in rows if row.first is not None}
    prefixes = list(dict.fromkeys(row.prefix for row in rows))
    shown = [[row.order, prefixes.index(row.prefix), row.first is not None] for row in rows]
    return [list(questions.values()), list(firsts.values()), prefixes, shown]


def _length(question: Question) -> int:
    return len(question.question) + sum(map(len, question.options))


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)
