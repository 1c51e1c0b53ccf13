"""Frames of videos: which ones are taken, and how they become pictures on disk."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align.data.media.images import require_pillow, shrink_image
from align.errors import UserError
from align.recipe.dataset import MediaSettings
from rewards.extras import missing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
RECIPE_OF_FRAMES = 3  # raised when the same settings would give other pictures, or more is kept beside them
RATE = 2.0  # frames a second of a video that is given as frames, as Qwen-VL takes it
TIMES = "video.json"  # beside the frames of a file


class BrokenVideoError(ValueError):
    """A video that gives no frames, or not all of them; the text says why."""


class VideoMetadata(NamedTuple):
    """Which frames of a video were taken, in the words of transformers' `VideoMetadata`."""

    total_num_frames: int
    fps: float  # of the video, from its first to its last frame
    frames_indices: tuple[int, ...]  # T of them

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "VideoMetadata":
        """Makes it of what `_asdict` wrote, into a file or a table."""
        return cls(**facts | {"frames_indices": tuple(facts["frames_indices"])})


class _Times(NamedTuple):
    """When the frames of a video are shown, in ticks of its clock."""

    all: list[int]
    keyframes: list[int]  # decoding can start at these
    starts: dict[int, int]  # when each keyframe is decoded: some containers are indexed by that
    ticks_per_second: float


class _Packet(NamedTuple):
    """The numbers of a packet, without its content: all packets together are the whole video."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_discard: bool


def frames_key(digest: str, settings: MediaSettings) -> str:
    """Names the frames that are taken of a video: another content or setting gives another name."""
    return json.dumps(["video", RECIPE_OF_FRAMES, digest, settings.num_frames, settings.fps, settings.max_pixels])


def write_frames(video: Path | bytes, folder: Path, settings: MediaSettings) -> list[str]:
    """Decodes the frames that the settings ask for, writes them as JPEG, and returns their names in order of time.

    A frame that is shown for long, as in a recorded screen, may be there twice. `TIMES` is the name of their
    `VideoMetadata`. Raises `BrokenVideoError`.
    """
    names: list[str] = []
    written: dict[int, str] = {}
    shown: list[int] = []
    for times, time, image in _decode(video, settings):
        if time not in written:
            written[time] = f"{len(written):04}.jpg"
            if settings.max_pixels is not None:
                image = shrink_image(image, settings.max_pixels)
            image.save(folder / written[time], quality=95, subsampling=0)
        names.append(written[time])
        shown.append(time)
        metadata = _metadata(times, shown)
    (folder / TIMES).write_text(json.dumps(metadata._asdict()))
    return names


def _metadata(times: _Times, shown: Sequence[int]) -> VideoMetadata:
    """Says when frames are shown, as places among all if those came at one rate; in many a file they do not."""
    fps = len(times.all) / (_seconds(times) or 1 / RATE)  # a single frame says nothing of a rate
    places = tuple(round((time - times.all[0]) / times.ticks_per_second * fps) for time in shown)
    return VideoMetadata(len(times.all), fps, places)


def frame_files(folder: Path) -> list[Path]:
    """Lists the pictures of a folder in their order; `frame10.png` comes after `frame9.png`."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    if not files:
        raise BrokenVideoError("the folder holds no pictures")
    files.sort(key=lambda path: [(part.isdigit(), int(part) if part.isdigit() else 0, part)
                                 for part in re.split(r"(\d+)", path.name)])  # fmt: skip
    return files


def pick_frames(count: int, settings: MediaSettings) -> list[int]:
    """Picks the places of some of a video's frames, evenly over their order."""
    return spread_evenly(range(count), min(settings.num_frames, count))


def spread_evenly(times: Sequence[int], count: int) -> list[int]:
    """Picks what is shown in the middle of each of `count` equal parts of the time; `times` are in order.

    Example:
        >>> spread_evenly([0, 1, 2, 3, 4, 5, 6, 7], 4), spread_evenly([0, 1, 2, 90], 4), spread_evenly([0, 9, 90], 2)
        ([1, 3, 5, 7], [0, 1, 2, 90], [9, 90])
    """
    if count == len(times):
        return list(times)
    length = times[-1] - times[0] + _mean_gap(times)
    middles = (times[0] + (i + 0.5) / count * length for i in range(count))
    return [times[bisect_right(times, middle) - 1] for middle in middles]


def _mean_gap(times: Sequence[int]) -> float:
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0


def _seconds(times: _Times) -> float:
    return (times.all[-1] - times.all[0] + _mean_gap(times.all)) / times.ticks_per_second


def _wanted(times: _Times, settings: MediaSettings) -> list[int]:
    count = min(settings.num_frames, len(times.all))
    if settings.fps is not None:
        count = max(1, min(count, round(_seconds(times) * settings.fps)))
    return spread_evenly(times.all, count)


def _decode(video: Path | bytes, settings: MediaSettings) -> Iterator[tuple[_Times, int, "PILImage"]]:
    """Decodes the wanted frames; what lies between two of them is skipped where a keyframe allows it."""
    av = _import_av()
    try:
        with av.open(BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
            if not container.streams.video:
                raise BrokenVideoError("it has no picture")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            times = _read_times(container, stream)
            frame, frames = None, iter(())
            for time in _wanted(times, settings):
                keyframe = times.keyframes[max(0, bisect_right(times.keyframes, time) - 1)]
                frame = (
                    _skip(frame, frames, time) if frame is not None and _time(frame) >= min(keyframe, time) else None
                )
                if frame is None:
                    frame, frames = _find(container, stream, time, keyframe, times)
                yield times, time, frame.to_image().rotate(frame.rotation, expand=True)
    except (av.FFmpegError, OSError) as error:
        raise BrokenVideoError(f"it cannot be decoded ({getattr(error, 'strerror', None) or error})") from error


def _find(container: Any, stream: Any, time: int, keyframe: int, times: _Times) -> tuple[Any, Iterator[Any]]:
    """Returns the frame of a time and those after it; where seeking to its keyframe loses frames, from the start."""
    for start in (keyframe, times.keyframes[0]):
        container.seek(min(start, times.starts.get(start, start)), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and _time(first) <= max(keyframe, times.all[0]):
            found = _skip(first, frames, time)
            if found is not None:
                return found, frames
    raise BrokenVideoError(f"it breaks off before {time / times.ticks_per_second:.1f} s")


def _skip(frame: Any, frames: Iterator[Any], time: int) -> Any:
    return next((later for later in chain([frame], frames) if _time(later) >= time), None)


def _read_times(container: Any, stream: Any) -> _Times:
    """Reads when each frame is shown, without decoding."""
    packets = [_Packet(p.pts, p.dts, p.is_keyframe, p.is_discard) for p in container.demux(stream) if p.size]
    shown = [packet for packet in packets if not packet.is_discard]
    if not shown:
        raise BrokenVideoError("it has no frames")
    # MP4 counts frames that its edit list leaves out, but does not index them.
    expected = min(stream.frames, len(stream.index_entries)) if "mov" in container.format.name else stream.frames
    if expected > len(packets):
        raise BrokenVideoError(f"it breaks off: {len(packets)} of its {expected} frames are there")
    if any(packet.pts is None and packet.dts is None for packet in shown):
        raise BrokenVideoError("its frames have no times")
    times = sorted(_time(packet) for packet in shown)
    starts = {_time(packet): packet.dts for packet in packets if packet.is_keyframe and packet.dts is not None}
    keyframes = sorted(_time(packet) for packet in packets if packet.is_keyframe)
    return _Times(times, keyframes or times[:1], starts, 1 / float(stream.time_base))


def _time(frame: Any) -> int:
    return int(frame.dts if frame.pts is None else frame.pts)


def _import_av() -> Any:
    require_pillow()
    if sentence := missing("vision", "Reading videos", "av"):
        raise UserError(sentence)
    import av

    return av
