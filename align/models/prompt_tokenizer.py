"""A model's tokenizer and its chat template, without transformers: importing that takes longer than a whole check."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from align.data.conversations import message_text
from align.errors import RecipeError

if TYPE_CHECKING:
    from tokenizers import Encoding


MOST_STEPS = 1_000_000  # of a template, for one message


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


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **kwargs: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **kwargs)


@cache
def is_endless(text: str) -> bool:
    """Tells whether a template makes more than a million steps of one message; a loop in a loop has no other bound."""
    left, before = MOST_STEPS, sys.gettrace()

    def step(frame: Any, event: str, arg: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TemplateError("it does not end")
        return step

    sys.settrace(lambda frame, event, arg: step if frame.f_code.co_filename == "<template>" else None)
    try:
        ChatTemplate(text, {}).render([{"role": "user", "content": "a"}], add_generation_prompt=True)
    except TemplateError:  # of a template that wants more than this, too
        pass
    finally:
        sys.settrace(before)
    return left < 0


class PromptTokenizer:
    """Counts the tokens of prompts without importing transformers, which takes longer than the whole check."""

    def __init__(self, file: Path, settings: dict[str, Any], template: str | None, kwargs: Mapping[str, Any]) -> None:
        from tokenizers import Tokenizer

        try:
            self.tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises no other class
            raise RecipeError(f"{file} cannot be read: {error}. Copy the model again.") from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.settings, self.chat_template, self.template_kwargs = settings, template, kwargs

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> "list[Encoding]":
        """Tokenises texts; each result has `ids` and the character `offsets` of its tokens."""
        return self.tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)

    def end(self, text: str) -> str:
        """Writes the end-of-text token behind a text, if the text does not end with it."""
        token = _token_text(self.settings.get("eos_token")) or ""
        return text if text.endswith(token) else text + token

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
        return ChatTemplate(str(self.chat_template), {**self.special_tokens, **self.template_kwargs})


def _token_text(token: Any) -> Any:
    return token["content"] if isinstance(token, dict) else token
