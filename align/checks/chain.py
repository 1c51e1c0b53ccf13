"""Whether the second run of a chain can use the reward model of the first, which is not there yet."""

from collections.abc import Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.lengths import load_tokenizer
from align.checks.reward_models import PREFIXED
from align.data.training_data import TrainingData
from align.recipe.recipe import Recipe

Rows = Sequence[dict[str, Any]]


def check_chain(recipe: Recipe, first: TrainingData[Any], second: TrainingData[Any], launch: Launch) -> list[Finding]:
    """Compares what the reward model learns from with what it will be asked about.

    Args:
        recipe: With a second run.
        first: Data of the first run.
        second: Data of the second.
        launch: Under which both are made.
    """
    findings = []
    prefix = first.extra.scale.prefix if hasattr(first.extra, "scale") else ""
    if prefix:
        findings.append(Finding("error", "chain", f"The reward model: {PREFIXED.format(prefix=prefix)}"))
    return findings + _check_forms(recipe, first.rows, second.rows)


def _check_forms(recipe: Recipe, first: Rows, second: Rows) -> list[Finding]:
    learns, reads = ("texts" if isinstance(rows[0]["prompt"], str) else "messages" for rows in (first, second))
    tokenizer = load_tokenizer(recipe)
    if reads == "messages" and tokenizer is not None and not tokenizer.chat_template:
        text = (
            "The prompts of `then` are messages, and the tokenizer of the reward model, "
            f"{recipe.model.model_name_or_path}, has no chat template. Set `chat_template_path`, or write texts."
        )
        return [Finding("error", "chain", text)]
    if learns != reads:
        text = f"The reward model learns from {learns} and will be asked about {reads}. Write both in one form."
        return [Finding("warning", "chain", text)]
    return [Finding("ok", "chain", f"The reward model learns from {learns}, and is asked about {reads}.")]
