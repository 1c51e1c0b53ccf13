"""Core advantage, after the question of MM-SpuBench (arXiv 2406.17126); the formula is ours.

With l the mean log-probability of an option's tokens behind a question,

    m(question) = l(core) - max over spurious options of l
    advantage   = m(question) - m(content-free prompt)

A prior for the core option that holds without a question, and any preference for short or frequent options, is in both
terms and cancels. The content-free prompt of a question with images is the question with grey images of their sizes:
what a model prefers by the text alone cancels too, and one that never looks has 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from align.data.files import find_split
from align.data.media.images import grey_out
from align.data.media.rows import MediaReader, check_placeholders, media_folder
from align.data.media.video import VideoMetadata
from align.data.problems import BadRow
from align.data.question_checks import check_label
from align.data.texts import fold
from align.evaluation.asking import Asking, Subject, Text
from align.evaluation.results import image_paths
from align.evaluation.statistics.group_metrics import by_group
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values, pair_accuracy
from align.evaluation.suite import LoadedRows, Measured, SuiteSource
from align.evaluation.suites.suite_rows import check_text, check_texts, load_suite_rows
from align.models.policies.answer_keys import shown_names


@dataclass(frozen=True)
class CoreQuestion:
    """A question."""

    id: str
    question: str
    core: str  # that the core feature speaks for: the right one
    spurious: tuple[str, ...]  # that spurious features speak for
    group: str | None
    row: int
    images: tuple[Any, ...] = ()  # the frames of a video included
    video: VideoMetadata | None = None  # where the images are its frames


def load(source: SuiteSource, options: Any) -> LoadedRows:
    """Loads the questions."""
    reader = MediaReader(media_folder(find_split(str(source.path), source.split)[0]), source.media)
    with reader.progress:
        loaded = load_suite_rows(source, ("question", "core", "spurious"), partial(_check, reader))
    shown = next((f"Question {row.id!r}" for row in loaded.rows if row.images), "")
    return loaded._replace(content=[*map(_content, loaded.rows)], images=shown)


def _content(row: CoreQuestion) -> dict[str, Any]:
    """Lists what a question is, images by their content; one without any is what it was before there were any."""
    found = {name: value for name, value in asdict(row).items() if name not in ("images", "video")}
    return found | ({"shown": shown_names(row.images, row.video)} if row.images else {})


def _check(reader: MediaReader, row: Mapping[str, Any], name: str, number: int) -> CoreQuestion:
    core, spurious = check_text(row, "core", what="option"), check_texts(row, "spurious")
    if fold(core) in map(fold, spurious):
        raise BadRow("spurious", core, "a spurious option is the core one", "Leave it out of `spurious`.")
    question = check_text(row, "question", what="question")
    shown = reader.show(row)
    if shown.images:
        check_placeholders("question", question)
    return CoreQuestion(name, question, core, spurious, check_label("group", row.get("group")), number, *shown)


def measure(subject: Subject, rows: Sequence[CoreQuestion], asking: Asking) -> Measured:
    """Reads every option behind its question and behind the content-free prompt, or the question with grey images."""
    plain = subject.word(asking.options.content_free)
    options = [(row.core, *row.spurious) for row in rows]
    prompts = [subject.word(row.question) for row in rows]
    texts = [
        Text(row.id, prompt, option, images, row.video)
        for row, asked, names in zip(rows, prompts, options, strict=True)
        for prompt, images in (
            (asked, row.images),
            (asked, tuple(map(grey_out, row.images))) if row.images else (plain, ()),  # by which none can tell
        )
        for option in names
    ]
    found = iter([sum(each) / max(len(each), 1) for each in subject.log_probs(texts)])
    likely = [[[next(found) for _ in names] for _ in (0, 1)] for names in options]  # by row: question, content-free
    asked, free = (np.array([margin(each[place]) for each in likely]) for place in (0, 1))
    items = [
        {
            "id": row.id,
            "group": row.group,
            "prompt": row.question,
            "core": row.core,
            "preferred": names[int(np.argmax(each[0]))],
            "correct": bool(asked[i] > free[i]),
            "margin": float(asked[i]),
            "margin_content_free": float(free[i]),
        }
        | ({"images": image_paths(row.images)} if any(each.images for each in rows) else {})
        for i, (row, names, each) in enumerate(zip(rows, options, likely, strict=True))
    ]
    return Measured(core_means(asked, free, [row.group for row in rows]), {}, items)


def margin(likely: Sequence[float]) -> float:
    """Returns by how much the first option is likelier than the likeliest other one, in nats a token.

    Example:
        >>> margin([-1.0, -3.0, -2.5])
        1.5
    """
    return likely[0] - max(likely[1:])


def core_means(asked: Values, free: Values, groups: Sequence[str | None] = ()) -> dict[str, Any]:
    """Makes metrics of `(N,)` margins behind the question and the content-free prompt; a tie is half a preference."""
    advantage = asked - free
    means = {
        "core_preferred": ItemMean((pair_accuracy(advantage),)),
        "core_advantage": ItemMean((advantage,), bounds=None),
        "core_margin/question": ItemMean((asked,), bounds=None),
        "core_margin/content_free": ItemMean((free,), bounds=None),
    }
    return means | by_group({name: means[name] for name in ("core_preferred", "core_advantage")}, groups)
