"""Whether a model can be told of tools and read when it calls one, from its tokenizer, before the model is loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.lengths import context_window, read_chat_template
from align.checks.model import model_folder
from align.recipe.problems import one_line
from align.recipe.recipe import Recipe

Rows = Sequence[Mapping[str, Any]]
MEASURED = 50  # prompts, the longest
REMEDY = (
    "Use a model that was trained to call tools, such as Qwen/Qwen3-0.6B, or write it a template "
    "(`chat_template.jinja` beside its tokenizer)."
)


def check_template(recipe: Recipe, tools: Sequence[Callable[..., Any]], rows: Rows) -> list[Finding]:
    """Renders a conversation with tools, as TRL will, and measures the longest prompts."""
    from transformers import AutoTokenizer

    model = recipe.model.model_name_or_path
    folder = model_folder(model)
    if folder is None:
        text = f"The tokenizer of {model!r} is not on this machine; whether it knows tools is seen when it is loaded."
        return [Finding("warning", "tools", text)]
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if recipe.model.chat_template_path is not None:
            tokenizer.chat_template = read_chat_template(recipe.model.chat_template_path)
        problem = _problem(tokenizer, tools)
        if not problem:
            return [_check_window(recipe, tokenizer, tools, rows)]
    except Exception as error:  # whatever a template raises
        problem = f"fails on a conversation with tools: {one_line(error)}"
    return [Finding("error", "tools", f"The chat template of {model} {problem}. {REMEDY}")]


def _problem(tokenizer: Any, tools: Sequence[Callable[..., Any]]) -> str:
    from trl.chat_template_utils import (
        add_response_schema,
        get_training_chat_template,
        is_chat_template_prefix_preserving,
        supports_tool_calling,
    )

    if not tokenizer.chat_template:
        return "is missing"
    if not supports_tool_calling(tokenizer):
        return "knows no tools: calls in a message of the assistant, or messages of the role `tool`, do not show up"
    if not any(getattr(tokenizer, name, None) for name in ("response_template", "response_schema")):
        try:
            add_response_schema(tokenizer)
        except ValueError:
            return (
                "is none that TRL can read calls from: its tokenizer has no `response_template`, and it is not the "
                "template of a model that TRL knows"
            )
    if not is_chat_template_prefix_preserving(tokenizer):
        try:
            get_training_chat_template(tokenizer)
        except ValueError:
            return "writes earlier messages otherwise once a result follows, and TRL has no other for it"
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
