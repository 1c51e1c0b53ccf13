"""Whether demonstrations fit: TRL cuts off what is longer, and stops where that would be an image."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile
from os.path import commonprefix
from typing import Any, cast

from align.checks.counts import name_first
from align.checks.finding import Finding
from align.checks.lengths import beyond_places, check_window, pick_longest, place_images, tokenize_rows
from align.data.conversations import count_places
from align.data.template_settings import check_template_columns, template_settings
from align.data.training_data import Rows
from align.models.prompt_tokenizer import PromptTokenizer
from align.recipe.recipe import Recipe

TrainedRow = Mapping[str, Any]
READ = ("tools", "prompt", "completion", "messages", "text")  # columns
PACKED_TOGETHER = 1_000  # rows, of `Dataset.map`


def check_demonstration_lengths(
    recipe: Recipe, rows: Sequence[dict[str, Any]], image_tokens: Sequence[int | None] | None = None
) -> list[Finding]:
    """Tokenises demonstrations, the longest first, and compares them with `max_length` and the model's window."""
    looked_at, taken = pick_longest(recipe, rows, image_tokens, READ)
    is_text = isinstance(_whole(rows[0]), str)
    encoded, problems = tokenize_rows(recipe, looked_at, partial(_render, recipe), is_text=is_text)
    if problems:
        return problems
    limit, more = recipe.settings.max_length, beyond_places(looked_at, taken)
    ends = [len(parts[2].ids) + each for parts, each in zip(encoded, more, strict=True)]
    if limit is not None and (cut := _check_images_fit(looked_at, ends, limit)):
        return cut
    lengths = [len(parts[0].ids) + each for parts, each in zip(encoded, more, strict=True)]
    if few := _check_packed(recipe, lengths, len(rows)):
        return few
    findings = check_window(recipe, lengths, "Rows", "A demonstration")
    longest = max(lengths)
    if limit is None or longest <= limit or any(found.level == "error" for found in findings):
        return findings
    if recipe.settings.packing and recipe.settings.packing_strategy != "bfd":
        text = (
            f"A demonstration takes up to {longest} tokens; packing splits what is longer than `max_length` = {limit} "
            "and leaves nothing out."
        )
        return [Finding("ok", "lengths", text, {"audited": len(lengths), "max": longest}), *findings]
    starts = [commonprefix([part.ids for part in parts[:2]]) for parts in encoded]  # noqa: RUF071 - of tokens
    prompts = [len(start) + each for start, each in zip(starts, more, strict=True)]
    if recipe.settings.truncation_mode == "keep_end" and not recipe.settings.packing:  # which keeps the start
        prompts = [0] * len(prompts)
    return _cut(looked_at, lengths, prompts, limit) + findings


def _check_packed(recipe: Recipe, lengths: Sequence[int], num_rows: int) -> list[Finding]:
    """Finds rows that, packed, cannot fill one batch, where such a batch is left out; the trainer counts them."""
    limit, batch = recipe.settings.max_length, recipe.settings.per_device_train_batch_size
    if not recipe.settings.packing or limit is None or not recipe.settings.dataloader_drop_last:
        return []
    tokens = sum(lengths) + max(lengths) * (num_rows - len(lengths))
    # No two rows that TRL packs would fit into one, but for the last of those that it packs together.
    most = 2 * tokens // limit + num_rows // PACKED_TOGETHER + (recipe.settings.dataset_num_proc or 1)
    if most >= batch:
        return []
    text = (
        f"`packing: true` makes at most {most} rows of `max_length: {limit}` tokens, fewer than "
        f"`per_device_train_batch_size: {batch}`, and `dataloader_drop_last: true` leaves such a batch out: nothing "
        "would be trained. Use a smaller batch, give more data, or remove `dataloader_drop_last`."
    )
    return [Finding("error", "batch", text)]


def _check_images_fit(rows: Rows, ends: Sequence[int], limit: int) -> list[Finding]:
    """Finds rows of which TRL would cut an image, which end at these tokens: the model then stops."""
    names = [row["id"] for row, end in zip(rows, ends, strict=True) if row.get("images") and end > limit]
    if not names:
        return []
    text = (
        f"The images of {len(names)} demonstrations do not fit into `max_length` = {limit}: {name_first(names)}. "
        "Raise it, or lower `dataset.num_frames` or `dataset.max_pixels`."
    )
    return [Finding("error", "lengths", text, {"rows": names[:20]})]


def _cut(rows: Sequence[TrainedRow], lengths: Sequence[int], prompts: Sequence[int], limit: int) -> list[Finding]:
    long = [(row["id"], prompt) for row, length, prompt in zip(rows, lengths, prompts, strict=True) if length > limit]
    gone = [name for name, prompt in long if prompt >= limit]
    remedy = f"Shorten them, or raise `max_length` from {limit}: set `max_length: {max(lengths)}`."
    text = f"{len(long)} of {len(rows)} demonstrations are longer than `max_length`, and TRL cuts them off: "
    text += f"{name_first([name for name, _ in long])}. {remedy}"
    findings = [Finding("warning", "lengths", text, {"max": max(lengths)})]
    if gone:
        text = f"Of {len(gone)} demonstrations the prompt alone fills `max_length`, and nothing is learnt from them: "
        level = "error" if len(gone) == len(rows) else "warning"
        findings.append(Finding(level, "lengths", f"{text}{name_first(gone)}. {remedy}"))  # type: ignore[arg-type]
    return findings


def _whole(row: TrainedRow) -> Any:
    return row["prompt"] + row["completion"] if "prompt" in row else row.get("messages", row.get("text"))


def _unlearnt(recipe: Recipe, row: TrainedRow) -> Any:
    """Returns the beginning of a row that TRL learns nothing of."""
    whole = _whole(row)
    completion_only = "prompt" in row and recipe.settings.completion_only_loss is not False  # TRL: null is true here
    first = row["prompt"] if completion_only else whole[:0]
    if not recipe.settings.assistant_only_loss or isinstance(whole, str):
        return first
    return [*first, *takewhile(lambda message: message["role"] != "assistant", whole[len(first) :])]


def _render(recipe: Recipe, tokenizer: PromptTokenizer, row: TrainedRow) -> tuple[str, ...]:
    """Writes a row, the beginning that is not learnt, and what ends with its last image; TRL announces an answer."""
    whole, unlearnt = _whole(row), _unlearnt(recipe, row)
    if isinstance(whole, str):
        return tokenizer.end(whole), unlearnt, ""
    images, settings = len(row.get("images") or ()), template_settings(check_template_columns(row))
    whole, unlearnt = (cast(list[Any], place_images(part, images)) if part else part for part in (whole, unlearnt))
    shown = whole[: 1 + max((i for i, message in enumerate(whole) if count_places([message])), default=-1)]
    return tuple(
        tokenizer.render(part, add_generation_prompt=part is unlearnt, settings=settings) if part else ""
        for part in (whole, unlearnt, shown)
    )
