"""Chat templates, rendered as transformers does and without importing it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from align.checks.model import model_folder


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
    settings: dict[str, Any] = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    return settings


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **kwargs: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **kwargs)
