"""Policies that follow a rule, so that every probe's result is known before it runs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from align.data.questions.multiple_choice import Question
from align.models.policies.asking import Completion, Decoding, LetterQuestion
from rewards.reading.options import LETTERS, permute
from rewards.reading.responses import parse_response
from rewards.reading.traces import LETTER_MENTION, stated_choice


class ScriptedPolicy(ABC):
    """A policy that reasons by `think` and answers by `answer`; it answers alike however often it is asked.

    It may look at the right option of a question, as a policy that knows the answer does. Subclasses say both.
    """

    chunk_size = 256

    @property
    def fingerprint(self) -> str:
        """The name of the rule."""
        return type(self).__name__

    @abstractmethod
    def think(self, question: Question) -> str:
        """Returns the trace of a first answer."""

    @abstractmethod
    def answer(self, question: Question, order: Sequence[int], trace: str) -> int:
        """Returns the place of the option that is answered."""

    def generate(self, questions: Sequence[Question], decoding: Decoding) -> list[list[Completion]]:
        """Returns equal responses to each question."""
        return [[Completion(self._respond(question))] * decoding.num_samples for question in questions]

    def score_letters(self, rows: Sequence[LetterQuestion]) -> list[list[float]]:
        """Returns log-probability 0 for the letter answered and minus infinity for the others."""
        scores = []
        for row in rows:
            trace = parse_response(f"{row.prefix}A</answer>").trace or ""
            place = self.answer(row.question, row.order, trace)
            scores.append([0.0 if i == place else float("-inf") for i in range(len(row.order))])
        return scores

    def show_prompt(self, question: Question) -> str:
        """Returns the question."""
        return question.question

    def _respond(self, question: Question) -> str:
        trace = self.think(question)
        letter = LETTERS[self.answer(question, range(len(question.options)), trace)]
        return f"<think>{trace}</think><answer>{letter}</answer>"


class Solver(ScriptedPolicy):
    """Knows the answer and needs no trace."""

    def think(self, question: Question) -> str:
        """Gives nothing away."""
        return "I worked it out."

    def answer(self, question: Question, order: Sequence[int], trace: str) -> int:
        """Answers the right option."""
        return list(order).index(question.answer)


class TraceUser(ScriptedPolicy):
    """Reasons to the right option and answers what its trace states; without one it takes the first."""

    def think(self, question: Question) -> str:
        """States the right option."""
        return f"All considered it is {question.options[question.answer]}."

    def answer(self, question: Question, order: Sequence[int], trace: str) -> int:
        """Answers the option that the trace states."""
        return stated_choice(trace, permute(question.options, order)) or 0


class Copier(ScriptedPolicy):
    """Names the right letter in its trace and copies that letter, whatever stands behind it."""

    def think(self, question: Question) -> str:
        """Names the letter."""
        return f"The answer is {LETTERS[question.answer]}."

    def answer(self, question: Question, order: Sequence[int], trace: str) -> int:
        """Answers the letter that the trace names, or A."""
        mention = LETTER_MENTION.search(trace)
        letter = next((c for c in mention[mention.lastgroup or ""] if c.isalpha()), "A") if mention else "A"
        return min(LETTERS.index(letter), len(order) - 1)


class AlwaysA(ScriptedPolicy):
    """Answers the first option."""

    def think(self, question: Question) -> str:
        """Gives nothing away."""
        return "The first will do."

    def answer(self, question: Question, order: Sequence[int], trace: str) -> int:
        """Answers A."""
        return 0


class ConstantLiar(ScriptedPolicy):
    """Reasons to the right option and always answers the same wrong one."""

    def think(self, question: Question) -> str:
        """States the right option."""
        return f"All considered it is {question.options[question.answer]}."

    def answer(self, question: Question, order: Sequence[int], trace: str) -> int:
        """Answers the option after the right one."""
        return list(order).index((question.answer + 1) % len(question.options))
