"""An environment, tried in a process that can be killed: made, reset, called and scored."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from align.checks.finding import Finding
from align.methods.grpo.tools.examples import example_arguments
from align.methods.grpo.tools.guarded import Limits, ToolError, ToolProcess
from align.methods.grpo.tools.named import Spec, tool_methods
from align.methods.grpo.tools.served import MAKE, ServedEnvironment
from align.methods.grpo.tools.trial import make_schema, short, try_call

MOST_INSTANCES = 300  # their pipes have numbers below 1024, above which `select` is blind


def try_environment(
    spec: Spec, kind: type, row: dict[str, Any], limits: Limits, taken: Sequence[str], instances: int
) -> list[Finding]:
    """Tries an environment as TRL uses it.

    Args:
        spec: Names it.
        kind: Its class.
        row: What `reset` gets.
        limits: Of its calls.
        taken: Names of tools that stand beside it.
        instances: How many of them a generation needs in a process.
    """
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
