"""Videos for models whose processor reads them as such: frames and times as one, where TRL knows images only."""

import copy
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from align.data.conversations import column_of_places, count_places
from align.data.media.images import VIDEO, ImageLike, image_size, open_image
from align.data.media.video import VideoMetadata
from align.errors import DataError

MIXED = (
    "{what} has rows with videos and rows with images. With ZeRO-3 or FSDP every process must run the vision tower as "
    "often as the others. Set `video_as: images`, or train on one kind."
)
ONLY_IMAGES = "TRL hands images, and no videos, to its vLLM server and beside tools."


@dataclass(frozen=True)
class Video:
    """The frames of a video that were taken, and which they are; it stands where TRL expects an image."""

    frames: tuple[ImageLike, ...]
    metadata: VideoMetadata

    def array(self) -> "np.ndarray[Any, Any]":
        """Opens the frames: `(T, H, W, 3)` bytes. One frame is there twice, a patch: Qwen3-VL takes no less."""
        frames = [np.asarray(open_image(frame)) for frame in self.frames]
        return np.stack(frames * 2 if len(frames) == 1 else frames)

    def facts(self) -> dict[str, Any]:
        """Says which frames they are, in a list of its own: a processor may write into it."""
        return self.metadata._asdict() | {"frames_indices": list(self.metadata.frames_indices)}


def reads_videos(processing: Any) -> bool:
    """Tells whether a processor has a path for videos as Qwen-VL's: patches in pairs of frames, of any size."""
    names = getattr(getattr(processing, "video_processor", None), "model_input_names", ())
    return "video_grid_thw" in names and "video" in str(getattr(processing, "chat_template", None))


def why_no_video(processing: Any, model: str) -> str:
    """Says why a model reads the frames of a video as images; empty if it reads them as a video."""
    if reads_videos(processing):
        return ""
    return f"{model} reads a video as images: its processor or its chat template has no path for one like Qwen-VL's."


def shown(images: Sequence[ImageLike], video: VideoMetadata | None, processing: Any) -> list[Any]:
    """Lists what stands in a prompt for a processor: images, or the video of which they are the frames."""
    return [Video(tuple(images), video)] if images and video and reads_videos(processing) else list(images)


def places(items: Iterable[Any]) -> list[dict[str, Any]]:
    """Makes the parts of a message that stand for images and videos."""
    return [{"type": "video" if isinstance(each, Video) else "image"} for each in items]


def opened(items: Iterable[Any]) -> list[Any]:
    """Opens images; of a `Video` the processor opens the frames."""
    return [each if isinstance(each, Video) else open_image(each) for each in items]


def engine_media(items: Iterable[Any]) -> dict[str, Any]:
    """Returns what vLLM takes beside the tokens of a prompt with images or videos, that are opened."""
    media: dict[str, list[Any]] = {}
    for each in items:
        if isinstance(each, Video):
            media.setdefault("video", []).append((each.array(), each.facts() | {"do_sample_frames": False}))
        else:
            media.setdefault("image", []).append(each)
    return {"multi_modal_data": media} if media else {}


def video_of(row: Mapping[str, Any]) -> VideoMetadata | None:
    """Returns what a row of a trainer says of the video of which its images are the frames."""
    return VideoMetadata.of(row[VIDEO]) if row.get(VIDEO) else None


def as_video(row: dict[str, Any]) -> dict[str, Any]:
    """Puts one `Video` in place of the frames of a row and of their places; other rows stay."""
    metadata = video_of(row)
    if metadata is None or not row["images"] or isinstance(row["images"][0], Video):
        return row
    name = column_of_places(row)
    return row | {"images": [Video(tuple(row["images"]), metadata)], name: one_place(row[name])}


def for_collator(rows: Iterable[dict[str, Any]], processing: Any) -> list[dict[str, Any]]:
    """Makes rows what collators of TRL take: with a `Video` in place of its frames where it is read as one."""
    found = [as_video(row) for row in rows] if reads_videos(processing) else rows
    return [{name: value for name, value in row.items() if name != VIDEO} for row in found]


@dataclass
class ShowsVideos:
    """TRL's collator of rows with images, for which the frames of a video are one where the model can read it."""

    collate: Any
    columns: Sequence[str] | None  # that it reads; others would change what it takes a row for

    def __post_init__(self) -> None:
        self.collate.processor = video_reading(self.collate.processor)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows, those of videos with the column `video_metadata`."""
        if self.columns is not None:
            rows = [{name: row[name] for name in (*self.columns, VIDEO) if name in row} for row in rows]
        return self.collate(for_collator(rows, self.collate.processor))  # type: ignore[no-any-return]


def show_videos(trainer: Any, columns: Sequence[str]) -> bool:
    """Has a trainer read videos where its collator is TRL's own for rows with images, and tells whether it is."""
    own = trainer.data_collator
    if not type(own).__module__.startswith("trl.") or not hasattr(own, "processor"):
        return False
    trainer.data_collator = ShowsVideos(own, columns if trainer.args.remove_unused_columns else None)
    trainer.args.remove_unused_columns = False  # which would be what is known of a video
    for model in filter(None, (trainer.model, getattr(trainer, "ref_model", None))):
        place_in_time(model)
    return True


def as_frames(row: dict[str, Any]) -> dict[str, Any]:
    """Puts the frames of a row back."""
    images = row.get("images") or ()
    return row | {"images": list(images[0].frames)} if images and isinstance(images[0], Video) else row


def one_place(prompt: Any) -> Any:
    """Leaves the first of the places for frames, which stand together in front."""
    if count_places(prompt) < 2:
        return prompt
    first = iter([True])
    return [
        message | {"content": [part for part in message["content"] if part["type"] != "image" or next(first, False)]}
        if isinstance(message.get("content"), list)
        else message
        for message in prompt
    ]


class _ReadsVideos:
    """Takes a `Video` where an image may stand: in a message, and among the images of a prompt."""

    _as_images = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        plain: Any = object.__new__(type(self).__mro__[2])  # the class itself was made here, and has no name elsewhere
        vars(plain).update(vars(self))
        return functools.partial(video_reading, as_images=self._as_images), (plain,)

    def apply_chat_template(self, conversation: Any, *args: Any, **how: Any) -> Any:
        is_batch = bool(conversation) and isinstance(conversation[0], list | tuple)
        videos: list[Video] = []
        parted = [_with_video_parts(each, videos) for each in (conversation if is_batch else [conversation])]
        if videos and how.get("tokenize"):
            how["processor_kwargs"] = {**(how.get("processor_kwargs") or {}), **_how(videos)}
        return super().apply_chat_template(parted if is_batch else parted[0], *args, **how)  # type: ignore[misc]

    def __call__(self, images: Any = None, text: Any = None, **how: Any) -> Any:
        rows = [row if isinstance(row, list | tuple) else [row] for row in images or ()]
        items = [each for row in rows for each in row or ()]
        videos = [each for each in items if isinstance(each, Video)]
        if not videos:
            return super().__call__(images=images, text=text, **how)  # type: ignore[misc]
        rest: Any = [[each for each in row or () if not isinstance(each, Video)] for row in rows]
        arrays = [video.array() for video in videos]
        given = {"images": rest if any(rest) else None, "text": text, "videos": arrays, **_how(videos), **how}
        batch = super().__call__(**given)  # type: ignore[misc]
        return as_images(batch, [isinstance(each, Video) for each in items]) if self._as_images else batch


def video_reading(processor: Any, *, as_images: bool = False) -> Any:
    """Copies a processor for one that takes a `Video` where an image may stand; one without a path stays as it is.

    With `as_images` a call, not a conversation, gives the names of images, which TRL hands on; see `read_renamed`.
    """
    if not reads_videos(processor) or isinstance(processor, _ReadsVideos):
        return processor
    own = copy.copy(processor)
    kind = type(processor)
    own.__class__ = type(kind.__name__, (_ReadsVideos, kind), {"_as_images": as_images})
    return own


def _how(videos: Sequence[Video]) -> dict[str, Any]:
    return {"video_metadata": [video.facts() for video in videos], "do_sample_frames": False}


def _with_video_parts(messages: Any, videos: list[Video]) -> list[Any]:
    return [
        message | {"content": [_part(part, videos) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def _part(part: Any, videos: list[Video]) -> Any:
    if not isinstance(part, Mapping) or not isinstance(video := part.get("image"), Video):
        return part
    videos.append(video)
    return {"type": "video", "video": video.array()}


class ImageTokens:
    """Counts the tokens that a processor makes of an image or video: a blank one of each size is processed once."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._counts: dict[Any, int] = {}

    def count(self, image: Any) -> int:
        """Returns by how many tokens a prompt grows when its placeholder becomes this image or video."""
        video = image if isinstance(image, Video) else None
        size = image_size(video.frames[0] if video else image)
        key = (size, video and video.metadata)
        if key not in self._counts:
            self._counts[key] = self._count(size, video)
        return self._counts[key]

    def _count(self, size: tuple[int, int], video: Video | None) -> int:
        from PIL import Image

        image: Any = Image.new("RGB", size)
        blank = [[image if video is None else replace(video, frames=(image,) * len(video.frames))]]
        messages = [{"role": "user", "content": [{"type": "image", "image": blank[0][0]}]}]
        processor = video_reading(self.processor)
        text = processor.apply_chat_template(messages, tokenize=False)
        with_image = processor(text=[text], images=blank, add_special_tokens=False)["input_ids"][0]
        return len(with_image) - len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def as_images(batch: Any, is_video: Sequence[bool]) -> Any:
    """Renames the fields of videos to those of images, the items in their order, as TRL splits them by row.

    `second_per_grid_ts` goes into the types of tokens: as the bits of a 32-bit float, which are far above 2.
    """
    video_grid = batch.pop("video_grid_thw")
    if (seconds := batch.pop("second_per_grid_ts", None)) is not None:
        types = batch["mm_token_type_ids"]
        bits = torch.as_tensor(seconds, dtype=torch.float32).view(torch.int32).to(types.dtype)
        tokens = (types == 2).sum() * video_grid.prod(-1) // video_grid.prod(-1).sum()
        types[types == 2] = bits.repeat_interleave(tokens)
    given = {True: (batch.pop("pixel_values_videos"), video_grid)}
    if "pixel_values" in batch:
        given[False] = batch["pixel_values"], batch["image_grid_thw"]
    items = {
        kind: zip(torch.split(pixels, grid.prod(-1).tolist()), grid, strict=True)
        for kind, (pixels, grid) in given.items()
    }
    pixels, grids = zip(*(next(items[each]) for each in is_video), strict=True)
    batch["pixel_values"], batch["image_grid_thw"] = torch.cat(pixels), torch.stack(grids)
    return batch


def read_renamed(model: nn.Module) -> None:
    """Has a model read what `as_images` renamed, by a hook on the part that tells positions."""
    bodies = [module for module in model.modules() if hasattr(type(module), "get_rope_index")]
    if not bodies:
        raise DataError(f"{type(model).__name__} has no positions for videos. Set `video_as: images`.")
    for body in bodies:
        body.register_forward_pre_hook(_rename, with_kwargs=True)


def _rename(module: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    pixels, types = given.get("pixel_values"), given.get("mm_token_type_ids")
    if pixels is None or types is None or given.get("video_grid_thw") is not None or not (types > 1).any():
        return None
    grid = given["image_grid_thw"]
    seen = types[types > 0]  # the tokens of all items, in their order
    counts = grid.prod(-1) * len(seen) // grid.prod(-1).sum()
    kinds = seen[counts.cumsum(0) - counts]
    is_video = kinds > 1
    rows = is_video.repeat_interleave(grid.prod(-1))
    own = {"pixel_values_videos": pixels[rows], "video_grid_thw": grid[is_video]}
    images = {"pixel_values": None, "image_grid_thw": None}
    if not is_video.all():
        images = {"pixel_values": pixels[~rows], "image_grid_thw": grid[~is_video]}
    if (kinds > 2).any():
        own["second_per_grid_ts"] = kinds[is_video].to(torch.int32).view(torch.float32)
    return args, given | own | images | {"mm_token_type_ids": types.clamp(max=2)}


def place_in_time(model: nn.Module) -> None:
    """Gives the tokens of videos the positions that vLLM gives them; where each frame stands apart they are right.

    transformers 5.17 cuts seconds between patches to whole ones, and begins text before a video's last positions.
    """
    for body in model.modules():
        if hasattr(type(body), "get_rope_index") and not hasattr(body.get_rope_index, "__wrapped__"):
            body.get_rope_index = _placed(body, body.get_rope_index)  # type: ignore[operator]


def _placed(body: Any, get_rope_index: Any) -> Any:
    merged = body.config.vision_config.spatial_merge_size**2

    @functools.wraps(get_rope_index)
    def placed(*args: Any, **given: Any) -> tuple[Tensor, Tensor]:
        found, deltas = get_rope_index(*args, **given)
        grids, types, mask = (given.get(name) for name in ("video_grid_thw", "mm_token_type_ids", "attention_mask"))
        if grids is None or types is None:
            return found, deltas
        places = [row.nonzero().flatten() for row in (torch.ones_like(types) if mask is None else mask)]
        starts = [_starts(types[row, own]) for row, own in enumerate(places)]
        if sum(map(len, starts)) != len(grids):
            return found, deltas  # each frame stands apart
        rate, seconds = getattr(body.config.vision_config, "tokens_per_second", 1.0), given.get("second_per_grid_ts")
        rates = [rate * float(each) for each in ([1.0] * len(grids) if seconds is None else seconds)]
        videos = iter(zip(grids.tolist(), rates, strict=True))
        for row, own in enumerate(places):
            positions = found[:, row, own]
            for start in starts[row]:
                (count, *sides), interval = next(videos)
                patch = math.prod(sides) // merged
                end = start + count * patch
                times = torch.tensor([int(time * interval) for time in range(count)]).repeat_interleave(patch)
                positions[0, start:end] = positions[1, start] + times.to(positions)
                if end < positions.shape[1]:
                    positions[:, end:] += positions[:, start:end].max() + 1 - positions[0, end]
            found[:, row, own] = positions
            deltas[row] = positions.max() + 1 - len(own)
        return found, deltas

    return placed


def _starts(kinds: Tensor) -> list[int]:
    """Finds where runs of the tokens of videos begin."""
    is_video = torch.nn.functional.pad(kinds == 2, (1, 0))
    return (is_video[1:] & ~is_video[:-1]).nonzero().flatten().tolist()  # type: ignore[no-any-return]
