"""Demonstrations: loaded and checked row by row, counted and measured."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from packaging.version import Version

from align.checks.counts import check_counts, check_rows
from align.checks.finding import Finding
from align.checks.images import check_images
from align.checks.launch import Launch
from align.checks.memory import Footprint, activations
from align.data.demonstrations import Demonstration, load_demonstrations
from align.data.media.images import add_images
from align.data.problems import DataReport
from align.data.template_settings import add_template_columns
from align.data.training_data import Rows, TrainingData, load_training_data
from align.errors import DataError
from align.methods.sft.lengths import check_demonstration_lengths
from align.methods.sft.rules import DemonstrationDatasetConfig
from align.models.model_files import ModelFiles
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def load(recipe: Recipe) -> TrainingData[Demonstration]:
    """Reads the demonstrations of a recipe; incorrect ones make no rows where the recipe does not keep them."""
    data = cast(DemonstrationDatasetConfig, recipe.dataset)

    def read(source: DemonstrationDatasetConfig) -> tuple[list[Demonstration], DataReport]:
        return load_demonstrations(source.path, media=source, **source.reading)

    def to_rows(items: Sequence[Demonstration]) -> Rows:
        kept = [item for item in items if data.keep_incorrect or item.is_correct is not False]
        rows = [{"id": item.id} | item.columns for item in kept]
        return add_images(add_template_columns(rows, [item.template for item in kept]), kept)

    loaded = load_training_data(data, read, to_rows)
    if not loaded.rows:
        raise DataError(
            f"All {len(loaded.items)} rows of {data.path} have `correct: false`, and `dataset.keep_incorrect: false` "
            f"leaves them out. Keep them, or give rows that are right."
        )
    return loaded


def check(recipe: Recipe, data: TrainingData[Demonstration], rewards: Sequence[Reward]) -> list[Finding]:
    """Counts demonstrations and incorrect ones, and measures lengths."""
    findings = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    findings += _check_incorrect(recipe, data.items)
    forms = sorted({item.form for item in data.items})
    if len(forms) > 1:
        text = (
            f"Some rows are {forms[0]} and others {forms[1]}; TRL looks at the first only. Write all of them one way."
        )
        return [*findings, Finding("error", "data", text)]
    findings += _check_learnt_part(recipe, data.items[0]) + _check_read_part(recipe, data.items[0])
    if refused := _check_shown(recipe, data):
        return findings + refused
    images = check_images(recipe, data.rows)
    return findings + images.findings + check_demonstration_lengths(recipe, data.rows, images.tokens)


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
    template = ModelFiles.of(recipe).chat_template
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


def _check_shown(recipe: Recipe, data: TrainingData[Demonstration]) -> list[Finding]:
    """Refuses what TRL does not do for rows with images, or would do without saying so, before a model is loaded."""
    shown, settings = any(item.images for item in data.items), recipe.settings
    if not shown:
        if not any(row.get("images") for row in data.eval_rows):
            return []
        text = (
            "The rows for evaluation have images and those for training have none, so that TRL would not read them. "
            "Give both images, or neither."
        )
        return [Finding("error", "images", text)]
    in_parts = "prompt" in data.items[0].columns
    columns = next((list(item.template) for item in data.items if item.template), [])
    marks = not in_parts and Version(version("transformers")) >= Version("5.18.0.dev0")
    refused = {
        "`packing: true` joins rows. Remove it": settings.packing,
        "`padding_free: true` joins rows. Remove it": settings.padding_free,
        "`truncation_mode: keep_end` may cut images off. Remove it": settings.max_length is not None
        and settings.truncation_mode == "keep_end",
        "`assistant_only_loss: true` needs `messages` and transformers 5.18. Write `prompt` and `completion` without "
        "it": settings.assistant_only_loss and not marks,
        "`pad_to_multiple_of` does not go with `prompt` and `completion`. Remove it": in_parts
        and settings.pad_to_multiple_of not in (None, "auto"),
        f"TRL does not give `{(columns or [''])[0]}` to the chat template. Leave the column out": bool(columns),
    }
    text = "Rows have images, and "
    return [Finding("error", "images", f"{text}{why}.") for why, is_so in refused.items() if is_so]


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
