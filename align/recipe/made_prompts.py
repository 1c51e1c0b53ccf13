"""Prompts that a recipe makes of the columns of its rows, in one wording or several, and perturbed versions."""

import re
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

Perturbation = Literal["option_order", "whitespace", "distractor", "misleading_hint"]  # `rewards.FAMILIES`
PLACE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")  # the first form is a word in braces, and no place
MADE = "prompt"  # what a template makes, and cannot read


class MadePrompts(BaseModel):
    """How prompts are made."""

    prompt_template: str | list[str] | None = Field(
        default=None,
        description="Makes the prompt of other columns, named in braces, such as {title}; {options} are written with "
        "letters. A list of wordings asks each row in every one of them. By default rows have a `prompt`.",
    )
    system_prompt: str | None = Field(default=None, description="System message before what `prompt_template` makes.")
    conversational: bool = Field(
        default=True,
        description="Whether what `prompt_template` makes are messages for the chat template, or plain text.",
    )
    perturb: list[Perturbation] | None = Field(
        default=None,
        description="Asks each training row also in versions that leave its answer as it was, one for each of these, "
        "for rewards that read `origin` and `family`.",
    )
    eval_perturb: list[Perturbation] | None = Field(
        default=None, description="The same for evaluation rows; by default as `perturb`, [] for none."
    )
    perturb_seed: int = Field(default=0, description="Seed of the versions.")

    @property
    def wordings(self) -> tuple[str, ...]:
        """The templates; none where rows have prompts."""
        given = self.prompt_template
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    @property
    def eval_families(self) -> list[Perturbation]:
        """The families that evaluation rows are perturbed by."""
        return (self.perturb or []) if self.eval_perturb is None else self.eval_perturb

    @property
    def rows_together(self) -> int:
        """How many training rows a row becomes, which rewards have to see in one call."""
        return max(len(self.wordings), 1 + len(self.perturb or ()))

    @property
    def eval_rows_together(self) -> int:
        """How many evaluation rows a row becomes."""
        return max(len(self.wordings), 1 + len(self.eval_families))

    @field_validator("prompt_template")
    @classmethod
    def _has_places(cls, template: str | list[str] | None) -> str | list[str] | None:
        wordings = [template] if isinstance(template, str) else template
        if wordings is None:
            return template
        if not wordings or len(set(wordings)) < len(wordings):
            raise ValueError("the list must hold wordings, each once")
        for wording in wordings:
            names = places_of(wording)
            if not names or MADE in names:
                raise ValueError("a wording names a column in braces, such as {question}, and not {prompt}, its own")
            if "options" in names and "question" not in names:
                raise ValueError("a wording with {options} needs {question}, too")
        return template

    @field_validator("perturb", "eval_perturb")
    @classmethod
    def _names_each_once(cls, families: list[Perturbation] | None) -> list[Perturbation] | None:
        if families and len(set(families)) < len(families):
            raise ValueError("a family is there twice; name each once")
        return families

    @model_validator(mode="after")
    def _fits_together(self) -> "MadePrompts":
        if self.system_prompt is not None and (not self.wordings or not self.conversational):
            raise ValueError("`system_prompt` needs a `prompt_template`, and `conversational: true`")
        if len(self.wordings) > 1 and (self.perturb or self.eval_perturb):
            raise ValueError("`perturb` makes versions of one wording, and `prompt_template` has several. Keep one")
        if "perturb_seed" in self.model_fields_set and not self.perturb and not self.eval_perturb:
            raise ValueError("`perturb_seed` is the seed of `perturb`, and nothing is perturbed")
        if self.eval_perturb is not None and getattr(self, "eval_path", None) is None:
            raise ValueError("`eval_perturb` is about the rows of `eval_path`, and none is given")
        return self


def places_of(wording: str) -> tuple[str, ...]:
    """Names the columns that a wording reads.

    Example:
        >>> places_of("Who wrote {title}? Write {{title}}.")
        ('title',)
    """
    return tuple(dict.fromkeys(match[2] for match in PLACE.finditer(wording) if match[2]))
