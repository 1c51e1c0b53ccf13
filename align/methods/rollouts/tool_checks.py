"""What can be wrong with tools and environments of a recipe: they are tried in a process that can be killed."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from align.checks.finding import Finding
from align.checks.lengths import context_window
from align.checks.rewards import is_first_process
from align.models.model_files import ModelFiles
from align.models.transcripts.tokens import FOR_TOOLS, reading_calls
from align.models.transcripts.toolbox import ENVIRONMENT
from align.recipe.problems import one_line, shown
from align.recipe.recipe import Recipe
from align.tools.guarded import (
    COSTS_THE_ROW,
    Limits,
    ToolError,
    ToolProcess,
    environment_class,
    guard_environment,
)
from align.tools.named import Spec, find_tool, named_by, tool_methods
from align.tools.served import MAKE, Loaded, ServedEnvironment, ServedTools

Rows = Sequence[Mapping[str, Any]]
MEASURED = 50  # prompts, the longest


def check_template(recipe: Recipe, tools: Sequence[Callable[..., Any]], rows: Rows) -> list[Finding]:
    """Renders a conversation with tools, as TRL will, and measures the longest prompts."""
    from transformers import AutoTokenizer

    model = ModelFiles.of(recipe)
    if model.folder is None:
        text = (
            f"The tokenizer of {model.name!r} is not on this machine; "
            "whether it knows tools is seen when it is loaded."
        )
        return [Finding("warning", "tools", text)]
    try:
        tokenizer = AutoTokenizer.from_pretrained(model.folder)
        if recipe.model.chat_template_path is not None:
            tokenizer.chat_template = model.chat_template
        problem = _problem(tokenizer, tools)
        if not problem:
            return [_check_window(recipe, tokenizer, tools, rows)]
    except Exception as error:  # whatever a template raises
        problem = f"fails on a conversation with tools: {one_line(error)}"
    return [Finding("error", "tools", f"The chat template of {model.name} {problem}. {FOR_TOOLS}")]


def _problem(tokenizer: Any, tools: Sequence[Callable[..., Any]]) -> str:
    try:
        reading_calls(tokenizer)
    except ValueError as error:
        return str(error)
    prompt = [{"role": "user", "content": "?"}]
    told, untold = (
        tokenizer.apply_chat_template(prompt, tools=given, tokenize=False) for given in (list(tools), None)
    )
    return "does not tell the model of its tools" if told == untold else ""


def _check_window(recipe: Recipe, tokenizer: Any, tools: Sequence[Callable[..., Any]], rows: Rows) -> Finding:
    """Says what the tools take of every prompt, and whether prompts with them leave room for completions."""
    prompts = sorted((row["prompt"] for row in rows), key=lambda prompt: -len(str(prompt)))[:MEASURED]
    with_tools, without = (
        [
            len(tokenizer.apply_chat_template(prompt, tools=given, add_generation_prompt=True, return_dict=False))
            for prompt in prompts
        ]
        for given in (list(tools), None)
    )
    longest, taken = max(with_tools), with_tools[0] - without[0]
    window, completion = context_window(recipe), int(recipe.settings.max_completion_length)
    told = f"Being told of its tools takes {taken} tokens of every prompt"
    if window is None or longest + completion <= window:
        return Finding("ok", "tools", f"{told}; prompts with them take up to {longest}.", {"tokens": taken})
    text = (
        f"{told}, and the longest then has {longest}, which leaves less than `max_completion_length: {completion}` of "
        f"the window of {window}. Write shorter docstrings, name fewer tools, or lower `max_completion_length`."
    )
    return Finding("error", "tools", text, {"tokens": taken})


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
            return get_json_schema(tool)
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
    findings.append(check_number(spec.spec, process.ask("", question=MAKE)[2], instances))
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


def check_number(spec: str, megabytes: float, instances: int) -> Finding:
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


def uses_tools(recipe: Recipe) -> bool:
    """Says whether a recipe names tools or environments."""
    return any(named_by(recipe))


def check_tools(recipe: Recipe, rows: Rows) -> list[Finding]:
    """Finds the tools of a recipe, makes their schemas and calls each once; environments are reset with a row."""
    if not uses_tools(recipe) or not is_first_process():
        return []
    tools, environments = named_by(recipe)
    limits = Limits(recipe.settings.tool_timeout, recipe.settings.tool_memory_gb)
    findings = _check_prompts(recipe, rows)
    schemas: dict[str, Callable[..., Any]] = {}
    is_rewarded = bool(recipe.reward_funcs)
    try:
        _load_elsewhere([*tools, *environments.values()], limits)
        found, before = [find_tool(spec) for spec in tools], len(findings)
        names = [tool.__name__ for tool in found]
        findings += _check_names(names, tools)
        process = ToolProcess(ServedTools(tools), limits)
        for spec, tool in zip(tools, found, strict=True):
            schema = make_schema(spec.spec, tool)
            if not isinstance(schema, Finding):
                schema = try_call(spec.spec, tool.__name__, example_arguments(schema), process)
            findings.append(schema)
        process.close()
        schemas = {tool.__name__: tool for tool in found}
        for name, spec in environments.items():
            kind = environment_class(spec, limits)
            schemas |= tool_methods(kind)
            is_rewarded |= hasattr(kind, "get_reward")
            findings += try_environment(spec, kind, _row_of(rows, name), limits, names, instances_of(recipe))
        findings += _check_column(environments, rows)
        is_described = not any(finding.level == "error" for finding in findings[before:])
        if is_described and not is_rewarded:
            text = "`reward_funcs` names no reward, and the environment has no `get_reward`. Name one, or write it."
            findings.append(Finding("error", "rewards", text))
    except ValueError as error:
        return [*findings, Finding("error", "tools", str(error))]
    return findings + (check_template(recipe, list(schemas.values()), rows) if is_described else [])


def uses_environment(recipe: Recipe) -> bool:
    """Says whether a recipe names an environment, which may reward its rollouts by itself."""
    return bool(named_by(recipe)[1])


def sample_environment(recipe: Recipe, rows: Rows) -> Any:
    """Makes an instance of the recipe's environment, the first of several, and resets it with a row of its own."""
    name, spec = next(iter(named_by(recipe)[1].items()))
    instance = guard_environment(spec, Limits(recipe.settings.tool_timeout, recipe.settings.tool_memory_gb))()
    instance.reset(**_row_of(rows, name))
    return instance


def _check_prompts(recipe: Recipe, rows: Rows) -> list[Finding]:
    if all(isinstance(row["prompt"], list) for row in rows):
        return []
    if getattr(recipe.dataset, "prompt_template", None):
        remedy = "Set `dataset.conversational: true`, with which `prompt_template` makes messages."
    else:
        remedy = (
            'Write `"prompt": [{"role": "user", "content": "..."}]`, or have messages made of the texts: `dataset: '
            "{columns: {text: prompt}, prompt_template: '{text}', conversational: true}`."
        )
    text = (
        "Tools need prompts of messages: TRL tells the model of its tools by the chat template, which texts do not go "
        f"through. {remedy}"
    )
    return [Finding("error", "tools", text)]


def _load_elsewhere(specs: Sequence[Spec], limits: Limits) -> None:
    """Loads the files in a process that can be killed, before this one loads them."""
    process = ToolProcess(Loaded(specs), limits)
    for number, spec in enumerate(specs):
        try:
            problem = process.ask(str(number))
        except ToolError as error:
            raise ValueError(f"{spec.spec!r} cannot be loaded: {error}. Look at what its file does.") from error
        if problem:
            raise ValueError(problem)
    process.close()


def _check_names(names: Sequence[str], specs: Sequence[Spec]) -> list[Finding]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is None:
        return []
    both = ", ".join(spec.spec for spec, name in zip(specs, names, strict=True) if name == twice)
    return [Finding("error", "tools", f"Two tools are called `{twice}` ({both}), and the model calls them by name.")]


def instances_of(recipe: Recipe) -> int:
    """Counts the completions of one generation in one process."""
    if whole := recipe.settings.generation_batch_size:
        return int(whole) // int(os.environ.get("WORLD_SIZE", "1"))
    steps = recipe.settings.steps_per_generation or recipe.settings.gradient_accumulation_steps
    return int(recipe.settings.per_device_train_batch_size) * int(steps)


def _check_column(environments: Mapping[str | None, Spec], rows: Rows) -> list[Finding]:
    if not environments or None in environments:
        return []
    wrong = next((row for row in rows if row.get(ENVIRONMENT) not in environments), None)
    if wrong is None:
        return []
    text = (
        f"Row {wrong['id']!r} has `{ENVIRONMENT}: {shown(wrong.get(ENVIRONMENT))}`, and with several environments "
        f"each row names one: {', '.join(map(str, environments))}."
    )
    return [Finding("error", "tools", text)]


def _row_of(rows: Rows, name: str | None) -> dict[str, Any]:
    """Returns the first row that an environment gets, as TRL hands it over."""
    if name is None:
        return dict(rows[0])
    row = next((row for row in rows if row.get(ENVIRONMENT) == name), rows[0])
    return {key: value for key, value in row.items() if key != ENVIRONMENT}
