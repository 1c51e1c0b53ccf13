"""How the prompts of an evaluation are made and its responses read: as in training, or it measures something else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.console import say
from align.data.columns import our_names
from align.data.kinds import first_columns
from align.data.questions.templates import PromptTemplate
from align.data.row_templates import RowTemplate, template_of
from align.errors import UserError
from align.recipe.dataset import DEFAULT_TEMPLATE, MADE, MadePrompts, MultipleChoiceDatasetConfig
from rewards.reading.responses import ResponseFormat

if TYPE_CHECKING:
    from align.recipe.recipe import Recipe

RECIPE_IN_FOLDER = "recipe.yaml"


@dataclass(frozen=True)
class Prompting:
    """How questions become prompts and responses are read; as in training, or it measures something else."""

    prompt_template: str = DEFAULT_TEMPLATE  # with `{question}` and `{options}`
    system_prompt: str | None = None
    conversational: bool | None = None  # whether prompts are messages; None if the model has a chat template
    think_tag: str = "think"
    answer_tag: str = "answer"
    max_new_tokens: int = 256

    @property
    def response_format(self) -> ResponseFormat:
        """The tags."""
        try:
            return ResponseFormat(self.think_tag, self.answer_tag)
        except ValueError as error:
            raise UserError(str(error)) from error

    def template(self, has_chat_template: bool) -> PromptTemplate:
        """Makes the template, with messages where the model can read them unless something else was said."""
        conversational = has_chat_template if self.conversational is None else self.conversational
        try:
            return PromptTemplate(self.prompt_template, self.system_prompt, conversational)
        except ValueError as error:
            raise UserError(f"`prompt_template` or `system_prompt`: {error}.") from error


def recipe_path(recipe: str | None, model: str) -> Path | None:
    """Finds a recipe, by default the one in the folder of the model's run; None if there is none."""
    from align.assets import find_recipe

    if recipe is not None:
        return find_recipe(recipe)
    folders = (Path(model), Path(model).parent)  # of a run, or of a checkpoint in it
    return next((folder / RECIPE_IN_FOLDER for folder in folders if (folder / RECIPE_IN_FOLDER).is_file()), None)


def prompt_settings(recipe: "Recipe | None", given: Mapping[str, Any], *, of_questions: bool = False) -> Prompting:
    """Takes tags and the longest response, and how questions are asked, from a recipe; what is `given` wins."""
    found: dict[str, Any] = {}
    data = recipe and recipe.dataset
    if of_questions and not isinstance(data, MultipleChoiceDatasetConfig):
        recipe = None  # the run trained on other data, which says nothing about questions
    if recipe is not None:
        settings = {"max_new_tokens": "max_completion_length", "think_tag": "think_tag", "answer_tag": "answer_tag"}
        found = {ours: getattr(recipe.settings, name, None) for ours, name in settings.items()}
    found = {name: value for name, value in found.items() if value is not None}
    if recipe is not None and of_questions:
        found |= {name: getattr(data, name) for name in ("prompt_template", "system_prompt", "conversational")}
    return replace(Prompting(), **found | {name: value for name, value in given.items() if value is not None})


def prompts_made_by(
    recipe: "Recipe | None", data: str, split: str | None, columns: Mapping[str, Any]
) -> RowTemplate | None:
    """Returns what makes the prompts of rows that have none; None where rows have theirs, or lack what it reads."""
    made = recipe and recipe.dataset
    template = template_of(made) if isinstance(made, MadePrompts) else None
    if template is None:
        return None
    names = set(our_names(first_columns(data, split), columns))
    return template if MADE not in names and set(template.columns) <= names else None


def say_made(template: RowTemplate, path: Path) -> None:
    """Says that prompts are made, and in which wording."""
    count = len(template.wordings)
    which = "" if count == 1 else f", in the first of its {count} wordings"
    say(f"`dataset.prompt_template` of {path} makes the prompts{which}.")


def named_columns(recipe: "Recipe | None", data: str, split: str | None, given: str) -> Mapping[str, Any]:
    """Returns the names of columns that are given, or the recipe's if the rows are such rows; others have ours."""
    from align.data.columns import columns_meant
    from align.recipe.recipe import read_columns

    if given:
        return read_columns(given)
    named = getattr(recipe and recipe.dataset, "columns", {})
    return columns_meant(named, first_columns(data, split)) if named else {}
