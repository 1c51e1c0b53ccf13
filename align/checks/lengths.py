"""Whether prompts fit: too long a prompt crashes vLLM mid-run, and is truncated silently elsewhere."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jinja2 import TemplateError

from align.checks.finding import Finding
from align.checks.images import as_read, check_images
from align.checks.vllm_server import served_window, uses_server
from align.data.conversations import put_images_in
from align.data.loading import Item
from align.data.problems import DataReport, RowProblem
from align.data.stored_items import ItemKeeper, MadeRows, pick
from align.models.model_files import ModelFiles
from align.models.prompt_tokenizer import PromptTokenizer
from align.models.rope_lengths import positions_by_length
from align.recipe.dataset import DatasetConfig
from align.recipe.recipe import Recipe

CHARACTERS = 4  # of a text to a token, about
AUDITED = 2_000  # questions that are tokenised; the longest texts first, so that an overlong one is found


def check_lengths(
    recipe: Recipe, rows: Sequence[dict[str, Any]], image_tokens: Sequence[int | None] | None = None
) -> list[Finding]:
    """Tokenises prompts and compares them with the window that completions leave."""
    tokenizer = ModelFiles.of(recipe).tokenizer
    if tokenizer is None:
        text = (
            f"The tokenizer of {recipe.model.model_name_or_path!r} is not on this machine; prompt lengths are unknown."
        )
        return [Finding("warning", "lengths", text)]
    rows = as_read(recipe, rows)[0]
    if findings := _lacks_template(recipe, tokenizer, rows):
        return findings
    taken = [found or 0 for found in image_tokens] if image_tokens else [0] * len(rows)
    order = longest_first(rows, taken)[:AUDITED]
    try:
        lengths = prompt_lengths(tokenizer, rows, order, taken)
    except TemplateError as error:
        text = f"The chat template fails on the prompts: {error}. Set `chat_template_path`, or mend the model's own."
        return [Finding("error", "lengths", text)]
    longest, completion = max(lengths), int(recipe.settings.max_completion_length)
    numbers = {"audited": len(lengths), "mean": sum(lengths) / len(lengths), "max": longest}
    moved = check_positions(recipe, lengths, growth=completion)
    window = context_window(recipe)
    if window is None:
        return [
            Finding("warning", "lengths", f"Prompts take up to {longest} tokens; the window is unknown.", numbers),
            *moved,
        ]
    budget = window - completion
    over = [(rows[i]["id"], length) for i, length in zip(order, lengths, strict=True) if length > budget]
    if over:
        name, length = max(over, key=lambda found: found[1])
        limit = "--max-model-len of the vLLM server" if uses_server(recipe) else "`vllm_max_model_length`"
        raised = f", or raise {limit} if that is the limit" if recipe.uses_vllm else ""
        shorten = "Lower `dataset.max_pixels` or `dataset.num_frames`" if any(taken) else "Shorten them"
        where = "" if len(rows) <= AUDITED else f" of the {AUDITED:,} longest of {len(rows):,}"
        text = (
            f"{len(over):,}{where} prompts are longer than {budget} tokens (window {window} - `max_completion_length` "
            f"{completion}); the longest is {name!r} with {length}. {shorten}, or lower "
            f"`max_completion_length`{raised}, or leave them out with `dataset.on_bad_rows: skip`."
        )
        if budget <= 0:
            text = (
                f"`max_completion_length` {completion} leaves no room for prompts in the window of {window} tokens; "
                f"the longest, {name!r}, takes {length}. Lower it{raised}."
            )
        return [Finding("error", "lengths", text, numbers | {"over": over[:20]}), *moved]
    mean = f"{numbers['mean']:.0f} tokens on average"
    which = "Prompts" if len(rows) <= AUDITED else f"The {AUDITED:,} longest of {len(rows):,} prompts"
    text = f"{which} take {mean} and {longest} at most, of {budget} ({window} - {completion})."
    return [Finding("ok", "lengths", text, numbers | {"budget": budget}), *moved]


def longest_first(rows: Sequence[dict[str, Any]], image_tokens: Sequence[int]) -> list[int]:
    """Orders the places of rows by about how long their prompts are."""
    if isinstance(rows, MadeRows):
        sizes = rows.prompt_sizes()
    else:
        sizes = [len(str(row["prompt"])) + CHARACTERS * image_tokens[i] for i, row in enumerate(rows)]
    return sorted(range(len(rows)), key=sizes.__getitem__, reverse=True)


def prompt_lengths(
    tokenizer: PromptTokenizer, rows: Sequence[dict[str, Any]], places: Sequence[int], image_tokens: Sequence[int]
) -> list[int]:
    """Counts the tokens of the prompts at some places, those of their images included."""
    found = pick(rows, places)
    texts = tokenizer.count([place_images(row["prompt"], len(row.get("images") or ())) for row in found])
    # Each image has one token in the text, which the processor replaces.
    return [
        text + max(0, image_tokens[i] - len(row.get("images") or ()))
        for text, i, row in zip(texts, places, found, strict=True)
    ]


def _lacks_template(recipe: Recipe, tokenizer: PromptTokenizer, rows: Sequence[dict[str, Any]]) -> list[Finding]:
    some = rows[:1] if isinstance(rows, MadeRows) else rows  # that are made have one form
    if tokenizer.chat_template or all(isinstance(row["prompt"], str) for row in some):
        return []
    texts = "set `dataset.conversational: false`" if hasattr(recipe.dataset, "conversational") else "write texts"
    text = (
        f"The prompts are messages and the tokenizer of {recipe.model.model_name_or_path} has no chat template. Set "
        f"`chat_template_path`, use a model that has one, or {texts}."
    )
    return [Finding("error", "lengths", text)]


def find_tokenizer(recipe: Recipe, prompt: object) -> tuple[PromptTokenizer | None, list[Finding]]:
    """Finds what rows such as this one are measured with, or says why they cannot be."""
    tokenizer, name = ModelFiles.of(recipe).tokenizer, recipe.model.model_name_or_path
    if tokenizer is None:
        text = f"{name!r} has no tokenizer.json on this machine; lengths are unknown."
        return None, [Finding("warning", "lengths", text)]
    if isinstance(prompt, str) or tokenizer.chat_template or recipe.model.chat_template_path:
        return tokenizer, []
    text = f"Rows are messages and {name} has no chat template. Set `chat_template_path`, or write texts."
    return None, [Finding("error", "lengths", text)]


def place_images(prompt: str | list[dict[str, Any]], number: int) -> str | list[dict[str, Any]]:
    """Puts images in front of the first message of the user; a prompt without images stays as it is."""
    if isinstance(prompt, str) or not number:
        return prompt
    return put_images_in(prompt, [{"type": "image"}] * number)


def context_window(recipe: Recipe) -> int | None:
    """Returns the tokens that prompt and completion share, None where the model's config is not on this machine."""
    limits = [ModelFiles.of(recipe).config.get("max_position_embeddings")]
    if uses_server(recipe):
        limits.append(served_window(recipe))
    elif recipe.uses_vllm:
        limits.append(recipe.settings.vllm_max_model_length)
    known = [limit for limit in limits if limit]
    return min(known) if known else None


def check_positions(recipe: Recipe, lengths: Sequence[int], *, growth: int = 0) -> list[Finding]:
    """Finds rows on both sides of the length up to which rotary positions stay the same.

    TRL's trainers put rows of unlike length into one batch; `growth` tokens may be generated behind each.
    """
    model = ModelFiles.of(recipe)
    by_length = positions_by_length(model.config)
    longest = max(lengths, default=0) + growth
    if by_length is None or longest <= by_length.tokens:
        return []
    if by_length.kind == "longrope" and min(lengths) > by_length.tokens:
        return []  # all have the positions of long rows
    remedy = f"Set `max_length: {by_length.tokens}` or less, or use a model whose positions are the same in any batch."
    if growth and (room := by_length.tokens - max(lengths)) > 0:
        remedy = (
            f"Set `max_completion_length: {room}` or less, or use a model whose positions are the same in any batch."
        )
    elif growth:
        remedy = f"Leave out prompts of {by_length.tokens} tokens and more, or use a model without such positions."
    text = (
        f"{model.name} has {by_length.kind} positions: a batch with a row longer than {by_length.tokens} tokens "
        f"gives its rows other positions than each has alone, and rows take up to {longest}. TRL reads them "
        f"together, so what is learnt from a row depends on the others in its batch. {remedy}"
    )
    return [Finding("warning", "positions", text, {"tokens": by_length.tokens, "max": longest})]


def check_window(recipe: Recipe, lengths: Sequence[int], rows: str, each: str) -> list[Finding]:
    """Says how long rows are where they fit, and whether they fit the model's window where `max_length` lets them."""
    window, limit = context_window(recipe), recipe.settings.max_length
    longest, mean = max(lengths), sum(lengths) / len(lengths)
    used = longest if limit is None else min(longest, limit)
    if limit is not None and getattr(recipe.settings, "packing", False):
        used = limit
    moved = check_positions(recipe, [length if limit is None else min(length, limit) for length in lengths])
    if window is not None and used > window:
        text = f"{rows} take up to {used} tokens; the model's window is {window}. Set `max_length: {window}` or less."
        return [Finding("error", "lengths", text, {"max": longest, "window": window}), *moved]
    if used < longest:
        return moved
    most = "" if limit is None else f", of `max_length` = {limit}"
    text = f"{each} takes {mean:.0f} tokens on average and {longest} at most{most}."
    return [Finding("ok", "lengths", text, {"audited": len(lengths), "mean": mean, "max": longest}), *moved]


T = TypeVar("T", bound=Item)
R = TypeVar("R", bound=DataReport)
RULE = "the prompt leaves no room for a completion"


def leave_out_long(
    recipe: Recipe, source: DatasetConfig, read: tuple[Sequence[T], R], to_rows: Callable[[Sequence[T]], Any]
) -> tuple[Sequence[T], R]:
    """Leaves out what `check_lengths` would refuse, and reports it, if the source says `on_bad_rows: skip`."""
    items, report = read
    tokenizer, window = ModelFiles.of(recipe).tokenizer, context_window(recipe)
    if source.on_bad_rows != "skip" or tokenizer is None or window is None:
        return read
    budget = window - int(recipe.settings.max_completion_length)
    rows = to_rows(items)
    taken = [found or 0 for found in check_images(recipe, rows).tokens or [0] * len(rows)]
    rows = as_read(recipe, rows)[0]
    order, over = longest_first(rows, taken), dict[int, int]()
    for start in range(0, len(order), AUDITED):
        places = order[start : start + AUDITED]
        try:
            lengths = prompt_lengths(tokenizer, rows, places, taken)
        except TemplateError:  # which the check of lengths says
            return read
        found = {place: length for place, length in zip(places, lengths, strict=True) if length > budget}
        over |= found
        if not found:
            break
    if not over or len(over) == len(items):
        return read
    with ItemKeeper[T]() as keeper:
        for place, item in enumerate(items):
            if place in over:
                remedy = f"The window leaves {budget}; shorten it, or lower `max_completion_length`."
                problem = RowProblem(report.file, item.row, "prompt", f"{over[place]} tokens", RULE, remedy)
                report.problems.append(problem)
            else:
                keeper.add(item)
        report.num_kept -= len(over)
        return keeper.items(), report
