"""The images of a recipe: whether the model sees them, the tokens they take, and letters that stand in them."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from align.checks.counts import name_rows
from align.checks.finding import Finding
from align.data.conversations import column_of_places
from align.data.media.images import SHOWN_WITH, VIDEO, image_size
from align.data.questions.multiple_choice import Question
from align.data.stored_items import MadeRows
from align.models.model_files import ModelFiles
from align.recipe.recipe import Recipe
from align.whole_files import object_in
from rewards.extras import missing, pip_line

Rows = Sequence[dict[str, Any]]
CountTokens = Callable[[int, int], int]  # of the width and height of an image in pixels


def token_counter(folder: Path) -> CountTokens:
    """Returns what counts the tokens of an image by its size: the processor, which is loaded without its model.

    Raises `ValueError` if it cannot be loaded, or cannot tell; so does the counter for an image that it would refuse.
    """
    try:
        processor = _processor(folder)
        processor._get_num_multimodal_tokens(image_sizes=[(56, 56)])
    except Exception as error:  # processors of any family, also those of other people
        raise ValueError(f"its processor does not tell ({type(error).__name__}: {error})") from error

    @cache
    def count(width: int, height: int) -> int:
        return int(processor._get_num_multimodal_tokens(image_sizes=[(height, width)]).num_image_tokens[0])

    return count


AUDITED = 20_000  # images of which the size is read, the rows with the most images first
_SIGHT = ("vision_config", "image_token_id", "image_token_index", "mm_vision_tower", "visual")  # keys of config.json
BARE_LETTER = re.compile(r"\W*[A-Za-z]\W*")
SPOKEN_LETTER = re.compile(
    r"\b(?:(?i:label+ed|marked|lettered|tagged|denoted|options?|choices?))\s+(?:(?i:as|by|with)\s+)?[\"'(]*[A-H]\b"
)


class ImageCheck(NamedTuple):
    """What was found about the images of rows."""

    findings: list[Finding]
    tokens: list[int | None] | None = None  # of each row's images; None: no images, or it cannot be told


def check_images(recipe: Recipe, rows: Rows) -> ImageCheck:
    """Finds out whether the model can see the images of the rows, and how many tokens they take."""
    if isinstance(rows, MadeRows):
        return ImageCheck([])
    rows, findings = as_read(recipe, rows)
    num_shown = sum(bool(row.get("images")) for row in rows)
    if not num_shown:
        return ImageCheck([])
    model = ModelFiles.of(recipe)
    if problems := _check_sight(recipe, model, rows, f"{num_shown} of {len(rows)} rows have images"):
        return ImageCheck(problems)
    if model.folder is None:
        text = f"{model.name!r} is not on this machine; the tokens of its images are unknown."
        return ImageCheck([Finding("warning", "images", text)])
    try:
        count = token_counter(model.folder)
    except ValueError as error:
        text = f"The tokens that an image takes are unknown: {error}. Leave room in the window."
        return ImageCheck([*findings, Finding("warning", "images", text)])
    size_of = cache(image_size)
    of_videos = cache(partial(_video_tokens, model.folder))

    def count_one(item: Any) -> int:
        if hasattr(item, "metadata"):
            return int(1 + of_videos().count(item))
        return count(*(size_of(item) if isinstance(item, str) else image_size(item)))

    found = _count_tokens(rows, count_one)
    return found._replace(findings=findings + found.findings)


def as_read(recipe: Recipe, rows: Rows) -> tuple[Rows, list[Finding]]:
    """Puts a `Video` in place of frames where the model reads them as one, and says what it reads."""
    model, settings = ModelFiles.of(recipe), recipe.settings
    if isinstance(rows, MadeRows) or model.folder is None or not any(row.get(VIDEO) for row in rows):
        return rows, []
    from align.models.videos import ONLY_IMAGES, as_video, why_no_video

    why = why_no_video(_processor(model.folder), model.name)
    with_tools = any(getattr(settings, name, None) for name in ("tools", "environment", "environment_factory"))
    refused = not why and (with_tools or (recipe.uses_vllm and settings.vllm_mode == "server"))
    why = ONLY_IMAGES if refused else why
    if not why:
        return [as_video(row) for row in rows], []
    if refused or getattr(recipe.dataset, "video_as", "auto") == "video":
        return rows, [Finding("error", "images", f"{why} Set `dataset.video_as: images`.")]
    return rows, [Finding("ok", "images", why)]


def _video_tokens(folder: Path) -> Any:
    from align.models.videos import ImageTokens

    return ImageTokens(_processor(folder))


def _processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(str(folder))


def check_letters(questions: Sequence[Question]) -> list[Finding]:
    """Warns about questions whose letters may stand in their picture, where no shuffle reaches them.

    Options that are letters only, and questions that speak of what is labelled A or B, are found in the text. Nothing
    reads the pictures, so letters that only they have are not found.
    """
    shown = [question for question in questions if question.images]
    found = [
        question
        for question in shown
        if all(map(BARE_LETTER.fullmatch, question.options)) or SPOKEN_LETTER.search(question.question)
    ]
    if not found:
        return []
    text = (
        f"{len(found)} of {len(shown)} questions with images speak of letters that may stand in the picture: "
        f"{name_rows(found)}. Shuffled options get other letters than the picture shows, and a right answer is then "
        f"marked wrong. Write what each letter stands for, or leave these rows out. Pictures themselves are not read, "
        f"so letters that stand only there are not found."
    )
    return [Finding("warning", "images", text, {"rows": [question.row for question in found]})]


def _check_sight(recipe: Recipe, model: ModelFiles, rows: Sequence[Mapping[str, Any]], what: str) -> list[Finding]:
    if sentence := missing("vision", f"{what}: showing them", *SHOWN_WITH):
        return [Finding("error", "images", sentence, fix=pip_line("vision"))]
    if any(isinstance(row[column_of_places(row)], str) for row in rows):
        remedy = (
            "Set `dataset.conversational: true`"
            if hasattr(recipe.dataset, "conversational")
            else "Write them as messages"
        )
        return [Finding("error", "images", f"{what}, and they have no place in prompts that are texts. {remedy}.")]
    if model.folder is None or not model.written_config:
        return []
    if not any(model.written_config.get(name) is not None for name in _SIGHT):
        remedy = "Name a vision-language model, or leave the images out of the rows"
        return [Finding("error", "images", f"{what} and {model.name} reads text only. {remedy}.")]
    of_processor = object_in(model.folder / "processor_config.json")
    if "image_processor" not in of_processor and not (model.folder / "preprocessor_config.json").is_file():
        text = (
            f"{what} and {model.name} has neither processor_config.json nor preprocessor_config.json, without which "
            f"only its text is read. Save the processor of its base model into the folder "
            f"(`AutoProcessor.from_pretrained(BASE).save_pretrained(FOLDER)`)."
        )
        return [Finding("error", "images", text)]
    return []


def _count_tokens(rows: Rows, count: Callable[[Any], int]) -> ImageCheck:
    tokens: list[int | None] = [None if row.get("images") else 0 for row in rows]
    refused: list[tuple[str, str]] = []
    left, sizes = AUDITED, list[int]()
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i]["images"])):
        images = rows[i]["images"]
        if not images or len(images) > left:
            continue
        left -= len(images)
        try:
            taken = [count(image) for image in images]
        except ValueError as error:
            refused.append((str(rows[i]["id"]), str(error)))
            continue
        tokens[i] = sum(taken)
        sizes += taken
    findings = _budget(rows, tokens, sizes)
    if refused:
        name, reason = refused[0]
        text = f"The processor would stop at the images of {len(refused)} rows; {name!r}: {reason}. Leave them out."
        findings.append(Finding("error", "images", text, {"rows": [row for row, _ in refused[:20]]}))
    return ImageCheck(findings, tokens)


def _budget(rows: Sequence[Mapping[str, Any]], tokens: Sequence[int | None], each: Sequence[int]) -> list[Finding]:
    seen = [(len(row["images"]), taken) for row, taken in zip(rows, tokens, strict=True) if row["images"] and taken]
    if not seen:
        return []
    numbers = [number for number, _ in seen]
    longest = max(taken for _, taken in seen)
    mean = sum(taken for _, taken in seen) / len(seen)
    text = (
        f"{len(seen)} prompts have {min(numbers)} to {max(numbers)} images of {min(each)} to {max(each)} tokens: "
        f"{mean:.0f} tokens of images a prompt on average and {longest} at most."
    )
    facts = {"prompts": len(seen), "max_images": max(numbers), "mean": mean, "max": longest}
    return [Finding("ok", "images", text, facts)]
