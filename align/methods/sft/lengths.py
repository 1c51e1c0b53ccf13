"""Whether demonstrations fit: TRL cuts off what is longer, and stops where that would be an image."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from os.path import commonprefix
from typing import Any

from jinja2 import TemplateError

from align.checks.counts import NAMED
from align.checks.finding import Finding
from align.checks.images import as_read
from align.checks.lengths import AUDITED, CHARACTERS, check_window, find_tokenizer, place_images
from align.data.conversations import count_places
from align.data.template_settings import check_template_columns, template_settings
from align.models.prompt_tokenizer import PromptTokenizer
from align.recipe.recipe import Recipe

TrainedRow = Mapping[str, Any]
PACKED_TOGETHER = 1_000  # rows, of `Dataset.map`


def check_demonstration_lengths(
    recipe: Recipe, rows: Sequence[dict[str, Any]], image_tokens: Sequence[int | None] | None = None
) -> list[Finding]:
    """Tokenises demonstrations, the longest first, and compares them with `max_length` and the model's window."""
    first = _whole(rows[0])
    tokenizer, problems = find_tokenizer(recipe, first)
    if tokenizer is None:
        return problems
    is_text = isinstance(first, str)
    taken = [found or 0 for found in image_tokens] if image_tokens else [0] * len(rows)
    rows = as_read(recipe, rows)[0]
    order = sorted(range(len(rows)), key=lambda i: -len(str(rows[i] | {"images": ()})) - CHARACTERS * taken[i])[
        :AUDITED
    ]
    audited = [rows[i] for i in order]
    # Each image has one token in the text, which the processor replaces.
    more = [max(0, taken[i] - len(rows[i].get("images") or ())) for i in order]
    limit = recipe.settings.max_length
    try:
        whole = _tokenize(tokenizer, audited, [_placed(row, _whole(row)) for row in audited])
        unlearnt = _tokenize(
            tokenizer, audited, [_placed(row, _unlearnt(recipe, row)) for row in audited], is_whole=False
        )
        if limit is not None and (cut := _check_images_fit(tokenizer, audited, more, limit)):
            return cut
    except TemplateError as error:
        return [Finding("warning", "lengths", f"Lengths are unknown; the chat template says: {error}.")]
    lengths = [
        len(tokens) + is_text + each for tokens, each in zip(whole, more, strict=True)
    ]  # a text has an end token
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
    pairs = zip(unlearnt, whole, strict=True)
    prompts = [len(commonprefix(pair)) + each for pair, each in zip(pairs, more, strict=True)]  # noqa: RUF071 - of tokens
    if recipe.settings.truncation_mode == "keep_end" and not recipe.settings.packing:  # which keeps the start
        prompts = [0] * len(prompts)
    return _cut(audited, lengths, prompts, limit) + findings


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


def _check_images_fit(
    tokenizer: PromptTokenizer, rows: Sequence[TrainedRow], image_tokens: Sequence[int], limit: int
) -> list[Finding]:
    """Finds rows of which TRL would cut an image: the model then stops."""
    shown = [(row, more) for row, more in zip(rows, image_tokens, strict=True) if row.get("images")]
    whole = [_placed(row, _whole(row)) for row, _ in shown]
    parts = [each[: 1 + max(i for i, message in enumerate(each) if count_places([message]))] for each in whole]
    found = _tokenize(tokenizer, [row for row, _ in shown], parts) if shown else []
    names = [row["id"] for (row, more), tokens in zip(shown, found, strict=True) if len(tokens) + more > limit]
    if not names:
        return []
    text = (
        f"The images of {len(names)} demonstrations do not fit into `max_length` = {limit}: {_names(names)}. Raise "
        "it, or lower `dataset.num_frames` or `dataset.max_pixels`."
    )
    return [Finding("error", "lengths", text, {"rows": names[:20]})]


def _placed(row: TrainedRow, part: Any) -> Any:
    """Puts the images of a row, or the one place of its video, into a part of it that is not empty."""
    return place_images(part, len(row.get("images") or ())) if part else part


def _cut(rows: Sequence[TrainedRow], lengths: Sequence[int], prompts: Sequence[int], limit: int) -> list[Finding]:
    long = [(row["id"], prompt) for row, length, prompt in zip(rows, lengths, prompts, strict=True) if length > limit]
    gone = [name for name, prompt in long if prompt >= limit]
    remedy = f"Shorten them, or raise `max_length` from {limit}: set `max_length: {max(lengths)}`."
    text = f"{len(long)} of {len(rows)} demonstrations are longer than `max_length`, and TRL cuts them off: "
    text += f"{_names([name for name, _ in long])}. {remedy}"
    findings = [Finding("warning", "lengths", text, {"max": max(lengths)})]
    if gone:
        text = f"Of {len(gone)} demonstrations the prompt alone fills `max_length`, and nothing is learnt from them: "
        level = "error" if len(gone) == len(rows) else "warning"
        findings.append(Finding(level, "lengths", f"{text}{_names(gone)}. {remedy}"))  # type: ignore[arg-type]
    return findings


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


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


def _tokenize(
    tokenizer: PromptTokenizer, rows: Sequence[TrainedRow], parts: Sequence[Any], *, is_whole: bool = True
) -> list[list[int]]:
    """Tokenises parts of rows as TRL does, which has the answer announced after a beginning; nothing has no tokens."""
    is_text = isinstance(parts[0], str)
    rendered = [
        part
        if is_text or not part
        else tokenizer.render(
            part, add_generation_prompt=not is_whole, settings=template_settings(check_template_columns(row))
        )
        for row, part in zip(rows, parts, strict=True)
    ]
    encoded = tokenizer.encode([text or "" for text in rendered], add_special_tokens=is_text)
    return [encoding.ids if part else [] for encoding, part in zip(encoded, parts, strict=True)]
