"""Who knows what makes an answer better, and can change an answer in that alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from align.methods.crome.augmentation.replies import Attribute, Element, Verdict


class Case(NamedTuple):
    """A question with a better and a worse answer."""

    question: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Profile:
    """An attribute and what decides it in answers to one question.

    Attributes:
        attribute: Its name and weight.
        elements: Its causal elements; an oracle that needs none lists none.
    """

    attribute: Attribute
    elements: tuple[Element, ...] = ()


class UnansweredError(Exception):
    """What an oracle could not do.

    Args:
        reason: One of few, so that it can be counted.
        detail: What came instead.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class Oracle(Protocol):
    """Makes rubrics and edits; every method raises `UnansweredError` where there is no usable answer."""

    name: str  # for the record; holds no path of this machine and no secret

    async def rubric(self, case: Case) -> list[Attribute]:
        """Lists what counts in answers to the question, the heaviest first."""

    async def elements(self, case: Case, attribute: Attribute) -> tuple[Element, ...]:
        """Lists what decides an attribute."""

    async def edit(self, question: str, answer: str, profile: Profile, direction: str) -> str:
        """Writes an answer that is better (`upgrade`) or worse (`degrade`) in one attribute; the same is no edit."""

    async def verify(self, question: str, before: str, after: str, attribute: Attribute, direction: str) -> Verdict:
        """Judges an edit."""

    async def paraphrase(self, question: str, answer: str) -> str:
        """Says the same in other words."""

    async def align(self, case: Case, profiles: Sequence[Profile]) -> str:
        """Rewrites the worse answer so that it is as good as the better one in every attribute."""
