"""Markdown that we write around words which are not ours: names of columns, runs, rewards and models."""

import html
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

_CODE = re.compile(r"((?<!`)`[^`]+`(?!`))")
_SIGNS = re.compile(r"[\\`*|~\[\]]|(?<![^\W_])_|_(?![^\W_])|^(?:#+|[-+])(?= )")


def escape(value: object) -> str:
    r"""Writes a value as one line that Markdown shows as it is, also in a table; `code` in a sentence stays code.

    Example:
        >>> print(escape("a_b|<script> of `x*`, [y](javascript:z)"))
        a_b\|&lt;script&gt; of `x*`, \[y\](javascript:z)
    """
    parts = _CODE.split(" ".join(str(value).split()))
    return "".join(_code(part) if place % 2 else _escape(part) for place, part in enumerate(parts))


def _code(span: str) -> str:
    """Keeps a span of code, in which a table alone would read the sign of a cell."""
    return f"<code>{_escape(span[1:-1])}</code>".replace(r"\|", "&#124;") if "|" in span else span


def _escape(text: str) -> str:
    return _SIGNS.sub(r"\\\g<0>", html.escape(text, quote=False))


def code(value: object) -> Markup:
    """Writes a value as code in one line, outside tables, whatever backticks it has."""
    text = " ".join(str(value).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence} {text} {fence}" if text[:1] == "`" or text[-1:] == "`" else f"{fence}{text}{fence}")


def render(package: str, template: str, values: Mapping[str, Any], **options: Any) -> str:
    """Renders a template of a package, each value escaped that is no `Markup`."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader(package, ""), autoescape=False, finalize=_finalize, **options
    )  # Markdown escapes otherwise than HTML
    environment.filters["code"] = code
    return environment.get_template(template).render(values)


def _finalize(value: object) -> str:
    return str(value) if isinstance(value, Markup) else escape(value)
