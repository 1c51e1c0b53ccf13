"""The images and videos of a row, found and opened when it is read: later, a broken one would stop the training."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from align.data.conversations import Message, count_places, message_text
from align.data.media.frame_store import FrameStore
from align.data.media.images import (
    BrokenImageError,
    ImageLike,
    check_image,
    find_suffix,
    image_digest,
    image_size,
    open_image,
    shrink_image,
)
from align.data.media.video import (
    RATE,
    TIMES,
    BrokenVideoError,
    VideoMetadata,
    frame_files,
    frames_key,
    pick_frames,
    write_frames,
)
from align.data.problems import BadRow, shorten
from align.data.reading_progress import ReadingProgress
from align.recipe.dataset import MediaSettings

T = TypeVar("T")
MEDIA = ("images", "image", "video")
# Of LLaVA and Idefics, Qwen-VL, Llama and Gemma.
PLACEHOLDER = re.compile(
    r"<(image|video)>|<\|((image|video)_pad|vision_start|image)\|>|<(start_of_image|image_soft_token)>"
)
NO_URL = "A run must not hang on the network, nor its data change: download the file and write its path."
SHOWN_PATH = 300  # characters in an error
LIST_OF_FRAMES = "A list in `video` holds the frames of one video: write the path of a file without brackets."


def listed_images(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns what stands in `images`, or else in `image`, without looking at it.

    Example:
        >>> listed_images({"image": "a.png"}), listed_images({"images": ["a.png", "b.png"]}), listed_images({})
        (('a.png',), ('a.png', 'b.png'), ())
    """
    return _as_tuple(row["images"] if _is_given(row, "images") else row.get("image"))


def media_folder(file: str) -> Path:
    """Returns the folder that paths in a data set are relative to: its own, or that of its file."""
    path = Path(file).expanduser()
    if path.is_dir():
        return path
    return path.parent if path.is_file() else Path()


def check_placeholders(column: str, text: str) -> None:
    """Checks that a text does not say itself where images stand: they are put in front of it."""
    if found := PLACEHOLDER.search(text):
        rule = "the text has a placeholder for an image, which would be counted twice"
        raise BadRow(column, found[0], rule, f"Remove {found[0]}: images are put in front of the text.")


def check_shown_prompt(prompt: str | list[Message], number: int, column: str = "prompt") -> None:
    """Checks a prompt with images: messages with a place for each, or of which the first one of the user gets them."""
    places = count_places(prompt)
    if places and places != number:
        remedy = 'Write as many {"type": "image"} as images, or none, and they stand in front.'
        raise BadRow(column, prompt, f"the prompt has {places} places for images, and the row has {number}", remedy)
    if isinstance(prompt, str) or not any(message["role"] == "user" for message in prompt):
        remedy = 'Write [{"role": "user", "content": ...}], and responses as [{"role": "assistant", ...}].'
        raise BadRow(column, prompt, "images have no place: the prompt is not messages of a user", remedy)
    for message in prompt:
        check_placeholders(column, message_text(message))


class Shown(NamedTuple):
    """What a row shows, in the names of the fields of items."""

    images: tuple[ImageLike, ...] = ()
    video: VideoMetadata | None = None  # where the images are frames that may be read as one video


class MediaReader:
    """Turns what a row says about images and videos into images that can be opened."""

    def __init__(self, folder: Path = Path(), settings: MediaSettings | None = None) -> None:
        self.settings = settings or MediaSettings()
        self.folder = folder if self.settings.media_dir is None else Path(self.settings.media_dir).expanduser()
        self.store = FrameStore(self.settings.frames_dir)
        self.progress = ReadingProgress("Frames taken of", "videos", stays=True)
        self._known: dict[Path, str] = {}

    def read(self, row: Mapping[str, Any]) -> tuple[ImageLike, ...]:
        """Returns the images of a row; see `show`."""
        return self.show(row).images

    def show(self, row: Mapping[str, Any]) -> Shown:
        """Returns the images of a row, or the frames of its video; a list in `video` holds the frames of one."""
        if _is_given(row, "videos"):
            raise BadRow("videos", _show(row["videos"]), "the column is not read", "Write one path in `video`.")
        columns = [column for column in MEDIA if _is_given(row, column)]
        if not columns:
            return Shown()
        if len(columns) > 1:
            both = " and ".join(columns)
            raise BadRow(columns[1], _show(row[columns[1]]), f"the row has {both}", "Keep one of them.")
        column = columns[0]
        if column == "video":
            is_list = isinstance(row[column], list | tuple)
            shown = self._of_frames(row[column], self._read_frame) if is_list else self._read_video(row[column])
            return shown._replace(video=None) if self.settings.video_as == "images" else shown
        return Shown(tuple(self._read_image(image, column) for image in _as_tuple(row[column])))

    def show_in(self, row: Mapping[str, Any], prompt: str | list[Message], column: str = "prompt") -> Shown:
        """Returns what a row shows in its prompt, or in messages that begin with it, where each has a place."""
        shown, places = self.show(row), count_places(prompt)
        if shown.images or places:
            check_shown_prompt(prompt, len(shown.images), column)
        return shown._replace(video=None) if places else shown  # frames that have places of their own are images

    def _read_frame(self, frame: Any) -> ImageLike:
        try:
            return self._read_image(frame, "video")
        except BadRow as bad:
            raise BadRow("video", _show(frame), bad.rule, f"{bad.remedy} {LIST_OF_FRAMES}") from bad

    def _of_frames(self, frames: Sequence[T], read: Callable[[T], ImageLike]) -> Shown:
        picked = pick_frames(len(frames), self.settings)
        images = tuple(read(frames[place]) for place in picked)
        sizes = {image_size(image) for image in images} if self.settings.video_as != "images" else set()
        if len(sizes) > 1:
            remedy = "Give them one size, or set `video_as: images`."
            raise BadRow("video", sorted(sizes), "the frames of the video have several sizes", remedy)
        return Shown(images, VideoMetadata(len(frames), RATE, tuple(picked)))

    def _read_image(self, image: Any, column: str) -> ImageLike:
        if isinstance(image, Mapping) and image.get("bytes") is None and image.get("path") is not None:
            image = image["path"]
        if image is None:
            raise BadRow(column, image, "an image is missing", "Write its path or leave the column out.")
        if isinstance(image, str | Path):
            return self._read_image_file(self._locate(image, column, "image"), column)
        if isinstance(image, Mapping):
            return self._read_bytes(image, column)
        if not hasattr(image, "convert"):
            remedy = 'Write the path of a file, {"bytes": ...} or {"path": ...}.'
            raise BadRow(column, _show(image), "an image is neither a path nor an image", remedy)
        self._check(image, column)
        limit = self.settings.max_pixels
        return image if limit is None else shrink_image(image, limit)

    def _read_image_file(self, path: Path, column: str) -> str:
        if path not in self._known:
            size = self._check(str(path), column)
            suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
            self._known[path] = self._keep(str(path), column, suffix, True) if self._is_large(size) else str(path)
        return self._known[path]

    def _read_bytes(self, image: Mapping[str, Any], column: str) -> str:
        """Keeps the bytes in the store and returns their path: a data set of them may not fit into memory."""
        if not isinstance(image.get("bytes"), bytes):
            remedy = "JSON cannot hold bytes: write the path of a file, or use Parquet."
            raise BadRow(column, _show(image), "the bytes of an image are missing or are not bytes", remedy)
        is_large = self._is_large(self._check(image, column))
        return self._keep(image, column, ".png" if is_large else find_suffix(image), is_large)

    def _keep(self, image: ImageLike, column: str, suffix: str, is_large: bool) -> str:
        kind = "image" if isinstance(image, str) else "bytes"
        key = json.dumps([kind, image_digest(image), self.settings.max_pixels if is_large else None])

        def make(folder: Path) -> list[str]:
            file = folder / f"0000{suffix}"
            if is_large:
                self._shrink(image, column).save(file, quality=95, subsampling=0)
            else:
                file.write_bytes(image["bytes"])
            return [file.name]

        return self.store.get(key, make)[0]

    def _check(self, image: ImageLike, column: str) -> tuple[int, int]:
        try:
            return check_image(image)
        except BrokenImageError as error:
            self._refuse_image(image, column, error)

    def _is_large(self, size: tuple[int, int]) -> bool:
        return self.settings.max_pixels is not None and size[0] * size[1] > self.settings.max_pixels

    def _shrink(self, image: ImageLike, column: str) -> Any:
        try:
            return shrink_image(open_image(image), self.settings.max_pixels or 0)
        except OSError as error:  # damage in the middle, which only decoding finds
            self._refuse_image(image, column, error)

    def _refuse_image(self, image: ImageLike, column: str, error: Exception) -> NoReturn:
        rule = "the image cannot be read, or is not whole"
        raise BadRow(column, _show(image), rule, f"Pillow says: {error}. Write it again, or leave it out.") from error

    def _read_video(self, video: Any) -> Shown:
        if isinstance(video, Mapping) and video.get("bytes") is None and video.get("path") is not None:
            video = video["path"]
        try:
            if isinstance(video, Mapping) and isinstance(video.get("bytes"), bytes):
                return self._take_frames(video["bytes"])
            if not isinstance(video, str | Path):
                remedy = "Write the path of a file or of a folder with its frames."
                raise BadRow("video", _show(video), "the video is not a path", remedy)
            path = self._locate(video, "video", "video")
            if not path.is_dir():
                return self._take_frames(path)
            return self._of_frames(frame_files(path), lambda file: self._read_image_file(file, "video"))
        except BrokenVideoError as error:
            rule, remedy = f"the video gives no frames: {error}", "Write it again, or leave the row out."
            raise BadRow("video", _show(video), rule, remedy) from error
        except OSError as error:
            rule = f"the video cannot be read: {error.strerror or error}"
            raise BadRow("video", _show(video), rule, "Make it readable, or leave the row out.") from error

    def _take_frames(self, video: Path | bytes) -> Shown:
        digest = image_digest({"bytes": video}) if isinstance(video, bytes) else self.store.digest(video)
        key = frames_key(digest, self.settings)

        def make(folder: Path) -> list[str]:
            names = write_frames(video, folder, self.settings)
            self.progress.advance()
            return [*names, TIMES]

        *frames, times = self.store.get(key, make)
        try:
            return Shown(tuple(frames), VideoMetadata.of(json.loads(Path(times).read_text())))
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenVideoError(f"what was kept of its frames is damaged, delete {Path(times).parent}") from error

    def _locate(self, path: str | Path, column: str, kind: str) -> Path:
        if "://" in str(path) or str(path).startswith("data:"):
            raise BadRow(column, path, f"the {kind} is a URL", NO_URL)
        try:
            found = self.folder / Path(path).expanduser()
            is_file, is_folder = found.is_file(), found.is_dir()
        except (OSError, RuntimeError) as error:  # a name that is too long, a folder that is closed, no such user
            reason = getattr(error, "strerror", None) or error
            remedy = f"The system says: {reason}. Write the path of a file that can be read."
            raise BadRow(column, path, f"the {kind} file cannot be looked for", remedy) from error
        if not (is_file or (kind == "video" and is_folder)):
            rule = f"the {kind} file is a folder" if is_folder else f"the {kind} file does not exist"
            raise BadRow(column, path, rule, f"It was looked for at {shorten(str(found), SHOWN_PATH)}.")
        return found


def _is_given(row: Mapping[str, Any], column: str) -> bool:
    value = row.get(column)
    return value is not None and not (isinstance(value, list | tuple) and not value)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _show(value: Any) -> Any:
    """Writes bytes as their number, so that a report stays readable."""
    if isinstance(value, Mapping):
        return {key: _show(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_show(item) for item in value]
    return f"{len(value)} bytes" if isinstance(value, bytes) else value
