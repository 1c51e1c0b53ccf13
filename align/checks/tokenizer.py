"""The tokenizer and the chat template of a recipe, without transformers, and whether what it names of them works."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from align.checks.finding import Finding
from align.checks.model import model_folder
from align.data.conversations import message_text
from align.errors import RecipeError
from align.models.at_hand import is_hub_id
from align.recipe.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Encoding


NAMED = ("pad_token", "eos_token")
SUFFIXES = (".jinja", ".j2")  # by which TRL tells a file from a model
QUESTION, ANSWER = "Which metal rusts?", "It is iron, of course."
_MARKS = re.compile(r"<\|\w+\|>")


class _Generation(Extension):
    """Reads `{% generation %}`, by which a template marks what the assistant says."""

    tags = {"generation"}  # noqa: RUF012 - jinja declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Keeps what stands between the marks."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A template with what it is rendered with beside the messages: special tokens, and what a recipe hands to it."""

    def __init__(self, text: str, settings: Mapping[str, Any]) -> None:
        self._text, self._settings = text, settings

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        """Writes messages as one text; raises `jinja2.TemplateError` if the template refuses them."""
        given = {"tools": None, **self._settings, **(settings or {})}
        try:
            return self._template.render(messages=messages, add_generation_prompt=add_generation_prompt, **given)
        except TemplateError:
            raise
        except Exception as error:  # a template is a program
            raise TemplateError(f"{type(error).__name__}: {error}") from error

    @cached_property
    def _template(self) -> Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        # What transformers offers to templates beyond Jinja's own.
        environment.globals |= {"raise_exception": _raise, "strftime_now": datetime.now().strftime}
        environment.filters["tojson"] = _to_json
        return environment.from_string(self._text)


def read_chat_template(path: str) -> str | None:
    """Reads a template from its file, or from the folder or hub id of a tokenizer; None if there is none here."""
    if Path(path).is_file():
        return Path(path).read_text(encoding="utf-8")
    folder = model_folder(path)
    if folder is None:
        return None
    if (file := folder / "chat_template.jinja").is_file():
        return file.read_text(encoding="utf-8")
    template: str | list[dict[str, str]] | None = tokenizer_settings(folder).get("chat_template")
    if template is None and (file := folder / "chat_template.json").is_file():  # processors had it there
        template = json.loads(file.read_text(encoding="utf-8")).get("chat_template")
    if isinstance(template, list):  # of several, transformers takes this one, and refuses messages where there is none
        return {named["name"]: named["template"] for named in template}.get("default")
    return template


def tokenizer_settings(folder: Path) -> dict[str, Any]:
    """Reads what is saved beside a tokenizer."""
    config = folder / "tokenizer_config.json"
    return json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **kwargs: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **kwargs)


class PromptTokenizer:
    """Counts the tokens of prompts without importing transformers, which takes longer than the whole check."""

    def __init__(self, folder: Path, template_kwargs: dict[str, Any] | None = None) -> None:
        from tokenizers import Tokenizer

        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises no other class
            raise RecipeError(f"{folder / 'tokenizer.json'} cannot be read: {error}. Copy the model again.") from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.template_kwargs = template_kwargs or {}
        self.settings = tokenizer_settings(folder)
        self.chat_template = read_chat_template(str(folder))

    def count(self, prompts: Sequence[str | list[dict[str, Any]]]) -> list[int]:
        """Counts tokens, of strings with the special tokens the tokenizer adds and of messages as rendered."""
        conversational = not isinstance(prompts[0], str)
        texts = [self.render(prompt) if not isinstance(prompt, str) else prompt for prompt in prompts]
        return [len(encoding.ids) for encoding in self.encode(texts, add_special_tokens=not conversational)]

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> "list[Encoding]":
        """Tokenises texts; each result has `ids` and the character `offsets` of its tokens."""
        return self.tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)

    def special_token(self, name: str) -> str | None:
        """Returns the text of a special token such as `eos_token`, None if the tokenizer has none."""
        return _token_text(self.settings.get(name))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        """Renders messages with the chat template and its settings, or joins them where there is none."""
        if not self.chat_template:
            return "\n".join(message_text(message) for message in messages)
        return self._template.render(messages, add_generation_prompt=add_generation_prompt, settings=settings)

    @property
    def special_tokens(self) -> dict[str, Any]:
        """The texts of its special tokens by name, as templates read them."""
        return {key: _token_text(value) for key, value in self.settings.items() if key.endswith("_token")}

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(str(self.chat_template), self.special_tokens | self.template_kwargs)


def _token_text(token: Any) -> Any:
    return token["content"] if isinstance(token, dict) else token


def load_tokenizer(recipe: Recipe) -> PromptTokenizer | None:
    """Loads the recipe's tokenizer from this machine, never from the network; None if it is not here."""
    folder = model_folder(recipe.model.model_name_or_path)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    tokenizer = PromptTokenizer(folder, getattr(recipe.settings, "chat_template_kwargs", None))
    if recipe.model.chat_template_path:
        tokenizer.chat_template = read_chat_template(recipe.model.chat_template_path)
    return tokenizer


def check_tokens(recipe: Recipe) -> list[Finding]:
    """Finds a named token that the tokenizer, where it is on this machine, does not have."""
    named = {name: getattr(recipe.settings, name) for name in NAMED if getattr(recipe.settings, name, None)}
    tokenizer = load_tokenizer(recipe) if named else None
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


def check_chat_template(recipe: Recipe) -> list[Finding]:
    """Finds a template that is not there, is no template, or leaves out what training needs."""
    path = recipe.model.chat_template_path
    if path is None:
        return []
    name = f"`chat_template_path: {path}`"
    if Path(path).is_file() and not path.endswith(SUFFIXES):
        return [_error(f"{name} must end in {' or '.join(SUFFIXES)}, to be told from a model. Rename the file.")]
    text = read_chat_template(path)
    if text is None and model_folder(path) is None and is_hub_id(path) and not path.endswith(SUFFIXES):
        return [Finding("warning", "chat template", f"{name} is not on this machine, so it is not tried out.")]
    if text is None:
        what = "holds no chat template" if Path(path).is_dir() else "leads nowhere"
        return [_error(f"{name} {what}. Name a .jinja file, or a model whose template is taken; `./x` is relative to "
                       "the recipe.")]  # fmt: skip
    tokenizer = load_tokenizer(recipe)
    special = tokenizer.special_tokens if tokenizer is not None else {}
    trial = _Trial(ChatTemplate(text, special | (getattr(recipe.settings, "chat_template_kwargs", None) or {})))
    try:
        problem = trial.problem(answers=not recipe.record.makes_reward_model)
    except TemplateSyntaxError as error:
        problem = f"is no template: {error.message}, in line {error.lineno}. Mend it there."
    except TemplateError as error:
        problem = f"cannot render a question and its answer: {error}."
    if problem:
        return [_error(f"{name} {problem}")]
    return [*_unknown_marks(name, path, recipe, text, tokenizer), _shown(name, trial)]


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
