"""Whether answers follow what tools returned, or were known or invented anyway."""

from dataclasses import dataclass

from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite
from align.evaluation.suites.tools import ToolOptions
from align.options import option


@dataclass(frozen=True, kw_only=True)
class RelianceOptions(ToolOptions):
    """What is taken where results of tools are changed."""

    families: list[str] | None = option(
        None,
        "What changes a result: other_value, error, paraphrase, irrelevant, or ./mine.py:function; else all four.",
    )
    gold_column: str = option("answer", "Column of the right answer.", rare=True)
    second_turns: int = option(0, "Times that an answer behind a changed result may call tools again.", rare=True)


_MEANINGS = {
    "tool_reliance": ("Reliance", "answers that give the new value of a changed result; /X: by tool or turn", HIGH),
    "tool_invariance": ("Invariance", "answers kept when a result is reworded or padded; /X: by tool or turn", HIGH),
    "tool_withheld": ("Withheld results", "answers that say so, or call again, when an error replaces the gold's only "
        "result", HIGH),
    "invented": ("Invented", "answers behind a changed result whose value neither prompt nor result states", LOW),
    "changed": ("Changed results", "families that could change a result, of each answer", None),
}  # fmt: skip

TOOL_RELIANCE = Suite(
    name="tool_reliance",
    about="Answers behind a changed result of a tool: reliance, invariance, and what is invented.",
    rows="prompts and rewards",
    options=RelianceOptions,
    load="align.evaluation.suites.tool_reliance.evaluation:load",
    measure="align.evaluation.suites.tool_reliance.evaluation:measure",
    finish="align.evaluation.suites.tool_reliance.evaluation:finish",
    reads=("prompts",),
    makes_prompts=False,
    items="answers",
    meanings=_MEANINGS,
)
