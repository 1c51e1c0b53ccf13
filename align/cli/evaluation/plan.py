"""What an evaluation of policies is about: questions, prompts, and a folder that holds no other one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.divided.division import current
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.evaluation.record.policies import Data
from align.recipe.dataset import DEFAULT_TEMPLATE
from align.whole_files import write_whole
from rewards.reading.responses import ResponseFormat

if TYPE_CHECKING:
    from align.recipe.recipe import Recipe

RECIPE_IN_FOLDER = "recipe.yaml"
PLAN_FILE = "models.json"  # in the cache's folder: whose answers are there
RESULTS = (EVALUATION_FILE, ITEMS_FILE)


@dataclass(frozen=True)
class Prompting:
    """How questions become prompts and responses are read; as in training, or it measures something else.

    Attributes:
        prompt_template: With `{question}` and `{options}`.
        system_prompt: Before every prompt.
        conversational: Whether prompts are messages; `None` if the model has a chat template.
        think_tag: Around traces.
        answer_tag: Around answers.
        max_new_tokens: Longest response.
    """

    prompt_template: str = DEFAULT_TEMPLATE
    system_prompt: str | None = None
    conversational: bool | None = None
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


def prompting(recipe: str | None, model: str, given: Mapping[str, Any]) -> tuple[Prompting, Path | None]:
    """Takes the prompt from a recipe, by default the one in the model's run folder, and from the command line.

    Args:
        recipe: A recipe file, or a shipped one.
        model: The model asked about.
        given: Fields of `Prompting` that the command line names; they win. `None` is not given.

    Returns:
        The settings, and the recipe they came from.
    """
    path = recipe_path(recipe, model)
    found = Prompting() if path is None else _from_recipe(path)
    return replace(found, **{name: value for name, value in given.items() if value is not None}), path


def recipe_path(recipe: str | None, model: str) -> Path | None:
    """Finds a recipe, by default the one in the folder of the model's run; None if there is none."""
    from align.assets import find_recipe

    if recipe is not None:
        return find_recipe(recipe)
    folders = (Path(model), Path(model).parent)  # of a run, or of a checkpoint in it
    return next((folder / RECIPE_IN_FOLDER for folder in folders if (folder / RECIPE_IN_FOLDER).is_file()), None)


def _from_recipe(path: Path) -> Prompting:
    from align.recipe.dataset import MultipleChoiceDatasetConfig
    from align.recipe.recipe import load_recipe

    recipe = load_recipe(path)
    data = recipe.dataset
    if not isinstance(data, MultipleChoiceDatasetConfig):
        return Prompting()  # the run trained on other data, which says nothing about questions
    return replace(
        prompt_settings(recipe, {}),
        prompt_template=data.prompt_template,
        system_prompt=data.system_prompt,
        conversational=data.conversational,
    )


def prompt_settings(recipe: "Recipe | None", given: Mapping[str, Any]) -> Prompting:
    """Takes the tags and the longest response from a recipe, and from what the command line names, which wins."""
    from align.recipe.fields import config_fields

    found: dict[str, Any] = {}
    if recipe is not None:
        known = config_fields(recipe.method)
        settings = {"max_new_tokens": "max_completion_length", "think_tag": "think_tag", "answer_tag": "answer_tag"}
        found = {ours: recipe.setting(name) for ours, name in settings.items() if name in known}
    return replace(Prompting(), **{name: value for name, value in (found | dict(given)).items() if value is not None})


def describe_questions(
    questions: Sequence[Question], fingerprint: str, *, path: str | None, split: str | None, left_out: dict[str, int]
) -> Data:
    """Counts what the questions are, and says where they come from."""
    from collections import Counter

    from rewards.reading.options import LETTERS, can_shuffle

    groups = Counter(question.group for question in questions if question.group is not None)
    letters = Counter(LETTERS[question.answer] for question in questions)
    found = Data(
        path=path,
        split=split,
        left_out=left_out,
        fingerprint=fingerprint,
        questions=len(questions),
        unshufflable=sum(not can_shuffle(question.options) for question in questions),
        groups=dict(sorted(groups.items())),
        gold_letters=dict(sorted(letters.items())),
    )
    if with_images := sum(bool(question.images) for question in questions):
        found.with_images = with_images
    return found


def claim_folder(
    out: Path, fingerprints: Mapping[str, str], *, plan_file: str = PLAN_FILE, results: Sequence[str] = RESULTS
) -> Path:
    """Makes the folder, and refuses one with another model's answers under a name that is used here.

    In a divided evaluation, the cache begins with the answers that other processes left.

    Args:
        out: The evaluation's folder.
        fingerprints: Of the models, by name.
        plan_file: Where they are kept, by which one kind of evaluation is told from another.
        results: Files that the evaluation writes; where there is no plan yet, they are somebody else's.

    Returns:
        The folder of the cache.

    Raises:
        UserError: If the folder cannot be used.
    """
    cache, plan = out / "cache", out / "cache" / plan_file
    if not plan.is_file() and (taken := next((name for name in results if (out / name).exists()), None)):
        what = "another evaluation" if taken == EVALUATION_FILE else f"{taken}, which this evaluation would replace"
        raise UserError(f"`--out` {out} holds {what}. Choose a new folder. Nothing was written.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        known = json.loads(plan.read_text(encoding="utf-8")) if plan.is_file() else {}
        changed = [name for name in fingerprints if known.get(name, fingerprints[name]) != fingerprints[name]]
        if changed:
            raise UserError(
                f"`--out` {out} holds answers of another model named {changed[0]!r} (fingerprint "
                f"{known[changed[0]][:12]}, this one has {fingerprints[changed[0]][:12]}). Choose a new folder for "
                "this one. Nothing was written."
            )
        write_whole(plan, json.dumps(known | dict(fingerprints), indent=2) + "\n")  # another process may read it
    except OSError as error:
        raise UserError(f"`--out` {out} cannot be written: {error}. Choose another folder.") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{plan} cannot be read: {error}. Delete {cache}, or choose another `--out`.") from error
    current().claim(out, cache, fingerprints)
    return cache
