"""`align chat`: a look at a trained model, line by line, asked as its run asked it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from align.console import say
from align.data.row_templates import OPTIONS, RowTemplate
from align.evaluation.asked_models import Engine, open_policy
from align.evaluation.prompting import Prompting, prompt_settings, recipe_path
from align.logs.naming import names_apart
from align.models.checkpoint import find_checkpoint, load_tokenizer
from align.models.policies.asking import Decoding, Prompt
from align.recipe.dataset import places_of
from align.recipe.recipe import load_for_evaluation
from align.secrets import mask

_BETWEEN = " | "  # a question and its options


def chat(model: str, beside: str | None, temperature: float, max_new_tokens: int | None) -> None:
    """Answers each line of stdin by one model, or by two; no line knows of another."""
    from transformers.utils.logging import disable_progress_bar

    path = recipe_path(None, model)
    recipe = None if path is None else load_for_evaluation(path)
    longest = prompt_settings(recipe, {"max_new_tokens": max_new_tokens}).max_new_tokens
    Decoding(temperature, max_new_tokens=longest)  # refuses what is wrong before anything is loaded
    paths = [model] if beside is None else [model, beside]
    names, checkpoints = names_apart("model", paths), [find_checkpoint(each) for each in paths]
    data = recipe and recipe.dataset
    if places := _places(data):
        options = f" Options go behind it: `Which rusts?{_BETWEEN}iron{_BETWEEN}gold`." if OPTIONS in places else ""
        say(f"Lines are put into the `prompt_template` of {path}.{options}")
    elif _wording(data):
        say(f"The `prompt_template` of {path} does not read one column, so lines are asked without it.")
    disable_progress_bar()
    with ExitStack() as opened:
        asked = []
        for checkpoint in checkpoints:
            policy, _ = opened.enter_context(open_policy(checkpoint, Prompting().template, Engine()))
            reads_messages = load_tokenizer(checkpoint).chat_template is not None
            if not reads_messages and getattr(data, "conversational", True):
                say(f"{checkpoint.path} has no chat template: it goes on from a line as a text.")
            asked.append((policy, _asks(data, reads_messages)))
        for number, line in enumerate(_lines()):
            decoding = Decoding(temperature, max_new_tokens=longest, seed=number)
            for name, (policy, ask) in zip(names, asked, strict=True):
                ((answer,),) = policy.complete([Prompt(str(number), ask(line))], decoding)
                print(mask(f"{name}: {answer.text}" if beside else answer.text), flush=True)


def _wording(data: Any) -> str:
    found = getattr(data, "prompt_template", None) or ""
    return str(found if isinstance(found, str) else found[0])


def _places(data: Any) -> tuple[str, ...]:
    """Names what a recipe's template reads, where that is one column, with options or without; else nothing."""
    found = places_of(_wording(data))
    return found if len({*found} - {OPTIONS}) == 1 else ()


def _asks(data: Any, reads_messages: bool) -> Callable[[str], Any]:
    """Makes a prompt of a line by the template and system prompt of a recipe."""
    is_chat, places = reads_messages and getattr(data, "conversational", True), _places(data)
    system = getattr(data, "system_prompt", None) if is_chat else None
    template = RowTemplate((_wording(data) if places else "{line}",), system, is_chat)
    name = next((each for each in places if each != OPTIONS), "line")

    def ask(line: str) -> Any:
        text, *options = line.split(_BETWEEN) if OPTIONS in places else [line]
        return template.render({name: text, OPTIONS: options})

    return ask


def _lines() -> Iterator[str]:
    """Reads lines from a terminal up to Ctrl-D, or from a pipe, whose lines are shown above their answers."""
    is_asked = sys.stdin is not None and sys.stdin.isatty()
    with suppress(AttributeError):  # a stream of a notebook
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    if is_asked:
        say("Each line is a prompt of its own. Ctrl-D ends.")
    with suppress(EOFError, RuntimeError):  # the second where stdin is closed
        while True:
            line = input("> " if is_asked else "").strip()
            if line:
                if not is_asked:
                    print(f"> {line}")
                yield line
