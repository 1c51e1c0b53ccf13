"""What names an answer of a policy: the question, as far as the policy sees it."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from align.data.media.images import ImageLike, image_digest
from align.data.media.video import VideoMetadata
from align.data.questions.multiple_choice import Question

VERSION = 1  # of what an entry holds


def digest(content: object) -> str:
    """Returns a SHA-256 of anything that JSON can write."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def question_key(question: Question) -> list[Any]:
    """Lists what a policy sees of a question, and by which name it is sampled."""
    seen = [question.id, question.question, list(question.options)]
    return [*seen, *shown_names(question.images, question.video)]


def shown_names(images: Sequence[ImageLike], video: VideoMetadata | None) -> list[Any]:
    """Names the images of a prompt, and which frames of a video they are; a prompt without any has none."""
    if not images:
        return []
    return [image_names(images), *([] if video is None else [video])]


def image_names(images: Sequence[ImageLike]) -> list[str]:
    """Names images after their content; a file is read again only after it was changed."""
    return [
        _file_name(image, Path(image).stat().st_mtime_ns) if isinstance(image, str) else image_digest(image)
        for image in images
    ]


@lru_cache(maxsize=1 << 20)
def _file_name(path: str, _changed: int) -> str:
    return image_digest(path)
