"""Whether prompts fit: too long a prompt crashes vLLM mid-run, and is truncated silently elsewhere."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jinja2 import TemplateError

from align.checks.finding import Finding, Level
from align.checks.images import as_read, check_images
from align.checks.vllm_server import served_window, uses_server
from align.data.conversations import put_images_in
from align.data.loading import Item
from align.data.problems import DataReport, RowProblem
from align.data.stored_items import ItemKeeper, MadeRows, pick
from align.data.training_data import Rows
from align.errors import RecipeError
from align.models.model_files import ModelFiles
from align.models.prompt_tokenizer import PromptTokenizer
from align.models.rope_lengths import positions_by_length
from align.recipe.dataset import DatasetConfig
from align.recipe.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Encoding

CHARACTERS = 4  # of a text to a token, about
AUDITED = 2_000  # rows that are tokenised

Row = TypeVar("Row")
T = TypeVar("T", bound=Item)
R = TypeVar("R", bound=DataReport)


class Encoded(NamedTuple):
    """A text that a model reads, with its tokens."""

    text: str
    encoding: "Encoding"

    @property
    def ids(self) -> list[int]:
        """The tokens."""
        return list(self.encoding.ids)


def tokenize_rows(
    recipe: Recipe,
    rows: Sequence[Row],
    render: Callable[[PromptTokenizer, Row], Sequence[str]],
    *,
    is_text: bool,
    level: Level = "warning",
) -> tuple[list[list[Encoded]], list[Finding]]:
    """Tokenises what `render` writes of each row, all texts or all messages, or says why it cannot be done here.

    `level` is how bad it is that the chat template refuses a row.
    """
    name = recipe.model.model_name_or_path
    try:
        tokenizer = ModelFiles.of(recipe).tokenizer
    except RecipeError as error:
        return [], [Finding("warning", "lengths", f"Lengths are unknown. {error}")]
    if tokenizer is None:
        text = f"{name!r} has no tokenizer.json on this machine; lengths are unknown."
        return [], [Finding("warning", "lengths", text)]
    if not (is_text or tokenizer.chat_template or recipe.model.chat_template_path):
        texts = "set `dataset.conversational: false`" if hasattr(recipe.dataset, "conversational") else "write texts"
        text = f"Rows are messages and {name} has no chat template. Set `chat_template_path`, or {texts}."
        return [], [Finding("error", "lengths", text)]
    try:
        texts_of_rows = [render(tokenizer, row) for row in rows]
    except TemplateError as error:
        text = f"Lengths are unknown; the chat template says: {error}. Set `chat_template_path`, or mend it."
        return [], [Finding(level, "lengths", text)]
    encodings = iter(tokenizer.encode(list(chain.from_iterable(texts_of_rows)), add_special_tokens=is_text))
    return [[Encoded(text, next(encodings)) for text in texts] for texts in texts_of_rows], []


def check_lengths(
    recipe: Recipe, rows: Sequence[dict[str, Any]], image_tokens: Sequence[int | None] | None = None
) -> list[Finding]:
    """Tokenises prompts and compares them with the window that completions leave."""
    found, taken = pick_longest(recipe, rows, image_tokens)
    lengths, problems = prompt_lengths(recipe, found, taken)
    if problems:
        return problems
    longest, completion = max(lengths), int(recipe.settings.max_completion_length)
    numbers = {"audited": len(lengths), "mean": sum(lengths) / len(lengths), "max": longest}
    moved = check_positions(recipe, lengths, growth=completion)
    window = context_window(recipe)
    if window is None:
        text = f"Prompts take up to {longest} tokens; the window is unknown."
        return [Finding("warning", "lengths", text, numbers), *moved]
    budget = window - completion
    over = [(row["id"], length) for row, length in zip(found, lengths, strict=True) if length > budget]
    if over:
        name, length = max(over, key=lambda found: found[1])
        limit = "--max-model-len of the vLLM server" if uses_server(recipe) else "`vllm_max_model_length`"
        raised = f", or raise {limit} if that is the limit" if recipe.uses_vllm else ""
        shorten = "Lower `dataset.max_pixels` or `dataset.num_frames`" if any(taken) else "Shorten them"
        counted = f"{len(over):,}" if len(rows) <= AUDITED else f"At least {len(over):,} of {len(rows):,}"
        text = (
            f"{counted} prompts are longer than {budget} tokens (window {window} - `max_completion_length` "
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
    which = "Prompts" if len(rows) <= AUDITED else f"{AUDITED:,} of {len(rows):,} prompts, the longest among them,"
    text = f"{which} take {mean} and {longest} at most, of {budget} ({window} - {completion})."
    return [Finding("ok", "lengths", text, numbers | {"budget": budget}), *moved]


def pick_longest(
    recipe: Recipe, rows: Rows, image_tokens: Sequence[int | None] | None, columns: Sequence[str] = ("prompt",)
) -> tuple[list[dict[str, Any]], list[int]]:
    """Picks the rows to tokenise, as the model reads them, and the tokens of their images.

    They are about the longest; the last is the shortest, so that all are too long only where all rows are.
    """
    taken = [found or 0 for found in image_tokens or [0] * len(rows)]
    rows = as_read(recipe, rows)[0]
    order = longest_first(rows, taken, columns)
    order = [*order[: AUDITED - 1], *order[AUDITED - 1 :][-1:]]
    return pick(rows, order), [taken[place] for place in order]


def longest_first(rows: Rows, image_tokens: Sequence[int], columns: Sequence[str] = ("prompt",)) -> list[int]:
    """Orders the places of rows by about how long what they have in some columns is."""
    if isinstance(rows, MadeRows):  # which are prompts
        sizes = rows.prompt_sizes()
    else:
        texts = (str([row.get(column) for column in columns]) for row in rows)
        sizes = [len(text) + CHARACTERS * taken for text, taken in zip(texts, image_tokens, strict=True)]
    return sorted(range(len(rows)), key=sizes.__getitem__, reverse=True)


def prompt_lengths(recipe: Recipe, rows: Rows, image_tokens: Sequence[int]) -> tuple[list[int], list[Finding]]:
    """Counts the tokens of prompts, those of their images included, or says why it cannot be done."""

    def render(tokenizer: PromptTokenizer, row: dict[str, Any]) -> list[str]:
        prompt = place_images(row["prompt"], len(row.get("images") or ()))
        return [prompt if isinstance(prompt, str) else tokenizer.render(prompt)]

    is_text = isinstance(rows[0]["prompt"], str)
    encoded, problems = tokenize_rows(recipe, rows, render, is_text=is_text, level="error")
    lengths = [len(prompt.ids) for (prompt,) in encoded]
    return [length + more for length, more in zip(lengths, beyond_places(rows, image_tokens), strict=False)], problems


def beyond_places(rows: Rows, image_tokens: Sequence[int]) -> list[int]:
    """Counts what images take beside the one token that each has in the text, which the processor replaces."""
    return [max(0, taken - len(row.get("images") or ())) for row, taken in zip(rows, image_tokens, strict=True)]


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


def level_of_loss(recipe: Recipe, *, of_all: bool) -> Level:
    """Returns how bad it is that rows are lost: they cannot be used, and all of them make no run."""
    return "error" if of_all or recipe.dataset.on_bad_rows == "raise" else "warning"


def raise_limit(recipe: Recipe, level: Level, needed: int, *, of_all: bool, has_images: bool = False) -> str:
    """Words the remedy for rows that are too long, `needed` tokens; what stops a run can be accepted for some."""
    accept = ", or accept this with `dataset.on_bad_rows: skip`" if level == "error" and not of_all else ""
    shorten = "Lower `dataset.max_pixels` or `dataset.num_frames`," if has_images else "Shorten them"
    limit, window = recipe.settings.max_length, context_window(recipe) or needed
    if window <= limit:
        return f"{shorten}: the model's window has {window} tokens{accept}."
    return f"{shorten} or raise `max_length` from {limit}: set `max_length: {min(needed, window)}`{accept}."


def check_dropped(
    recipe: Recipe,
    rows: Sequence[Row],
    lengths: Sequence[int],
    count: Callable[[list[Row]], tuple[str, dict[str, Any]]],
) -> list[Finding]:
    """Finds rows that trainers of reward models drop for `max_length`; `count` words them and gives numbers."""
    limit = recipe.settings.max_length
    dropped = [row for row, length in zip(rows, lengths, strict=True) if limit is not None and length > limit]
    if not dropped:
        return []
    of_all = len(dropped) == len(rows)
    level, (text, numbers) = level_of_loss(recipe, of_all=of_all), count(dropped)
    return [Finding(level, "lengths", f"{text} {raise_limit(recipe, level, max(lengths), of_all=of_all)}", numbers)]


RULE = "the prompt leaves no room for a completion"


def leave_out_long(
    recipe: Recipe, source: DatasetConfig, read: tuple[Sequence[T], R], to_rows: Callable[[Sequence[T]], Any]
) -> tuple[Sequence[T], R]:
    """Leaves out what `check_lengths` would refuse, and reports it, if the source says `on_bad_rows: skip`."""
    items, report = read
    window = context_window(recipe)
    if source.on_bad_rows != "skip" or window is None:
        return read
    budget = window - int(recipe.settings.max_completion_length)
    rows = to_rows(items)
    taken = [found or 0 for found in check_images(recipe, rows).tokens or [0] * len(rows)]
    rows = as_read(recipe, rows)[0]
    order, over = longest_first(rows, taken), dict[int, int]()
    for start in range(0, len(order), AUDITED):
        places = order[start : start + AUDITED]
        lengths, problems = prompt_lengths(recipe, pick(rows, places), [taken[place] for place in places])
        if problems:  # which the check of lengths says
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
