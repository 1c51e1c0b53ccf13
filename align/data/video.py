"""Frames of videos: which ones are taken, and how they become pictures on disk."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align.configs.dataset import MediaSettings
from align.data.images import require_pillow, shrink_image
from align.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
RECIPE_OF_FRAMES = 1  # raised when the same settings would give other pictures


class BrokenVideoError(ValueError):
    """A video that gives no frames, or not all of them; the text says why."""


class _Times(NamedTuple):
    """When the frames of a video are shown, in ticks of its clock."""

    all: list[int]
    keyframes: list[int]  # decoding can start at these
    ticks_per_second: float


def frames_key(digest: str, settings: MediaSettings) -> str:
    """Names the frames that are taken of a video: another content or setting gives another name."""
    return json.dumps(["video", RECIPE_OF_FRAMES, digest, settings.num_frames, settings.fps, settings.max_pixels])


def write_frames(video: Path | bytes, folder: Path, settings: MediaSettings) -> list[str]:
    """Decodes the frames that the settings ask for and writes them as JPEG.

    Returns:
        Their names in order of time. Where a frame is shown for long, as in a recorded screen, it may be there twice.

    Raises:
        BrokenVideoError: If it cannot be decoded up to the last frame that is needed.
        UserError: If the extra `vision` is missing.
    """
    names: list[str] = []
    written: dict[int, str] = {}
    for time, image in _decode(video, settings):
        if time not in written:
            written[time] = f"{len(written):04}.jpg"
            if settings.max_pixels is not None:
                image = shrink_image(image, settings.max_pixels)
            image.save(folder / written[time], quality=95, subsampling=0)
        names.append(written[time])
    return names


def frame_files(folder: Path, settings: MediaSettings) -> list[Path]:
    """Picks frames of a folder of pictures, evenly over their order; `fps` says nothing about them.

    Numbers in names count as numbers, so that `frame10.png` comes after `frame9.png`.

    Raises:
        BrokenVideoError: If it holds no pictures.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    if not files:
        raise BrokenVideoError("the folder holds no pictures")
    files.sort(key=lambda path: [(part.isdigit(), int(part) if part.isdigit() else 0, part)
                                 for part in re.split(r"(\d+)", path.name)])  # fmt: skip
    return [files[i] for i in spread_evenly(list(range(len(files))), min(settings.num_frames, len(files)))]


def spread_evenly(times: Sequence[int], count: int) -> list[int]:
    """Picks what is shown in the middle of each of `count` equal parts of the time.

    Args:
        times: When frames are shown, in order; each until the next one, the last one for the mean time.
        count: How many to pick, at most as many as there are.

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


def _wanted(times: _Times, settings: MediaSettings) -> list[int]:
    count = min(settings.num_frames, len(times.all))
    if settings.fps is not None:
        seconds = (times.all[-1] - times.all[0] + _mean_gap(times.all)) / times.ticks_per_second
        count = max(1, min(count, round(seconds * settings.fps)))
    return spread_evenly(times.all, count)


def _decode(video: Path | bytes, settings: MediaSettings) -> Iterator[tuple[int, "PILImage"]]:
    """Decodes the wanted frames; what lies between two of them is skipped where a keyframe allows it."""
    av = _import_av()
    try:
        with av.open(BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
            stream = _find_stream(container)
            times = _read_times(container, stream)
            frame, frames = None, iter(())
            for time in _wanted(times, settings):
                keyframe = times.keyframes[max(0, bisect_right(times.keyframes, time) - 1)]
                if frame is None or _time(frame) < min(keyframe, time):
                    container.seek(keyframe, stream=stream)
                    frames = container.decode(stream)
                    frame = None
                while frame is None or _time(frame) < time:
                    frame = next(frames, None)
                    if frame is None:
                        raise BrokenVideoError(f"it breaks off before {time / times.ticks_per_second:.1f} s")
                yield time, frame.to_image().rotate(frame.rotation, expand=True)
    except (av.FFmpegError, OSError) as error:
        raise BrokenVideoError(f"it cannot be decoded ({getattr(error, 'strerror', None) or error})") from error


def _find_stream(container: Any) -> Any:
    if not container.streams.video:
        raise BrokenVideoError("it has no picture")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _read_times(container: Any, stream: Any) -> _Times:
    """Reads when each frame is shown, without decoding."""
    packets = [packet for packet in container.demux(stream) if packet.size]
    shown = [packet for packet in packets if not packet.is_discard]
    if not shown:
        raise BrokenVideoError("it has no frames")
    if stream.frames > len(packets):
        raise BrokenVideoError(f"it breaks off: {len(packets)} of its {stream.frames} frames are there")
    if any(packet.pts is None and packet.dts is None for packet in shown):
        raise BrokenVideoError("its frames have no times")
    times = sorted(_time(packet) for packet in shown)
    keyframes = sorted(_time(packet) for packet in packets if packet.is_keyframe)
    return _Times(times, keyframes or times[:1], 1 / float(stream.time_base))


def _time(frame: Any) -> int:
    return int(frame.dts if frame.pts is None else frame.pts)


def _import_av() -> Any:
    require_pillow()
    try:
        import av
    except ImportError as error:
        raise UserError("Videos need the extra `vision`. Run: pip install 'truealign[vision]'") from error
    return av
