"""What rewards say of a policy's answers to prompts with tools, and how it uses them."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, WithSamples
from align.evaluation.statistics.glossary import HIGH
from align.evaluation.suite import Suite
from align.evaluation.suites.prompts import ByRewards
from align.options import option


@dataclass(frozen=True, kw_only=True)
class WithTools:
    """What the model may call; by default the tools or environment of the recipe."""

    tools: list[str] | None = option(None, "Functions, as ./file.py:name or package.module:name; several words.")
    environment: str | None = option(None, "Environment: a class, as ./file.py:name, or verifiers:NAME.")
    tool_timeout: float | None = option(None, "Seconds for one call; else the recipe's, or 30.", rare=True)
    max_tool_calling_iterations: int | None = option(None, "Turns that may call; else the recipe's.", rare=True)
    endpoint: str | None = option(
        None, "URL of a server, such as http://localhost:8000/v1; `--model` is then what it calls the model."
    )
    api_key_env: str | None = option(None, "Variable that holds the key of the server.", rare=True)
    concurrency: int = option(16, "Calls to the server at once.", rare=True)


@dataclass(frozen=True, kw_only=True)
class ToolOptions(WithTools, ByRewards, WithSamples, ByEngine, OfPolicies):
    """What is taken where models answer with tools."""


_MEANINGS = {
    "tools/success": ("Success", "answers whose first reward is positive, or at least `--right_from`; lost tools "
        "count as failure", HIGH),
    "tools/": ("Use of tools", "of an answer: turns, calls, failures, seconds, tokens; share called, cut off, "
        "unanswered, lost", None),
}  # fmt: skip

TOOLS = Suite(
    name="tools",
    about="Answers with tools or an environment: success, pass@k, turns and calls.",
    rows="prompts and rewards",
    options=ToolOptions,
    load="align.evaluation.suites.tools.evaluation:load",
    measure="align.evaluation.suites.tools.evaluation:measure",
    finish="align.evaluation.suites.tools.evaluation:finish",
    reads=("prompts",),
    makes_prompts=False,
    items="answers",
    meanings=_MEANINGS,
)
