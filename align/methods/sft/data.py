"""Demonstrations: read, validated row by row, counted and measured."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from align.checks.batch import check_rows
from align.checks.counts import check_counts
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.memory import Footprint, activations
from align.checks.templates import read_chat_template
from align.data.problems import DataReport
from align.data.template_settings import add_template_columns
from align.data.training_data import Rows, TrainingData, load_training_data
from align.errors import DataError
from align.methods.sft.demonstrations import Demonstration, load_demonstrations
from align.methods.sft.lengths import check_demonstration_lengths
from align.methods.sft.rules import DemonstrationDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def load(recipe: Recipe) -> TrainingData[Demonstration]:
    """Reads the demonstrations of a recipe; incorrect ones make no rows where the recipe does not keep them.

    Raises:
        DataError: If the data cannot be read, has rows that cannot be used and should not be skipped, or nothing is
            left without the incorrect ones.
    """
    data = cast(DemonstrationDatasetConfig, recipe.dataset)

    def read(source: DemonstrationDatasetConfig) -> tuple[list[Demonstration], DataReport]:
        return load_demonstrations(
            source.path,
            split=source.split,
            on_bad_rows=source.on_bad_rows,
            max_rows=source.max_rows,
            columns=source.columns,
        )

    def to_rows(items: Sequence[Demonstration]) -> Rows:
        kept = [item for item in items if data.keep_incorrect or item.is_correct is not False]
        return add_template_columns(
            [{"id": item.id} | item.columns for item in kept], [item.template for item in kept]
        )

    loaded = load_training_data(data, read, to_rows)
    if not loaded.rows:
        raise DataError(
            f"All {len(loaded.items)} rows of {data.path} have `correct: false`, and `dataset.keep_incorrect: false` "
            f"leaves them out. Keep them, or give rows that are right."
        )
    return loaded


def check(recipe: Recipe, data: TrainingData[Demonstration], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts demonstrations and incorrect ones, and measures lengths."""
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    findings += _check_incorrect(recipe, data.items)
    forms = sorted({item.form for item in data.items})
    if len(forms) > 1:
        text = (
            f"Some rows are {forms[0]} and others {forms[1]}; TRL looks at the first only. Write all of them one way."
        )
        return [*findings, Finding("error", "data", text)]
    findings += _check_learnt_part(recipe, data.items[0]) + _check_read_part(recipe, data.items[0])
    return findings + check_demonstration_lengths(recipe, data.rows)


def _check_incorrect(recipe: Recipe, items: Sequence[Demonstration]) -> list[Finding]:
    wrong = sum(item.is_correct is False for item in items)
    if not wrong:
        return []
    text = f"{wrong} of {len(items)} rows have `correct: false`. "
    if cast(DemonstrationDatasetConfig, recipe.dataset).keep_incorrect:
        text += "They are learnt from, too; `dataset.keep_incorrect: false` leaves them out."
    else:
        text += "They are left out, as `dataset.keep_incorrect: false` asks for."
    return [Finding("warning", "data", text, {"incorrect": wrong})]


def _check_learnt_part(recipe: Recipe, item: Demonstration) -> list[Finding]:
    """Refuses rows without the part that alone is to be learnt: TRL ends after loading, or learns from all of them."""
    remedy = None
    if recipe.settings.assistant_only_loss and not item.is_conversational:
        remedy = "`assistant_only_loss: true` needs messages. Write the rows as messages"
    elif recipe.settings.completion_only_loss and "prompt" not in item.columns:
        remedy = "`completion_only_loss: true` needs `prompt` and `completion`. Write the rows so"
    if remedy is not None:
        return [Finding("error", "data", f"The rows are {item.form}, and {remedy}, or remove it.")]
    template = read_chat_template(recipe.model.chat_template_path or recipe.model.model_name_or_path)
    if not recipe.settings.assistant_only_loss or template is None or marks_answers(template):
        return []
    text = (
        "`assistant_only_loss: true` needs a chat template that marks answers with `{% generation %}`, and the one of "
        "this run neither does nor is known to TRL. Set `chat_template_path` to one that does, or remove the setting."
    )
    return [Finding("error", "chat template", text)]


def _check_read_part(recipe: Recipe, item: Demonstration) -> list[Finding]:
    """Refuses settings by which TRL would not read these rows; in Python they have a meaning for other data."""
    findings = []
    if (recipe.settings.dataset_kwargs or {}).get("skip_prepare_dataset"):
        text = (
            "`dataset_kwargs: {skip_prepare_dataset: true}` needs rows of tokens, and those of a recipe are texts and "
            "messages. Remove it."
        )
        findings.append(Finding("error", "data", text))
    if (field := recipe.settings.dataset_text_field) != "text" and "text" in item.columns:
        text = (
            f"`dataset_text_field` must stay `text`, as rows of a recipe call it; got {field!r}. Remove it, and name "
            f"the column of the file: `dataset.columns: {{text: {field}}}`."
        )
        findings.append(Finding("error", "data", text))
    return findings


def check_batch(recipe: Recipe, launch: Launch, num_rows: int) -> list[Finding]:
    """Says what one step over demonstrations is."""
    if recipe.settings.packing:
        detail = ", each filled with several demonstrations, so that a pass takes fewer steps than said here"
        return check_rows(recipe, launch, num_rows, "rows", detail, 1)
    return check_rows(recipe, launch, num_rows, "demonstrations", "", 1)


def footprint(recipe: Recipe) -> Footprint:
    """Says what SFT keeps in memory."""
    return Footprint(activations(recipe, 1, "sequences"))


# TRL 1.16, `has_generation_markers`
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def marks_answers(template: str) -> bool:
    """Says whether a chat template marks answers itself, or TRL has the same template with marks.

    Example:
        >>> marks_answers("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}")
        True
    """
    if _MARK.search(template):
        return True
    spec = find_spec("trl")  # reading its files: importing it takes seconds
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ()), "")) / "chat_templates"
    marked = folder.glob("*_training.jinja")
    plain = (file.with_name(file.name.replace("_training", "")) for file in marked)
    return template in (file.read_text(encoding="utf-8") for file in plain if file.is_file())
