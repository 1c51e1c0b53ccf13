"""Who knows what makes an answer better, can change an answer in that alone, and what it answers, checked."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, field_validator

from align.models.samplers.reply import Reply

NUM_ATTRIBUTES = 5
NUM_ELEMENTS = 5
WEIGHT_TOLERANCE = 0.05  # of the sum; what is nearer to 1 is rounding, and made exact

Text = Annotated[str, Field(min_length=1)]


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class Attribute(Reply, frozen=True):
    """Something that makes an answer to one question better or worse."""

    name: Text
    description: str = ""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # its share in the quality of an answer


class Rubric(Reply, frozen=True):
    """The attributes that count for one question; weights add up to 1."""

    attributes: Annotated[tuple[Attribute, ...], Field(min_length=1)]

    @field_validator("attributes")
    @classmethod
    def _check(cls, attributes: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
        if len({attribute.name.casefold() for attribute in attributes}) < len(attributes):
            raise ValueError("two attributes have the same name")
        total = sum(attribute.weight for attribute in attributes)
        if abs(total - 1) > WEIGHT_TOLERANCE:
            raise ValueError(f"the weights must add up to 1, and add up to {total:g}")
        return tuple(each.model_copy(update={"weight": each.weight / total}) for each in attributes)

    def heaviest(self, count: int) -> list[Attribute]:
        """Lists up to `count` attributes, those that count most first."""
        return sorted(self.attributes, key=lambda attribute: -attribute.weight)[:count]


class FullRubric(Rubric, frozen=True):
    """A rubric of exactly as many attributes as a language model is asked for."""

    attributes: Annotated[tuple[Attribute, ...], Field(min_length=NUM_ATTRIBUTES, max_length=NUM_ATTRIBUTES)]


class Element(Reply, frozen=True):
    """Something in an answer that raises or lowers an attribute."""

    element: Text
    direction: Annotated[Literal["increases", "decreases"], BeforeValidator(_lower)]


class Elements(Reply, frozen=True):
    """The causal elements of one attribute."""

    elements: Annotated[tuple[Element, ...], Field(min_length=NUM_ELEMENTS, max_length=NUM_ELEMENTS)]


class Edit(Reply, frozen=True):
    """A rewritten answer, which may be empty."""

    plan: str = ""
    response: str


class Verdict(Reply, frozen=True):
    """Whether an edit changed what it should and nothing else."""

    reason: str = ""
    verdict: Annotated[Literal["pass", "fail"], BeforeValidator(_lower)]


class Difference(Reply, frozen=True):
    """How two answers differ in one attribute."""

    attribute: Text
    difference: Text


class Differences(Reply, frozen=True):
    """How two answers differ, attribute by attribute."""

    differences: Annotated[tuple[Difference, ...], Field(min_length=1)]


class Case(NamedTuple):
    """A question with a better and a worse answer."""

    question: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Profile:
    """An attribute and the causal elements that decide it in answers to one question; some oracles need none."""

    attribute: Attribute
    elements: tuple[Element, ...] = ()


class UnansweredError(Exception):
    """What an oracle could not do: one of few reasons, so that it can be counted, and what came instead."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail
