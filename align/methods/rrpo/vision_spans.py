"""Marks of preference pairs with images, whose responses TRL tokenises alone, and only when it collates them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, Image, List, concatenate_datasets
from transformers import ProcessorMixin
from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from align.data.conversations import show_places
from align.data.media.images import image_size
from align.data.media.rows import check_shown_prompt, listed_images
from align.data.pairs.marks import decide_marks
from align.data.pairs.preferences import PreferencePair
from align.data.problems import BadRow
from align.data.template_settings import TEMPLATE_COLUMNS
from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.spans import (
    SIDES,
    Marker,
    check_same_length,
    map_rows,
    mask_columns,
    place_marks,
)


class ImageTokens:
    """Counts the tokens that a processor puts in place of an image, by the size of the image.

    A blank image of each size is processed once: every family has rules of its own for sizes and tiles.
    """

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor: Any = processor
        self._counts: dict[tuple[int, int], int] = {}

    def count(self, image: Any) -> int:
        """Returns by how many tokens a prompt grows when its placeholder becomes this image."""
        size = image_size(image)
        if size not in self._counts:
            self._counts[size] = self._count(size)
        return self._counts[size]

    def _count(self, size: tuple[int, int]) -> int:
        from PIL import Image

        messages = [{"role": "user", "content": [{"type": "image"}]}]
        text = self.processor.apply_chat_template(messages, tokenize=False)
        blank = [[Image.new("RGB", size)]]
        with_image = self.processor(text=[text], images=blank, add_special_tokens=False)["input_ids"][0]
        return len(with_image) - len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])


TEXTS = ("prompt", *SIDES)


@dataclass(frozen=True)
class VisionMarker(Marker):
    """Adds to a raw row with images `chosen_span_mask` and `rejected_span_mask`, 0/1 per token of the response alone.

    Also adds `is_marked`, whether `max_length` leaves a marked token to read, and `num_images`.
    """

    processing_class: ProcessorMixin
    image_tokens: ImageTokens

    def _columns(self, pair: PreferencePair) -> dict[str, Any]:
        """Returns them with contents that are parts in all rows, as a column of a table needs."""
        self._check_texts(pair)
        columns = super()._columns(pair)
        return columns | {"prompt": show_places(columns["prompt"], len(pair.images))}

    def _mark(self, pair: PreferencePair, columns: Mapping[str, Any]) -> dict[str, Any]:
        messages = {side: prepare_multimodal_messages(columns[side]) for side in SIDES}
        messages["prompt"] = prepare_multimodal_messages(columns["prompt"], images=[None] * len(pair.images))
        texts = apply_chat_template(messages, self.processing_class, **pair.template.get("chat_template_kwargs", {}))
        prompt = texts["prompt"]
        full = [prompt + texts[side] for side in SIDES]
        responses = self._tokenize_responses(pair, prompt, full, add_special_tokens=False, begin=len(prompt))
        num_prompt = 0 if self.rule.max_length is None else self._count_prompt(pair, prompt)
        marks = decide_marks(self.rule, pair.spans_from, *responses, prompt=num_prompt)
        return mask_columns(marks) | {"num_images": len(pair.images)}

    def _check_texts(self, pair: PreferencePair) -> None:
        """Checks that images have a place in the prompt, and none in the responses."""
        check_shown_prompt(pair.prompt, len(pair.images))
        if "tools" in pair.template:
            rule = "TRL does not give `tools` to the template of a row with images"
            raise BadRow("tools", pair.template["tools"], rule, "Leave the column out.")
        token = getattr(self.processing_class, "image_token", None)
        for side, text in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            if token and token in text:
                rule = f"the response has {token}, which is an image to this model"
                raise BadRow(side, text, rule, "Take it out: only the prompt has images.")

    def _count_prompt(self, pair: PreferencePair, text: str) -> int:
        length = len(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        for image in pair.images:
            try:
                length += self.image_tokens.count(image)
            except (OSError, ValueError) as error:
                remedy = "Repair or replace it, or leave the row out."
                raise BadRow("images", image, f"an image cannot be read: {error}", remedy) from error
        return length


def mark_vision_dataset(dataset: Dataset, marker: VisionMarker, args: RRPOConfig) -> Dataset:
    """Checks and marks every row without decoding its images, and leaves out those without a mark that is read."""
    columns = [name for name in ("image", "images") if name in dataset.column_names]
    raw = dataset
    for name in columns:
        raw = raw.cast_column(name, _undecoded(dataset.features[name]))
    texts = map_rows(raw, marker, num_proc=args.dataset_num_proc, remove_columns=columns)
    kept = [index for index, is_marked in enumerate(texts["is_marked"]) if is_marked]
    parts = [texts, dataset.select_columns(columns)] if columns else [texts]
    return concatenate_datasets(parts, axis=1).select(kept)


def _undecoded(feature: Any) -> Any:
    if isinstance(feature, List):
        return List(_undecoded(feature.feature))
    return Image(decode=False) if isinstance(feature, Image) else feature


def check_all_have_images(dataset: Dataset, dataset_name: str) -> None:
    """Checks that every row makes the vision tower run: processes that share its weights would wait for each other."""
    counts = dataset["num_images"]
    if 0 in counts and any(counts):
        raise DataError(
            f"Some rows of the {dataset_name} dataset have images and some have none. With DeepSpeed or FSDP every "
            f"process must run the vision tower in every step. Give every row an image, or train with DDP."
        )


@dataclass
class VisionSpanCollator(DataCollatorForVisionPreference):
    """TRL's collator of pairs with images with `span_mask`, `(2B, T)`: 1 at marked tokens, the chosen ones first."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows with the columns `chosen_span_mask` and `rejected_span_mask`."""
        marks = [(side, example[f"{side}_span_mask"]) for side in SIDES for example in examples]
        texts = [
            {name: example[name] for name in (*TEXTS, *TEMPLATE_COLUMNS) if example.get(name)}
            | {"images": list(listed_images(example))}
            for example in examples
        ]
        batch: dict[str, Any] = super().torch_call(texts)
        lengths = zip(batch["attention_mask"].sum(-1).tolist(), batch["completion_mask"].sum(-1).tolist(), strict=True)
        for (side, mark), (length, responded) in zip(marks, lengths, strict=True):
            if length != self.max_length or responded > len(mark):  # else its end may be cut off
                check_same_length(f"{side} response", responded, len(mark))
        batch["span_mask"] = place_marks(batch["completion_mask"], [mark for _, mark in marks])
        return batch
