"""Tools and environments, tried in a process that can be killed: what the model is told, and what comes back."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from align.checks.finding import Finding
from align.methods.grpo.tools.guarded import COSTS_THE_ROW, Limits, ToolError, ToolProcess
from align.methods.grpo.tools.named import Spec, tool_methods
from align.methods.grpo.tools.served import MAKE, ServedEnvironment
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


_BY_TYPE: dict[str, Any] = {"string": "example", "integer": 1, "number": 1.5, "boolean": True, "object": {}}


def example_arguments(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a value for every parameter of a tool.

    Example:
        >>> parameters = {"properties": {"item": {"type": "string"}, "counts": {"type": "array"}}}
        >>> example_arguments({"function": {"name": "buy", "parameters": parameters}})
        {'item': 'example', 'counts': []}
    """
    properties = schema["function"]["parameters"]["properties"]
    return {name: _example(each) for name, each in properties.items()}


def _example(schema: Mapping[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return _example(schema["anyOf"][0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind  # of `int | str`
    if kind == "array":
        return [_example(schema["items"])] if schema.get("items") else []
    return _BY_TYPE.get(str(kind), "example")


MOST_INSTANCES = 300  # their pipes have numbers below 1024, above which `select` is blind


def try_environment(
    spec: Spec, kind: type, row: dict[str, Any], limits: Limits, taken: Sequence[str], instances: int
) -> list[Finding]:
    """Tries an environment as TRL uses it, `instances` of it in a process, beside tools of the names `taken`."""
    methods = tool_methods(kind)
    findings = _check_environment(spec.spec, kind, methods, taken)
    if findings:
        return findings
    schemas = {name: make_schema(spec.spec, method) for name, method in methods.items()}
    findings += [schema for schema in schemas.values() if isinstance(schema, Finding)]
    if findings:
        return findings
    process = ToolProcess(ServedEnvironment(spec), limits)
    try:
        for _ in range(2):  # TRL uses an instance again and again
            observed = process.ask("reset", row)
    except ToolError as error:
        text = (
            f"{spec.spec}: `reset` failed on the first row: {error}. TRL hands it every column of the row by name "
            f"({', '.join(row)}): write `def reset(self, **row)`, and take what it needs."
        )
        return [Finding("error", "tools", text)]
    if not isinstance(observed, str | list | type(None)):
        text = f"{spec.spec}: `reset` returned {short(observed)}. It must be None, or a text that ends the prompt."
        return [Finding("error", "tools", text)]
    findings.append(Finding("ok", "tools", f"{spec.spec}: `reset` with the first row gives {short(observed)}."))
    for name, schema in schemas.items():
        assert not isinstance(schema, Finding)
        found = try_call(f"{spec.spec}.{name}", name, example_arguments(schema), process)
        findings.append(found)
        if found.level == "error":
            process.close()
            return findings
    if hasattr(kind, "get_reward"):
        findings.append(_try_reward(spec.spec, process))
    findings.append(_check_number(spec.spec, process.ask("", question=MAKE)[2], instances))
    process.close()
    return findings


def _check_environment(spec: str, kind: type, methods: Mapping[str, Any], taken: Sequence[str]) -> list[Finding]:
    twice = [name for name in methods if name in taken]
    if not inspect.isfunction(getattr(kind, "reset", None)):
        text = f"{spec}: class {kind.__name__} has no method `reset`, which TRL calls before every rollout. Write one."
    elif not methods and not taken:
        text = f"{spec}: class {kind.__name__} has no public method, so that there is nothing that a model could call."
    elif twice:
        text = f"{spec}: `{twice[0]}` is also the name of a tool, and the model calls them by name. Rename one."
    else:
        return []
    return [Finding("error", "tools", text)]


def _try_reward(spec: str, process: ToolProcess) -> Finding:
    try:
        value = process.ask("get_reward")
    except ToolError as error:
        level: Any = "error" if process.has_ended else "warning"
        text = f"{spec}: `get_reward` failed after the trial calls: {error}. Where it fails, there is no reward."
        return Finding(level, "tools", text)
    if isinstance(value, bool) or not isinstance(value, int | float | type(None)):
        text = f"{spec}: `get_reward` returned {short(value)}. It must be a number, or None for no reward."
        return Finding("error", "tools", text)
    return Finding("ok", "tools", f"{spec}: `get_reward` gives {value} after the trial calls.")


def _check_number(spec: str, megabytes: float, instances: int) -> Finding:
    """Compares the processes of an environment with what a machine has; each takes three files of this process."""
    numbers = {"instances": instances, "megabytes": round(megabytes, 1)}
    told = f"{spec}: a generation has {instances} completions in a process, each with a process of the environment"
    remedy = "Lower `per_device_train_batch_size`, `gradient_accumulation_steps` or `steps_per_generation`."
    if instances > MOST_INSTANCES:
        text = f"{told}, and {MOST_INSTANCES} are possible. {remedy}"
        return Finding("error", "tools", text, numbers)
    free = psutil.virtual_memory().available / 2**20
    if instances * megabytes > free:
        text = f"{told} that takes up to {megabytes:.0f} MB; {free:,.0f} MB are free. {remedy}"
        return Finding("warning", "tools", text, numbers)
    return Finding("ok", "tools", f"{told} of at most {megabytes:.0f} MB.", numbers)
