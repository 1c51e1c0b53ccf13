"""Whether the tokens and the chat template that a recipe names work with its model's tokenizer."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from align.checks.finding import Finding
from align.models.model_files import ModelFiles
from align.models.prompt_tokenizer import ChatTemplate, PromptTokenizer
from align.recipe.recipe import Recipe

NAMED = ("pad_token", "eos_token")
SUFFIXES = (".jinja", ".j2")  # by which TRL tells a file from a model
QUESTION, ANSWER = "Which metal rusts?", "It is iron, of course."
_MARKS = re.compile(r"<\|\w+\|>")


def check_tokens(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a named token that the tokenizer, where it is on this machine, does not have."""
    named = {name: getattr(recipe.settings, name) for name in NAMED if getattr(recipe.settings, name, None)}
    tokenizer = model.tokenizer if named else None
    if tokenizer is None or recipe.model.chat_template_path:  # which may bring tokens with it
        return []
    return [
        Finding(
            "error",
            "model",
            f"`{name}`: {token!r} is no token of {recipe.model.model_name_or_path}. Name one of its tokens, or remove "
            "the key.",
        )
        for name, token in named.items()
        if tokenizer.tokenizer.token_to_id(token) is None
    ]


def check_chat_template(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a template that is not there, is no template, or leaves out what training needs."""
    path = recipe.model.chat_template_path
    if path is None:
        return []
    name = f"`chat_template_path: {path}`"
    if Path(path).is_file() and not path.endswith(SUFFIXES):
        return [_error(f"{name} must end in {' or '.join(SUFFIXES)}, to be told from a model. Rename the file.")]
    text, named = model.chat_template, ModelFiles(path)
    if text is None and named.folder is None and named.is_hub_id and not path.endswith(SUFFIXES):
        return [Finding("warning", "chat template", f"{name} is not on this machine, so it is not tried out.")]
    if text is None:
        what = "holds no chat template" if Path(path).is_dir() else "leads nowhere"
        return [_error(f"{name} {what}. Name a .jinja file, or a model whose template is taken; `./x` is relative to "
                       "the recipe.")]  # fmt: skip
    special = model.tokenizer.special_tokens if model.tokenizer is not None else {}
    trial = _Trial(ChatTemplate(text, special | (getattr(recipe.settings, "chat_template_kwargs", None) or {})))
    try:
        problem = trial.problem(answers=not recipe.record.makes_reward_model)
    except TemplateSyntaxError as error:
        problem = f"is no template: {error.message}, in line {error.lineno}. Mend it there."
    except TemplateError as error:
        problem = f"cannot render a question and its answer: {error}."
    if problem:
        return [_error(f"{name} {problem}")]
    return [*_unknown_marks(name, path, recipe, text, model.tokenizer), _shown(name, trial)]


class _Trial:
    """A question and its answer, as a template writes them."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template

    def problem(self, *, answers: bool) -> str:
        """Says what the template leaves out, a sign for the model to answer too; empty if it leaves nothing out."""
        if QUESTION not in self.asked:
            return "leaves out what the user says. Write `message['content']` of every message."
        if ANSWER not in self.whole:
            return "leaves out what the assistant says, and nothing would be learnt. Write its `message['content']`."
        if answers and self.asked == self._render(_ask(self._in_parts), add_generation_prompt=False):
            return (
                "has no generation prompt: a prompt ends without a sign that the assistant is next. Add "
                "`{% if add_generation_prompt %}...{% endif %}`, with what stands before an answer."
            )
        return ""

    @cached_property
    def asked(self) -> str:
        """The question, with what asks for an answer."""
        return self._render(_ask(self._in_parts), add_generation_prompt=True)

    @cached_property
    def whole(self) -> str:
        """The question and its answer."""
        answer = {"role": "assistant", "content": _content(ANSWER, self._in_parts)}
        return self._render([*_ask(self._in_parts), answer], add_generation_prompt=False)

    @cached_property
    def _in_parts(self) -> bool:
        """Whether contents are lists of parts, as models that read images have them."""
        try:
            return QUESTION not in self._render(_ask(False), add_generation_prompt=True)
        except TemplateSyntaxError:
            raise
        except TemplateError:
            return True

    def _render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
        return self._template.render(messages, add_generation_prompt=add_generation_prompt)


def _ask(in_parts: bool) -> list[dict[str, Any]]:
    return [{"role": "user", "content": _content(QUESTION, in_parts)}]


def _content(text: str, in_parts: bool) -> Any:
    return [{"type": "text", "text": text}] if in_parts else text


def _unknown_marks(
    name: str, path: str, recipe: Recipe, text: str, tokenizer: PromptTokenizer | None
) -> list[Finding]:
    """Finds marks such as `<|im_start|>` that are ordinary text to the tokenizer."""
    if tokenizer is None or (hasattr(recipe.settings, "chat_template_path") and not Path(path).is_file()):
        return []  # TRL takes the tokens over with the template of a model
    marks = list(dict.fromkeys(_MARKS.findall(text)))
    unknown = [mark for mark, found in zip(marks, tokenizer.encode(marks, add_special_tokens=False), strict=True)
               if len(found.ids) != 1]  # fmt: skip
    if not unknown:
        return []
    told = f"{name}: {', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} no token of the model's tokenizer"
    text = f"{told}, and will be learnt as several. Use a template that was made for this model."
    return [Finding("warning", "chat template", text)]


def _shown(name: str, trial: _Trial) -> Finding:
    follows = trial.whole.startswith(trial.asked)
    text = f"{name} writes {trial.whole!r}."
    if follows:
        return Finding("ok", "chat template", text, {"prompt": trial.asked, "whole": trial.whole})
    text += (
        f" A prompt alone ends otherwise, {trial.asked!r}, so that an answer is not learnt in the place where it will "
        "be written."
    )
    return Finding("warning", "chat template", text, {"prompt": trial.asked, "whole": trial.whole})


def _error(text: str) -> Finding:
    return Finding("error", "chat template", text)
