"""A trial call of a tool: what the model is told of it, and what comes back."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from align.checks.finding import Finding
from align.methods.grpo.tools.guarded import COSTS_THE_ROW, ToolError, ToolProcess
from align.methods.grpo.tools.served import ServedEnvironment
from align.recipe.problems import shown

SHOWN = 120  # characters of a result


def make_schema(spec: str, tool: Callable[..., Any]) -> Mapping[str, Any] | Finding:
    """Makes the schema that the model is shown; says what the tool lacks where that fails."""
    from transformers.utils.chat_template_utils import (
        DocstringParsingException,
        TypeHintParsingException,
        get_json_schema,
    )

    kinds = {each.name: each.kind for each in inspect.signature(tool).parameters.values() if each.name != "self"}
    open_ended = [name for name, kind in kinds.items() if kind in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD)]
    remedy = "Write a line on what it does, `Args:` with a line for each argument, and type hints."
    if open_ended:
        remedy = "Name every argument: the model is told of those that stand in the signature."
        problem = f"takes `*{open_ended[0]}`, for which there is no schema"
    elif [name for name, kind in kinds.items() if kind is kind.POSITIONAL_ONLY]:
        problem, remedy = "has arguments that cannot be named, and TRL names them", "Remove the `/`."
    else:
        try:
            schema: Mapping[str, Any] = get_json_schema(tool)
            return schema
        except (DocstringParsingException, TypeHintParsingException, ValueError, TypeError, NameError) as error:
            problem = f"cannot be described to the model: {' '.join(str(error).split()).rstrip('.!')}"
    return Finding("error", "tools", f"{spec}: `{tool.__name__}` {problem}. {remedy}", {"tool": tool.__name__})


def try_call(spec: str, name: str, arguments: Mapping[str, Any], process: ToolProcess) -> Finding:
    """Calls a tool once, and says what came of it; one that raises is fine."""
    written = f"{name}({', '.join(f'{key}={shown(value)}' for key, value in arguments.items())})"
    numbers = {"tool": name}
    try:
        result = process.ask(name, arguments)
    except ToolError as error:
        is_lost = process.has_ended and isinstance(process.served, ServedEnvironment)  # tools hold nothing
        if error.failure in COSTS_THE_ROW or is_lost:
            remedy = (
                "Give what waits a time limit of its own, or raise `tool_timeout`."
                if error.failure == "timeout"
                else "Something in it ends the process: native code, `os._exit`, or too much memory."
            )
            text = (
                f"{spec}: the trial call {written} failed: {error}. In training such a call costs its completion the "
                f"reward. {remedy}"
            )
            return Finding("error", "tools", text, numbers | {"kind": error.failure})
        text = (
            f"{spec} raised on the trial call {written}: {error}. The model is shown such errors, and may call again."
        )
        return Finding("ok", "tools", text, numbers | {"kind": "raises"})
    if " object at 0x" in str(result):
        text = (
            f"{spec}: the trial call {written} returned {shown(result)}, and that is what the model would read. "
            "Return a text, a number, or a list or dict of them."
        )
        return Finding("warning", "tools", text, numbers | {"kind": "no_text"})
    text = f"{spec} answers the trial call {written} with {short(result)}."
    return Finding("ok", "tools", text, numbers)


def short(value: Any) -> str:
    """Writes the beginning of a value."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... ({len(text):,} characters)"
