"""Marks of preference pairs, from character spans in raw rows to a 0/1 per response token; also beside images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset, IterableDataset, concatenate_datasets
from torch import Tensor
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from trl import apply_chat_template, prepare_multimodal_messages

from align.data.conversations import count_places, show_places
from align.data.files import undecoded
from align.data.media.images import VIDEO
from align.data.media.rows import check_shown_prompt, listed_images
from align.data.pairs.marks import MarkRule, Marks, TokenizedResponse, decide_marks, tokenized_responses
from align.data.pairs.preferences import PreferencePair, check_pair, pair_to_row
from align.data.problems import BadRow, row_error
from align.data.template_settings import TEMPLATE_COLUMNS, template_settings
from align.data.texts import count_shared
from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig
from align.models.videos import ImageTokens, one_place, shown, video_of, video_reading
from align.training.streams import StreamCount, usable_rows

Row = Mapping[str, Any]
SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Marker:
    """Adds to a raw row 0/1 masks of response tokens, `is_marked` (one is read) and `num_prompt` (tokens before)."""

    processing_class: PreTrainedTokenizerBase | ProcessorMixin
    rule: MarkRule
    dataset_name: str

    def __call__(self, row: Row, index: int) -> dict[str, Any]:
        """Checks and marks one row; raises `DataError` if it breaks a rule or is rendered otherwise."""
        try:
            pair = replace(check_pair(row), video=video_of(row))
            columns = self._columns(pair)
            return columns | self._mark(pair, columns)
        except BadRow as bad:
            raise row_error(self.dataset_name, index, bad) from bad
        except ValueError as error:
            raise DataError(f"{self.dataset_name} dataset, row {index + 1}: {error}") from error

    def _columns(self, pair: PreferencePair) -> dict[str, Any]:
        """Returns prompt and responses as TRL is to read them."""
        row = pair_to_row(pair)
        return {name: row[name] for name in ("prompt", *SIDES)}

    def _mark(self, pair: PreferencePair, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Marks the responses by the tokens that TRL will make of both texts."""
        if pair.images:  # a table of such rows was refused whole
            rule = "the row has images and the first rows have none, so that they would not be read"
            raise BadRow("images", len(pair.images), rule, "Put a row with images first, or leave them out.")
        if count_places(pair.prompt):
            check_shown_prompt(pair.prompt, 0)
        special, settings = isinstance(pair.prompt, str), template_settings(pair.template)
        prompt = self._render_prompt(columns["prompt"], settings)
        full = [self._render(columns["prompt"], columns[side], settings) for side in SIDES]
        responses = self._tokenize_responses(pair, prompt, full, add_special_tokens=special)
        prompt_ids = self.tokenizer(prompt, add_special_tokens=special)["input_ids"]
        shared = count_shared(prompt_ids, *(response.ids for response in responses))
        marks = decide_marks(self.rule, pair.spans_from, *responses, prompt=shared, skip=shared)
        return mask_columns(marks) | {"num_prompt": shared}

    def _tokenize_responses(
        self, pair: PreferencePair, prompt: str, full: Sequence[str], *, add_special_tokens: bool, begin: int = 0
    ) -> tuple[TokenizedResponse, TokenizedResponse]:
        """Tokenises both texts of a pair, from place `begin` of each of `full`, prompt and response as rendered."""
        settings = {"add_special_tokens": add_special_tokens, "return_offsets_mapping": True}
        found = [self.tokenizer(text[begin:], **settings) for text in full]
        tokens = [(each["input_ids"], each["offset_mapping"]) for each in found]
        return tokenized_responses(pair, prompt, full, tokens, begin=begin)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, of the processor where there is one."""
        return getattr(self.processing_class, "tokenizer", self.processing_class)

    def _render(self, prompt: Any, response: Any, settings: Row) -> str:
        if isinstance(prompt, str):
            end = self.tokenizer.eos_token
            return str(prompt + response + ("" if response.endswith(end) else end))
        return self._apply_template([*prompt, *response], settings)

    def _render_prompt(self, prompt: Any, settings: Row) -> str:
        return (
            prompt if isinstance(prompt, str) else self._apply_template(prompt, settings, add_generation_prompt=True)
        )

    def _apply_template(self, messages: list[dict[str, Any]], settings: Row, **more: Any) -> str:
        if isinstance(self.processing_class, ProcessorMixin):
            messages = prepare_multimodal_messages(messages)
        return str(self.processing_class.apply_chat_template(messages, tokenize=False, **settings, **more))


@dataclass(frozen=True)
class Fitter:
    """Fits marks to the tokens of a row in TRL: compares their numbers, or marks all of them if the rule says so."""

    rule: MarkRule

    def __call__(self, row: Row) -> dict[str, Any]:
        """Returns the columns that `Marker` adds; raises `DataError` if TRL has other tokens."""
        prompt = len(row["prompt_ids"])
        if self.rule.spans == "whole":
            chosen, rejected = (TokenizedResponse(row[f"{side}_ids"]) for side in SIDES)
            return mask_columns(decide_marks(self.rule, "", chosen, rejected, prompt=prompt))
        check_same_length("prompt", prompt, row["num_prompt"])
        for side in SIDES:
            check_same_length(f"{side} response", len(row[f"{side}_ids"]), len(row[f"{side}_span_mask"]))
        return {}


def mask_columns(marks: Marks) -> dict[str, Any]:
    """Writes marks as the columns of a row."""
    return {"chosen_span_mask": marks.chosen, "rejected_span_mask": marks.rejected, "is_marked": marks.is_read}


def check_same_length(part: str, in_trl: int, here: int) -> None:
    """Checks that a part of a row has as many tokens in TRL as where its spans were looked for."""
    if in_trl != here:
        raise DataError(
            f"The {part} takes {in_trl} tokens in TRL and {here} where its spans are looked for, so marks would "
            "shift. Use a tokenizer and chat template that render a text alike each time, or set `spans: whole`."
        )


def mark_dataset(dataset: Dataset, marker: Marker | None, args: RRPOConfig, dataset_name: str) -> Dataset:
    """Checks and marks every row, before TRL tokenises them; without a marker nothing is done."""
    if columns := [name for name in ("image", "images") if name in dataset.column_names]:
        raise DataError(
            f"The {dataset_name} dataset has the column `{columns[0]}` and the train dataset has none, so its images "
            f"would not be read. Give both images, or neither."
        )
    if marker is None:
        return dataset
    return map_rows(dataset, marker, num_proc=args.dataset_num_proc)


def map_rows(dataset: Dataset, marker: Marker, **map_kwargs: Any) -> Dataset:
    """Marks every row."""
    _check_fast(marker)
    return dataset.map(marker, with_indices=True, desc=f"Marking {marker.dataset_name} dataset", **map_kwargs)


def mark_stream(dataset: IterableDataset, marker: Marker | None, count: StreamCount) -> IterableDataset:
    """Has every row checked and marked when it is read, and those that cannot be used left out and counted."""
    if marker is None:
        return usable_rows(dataset, lambda row, index: {}, count)
    _check_fast(marker)
    return usable_rows(dataset, marker, count)


def _check_fast(marker: Marker) -> None:
    if not marker.tokenizer.is_fast:
        raise DataError(
            f"RRPO needs a fast tokenizer, got {type(marker.tokenizer).__name__}: only those say which characters a "
            f"token covers. Load it with `use_fast=True`, or set `spans: whole`."
        )


def fit_dataset(dataset: Dataset, args: RRPOConfig, dataset_name: str) -> Dataset:
    """Fits the marks to what TRL has tokenised, and leaves out rows without a marked token that is read."""
    progress = {"num_proc": args.dataset_num_proc, "desc": f"Fitting marks of {dataset_name} dataset"}
    return dataset.map(Fitter(MarkRule.read(args)), **progress).filter(bool, input_columns="is_marked", **progress)


@dataclass
class SpanCollator:
    """TRL's collator with `span_mask`, `(2B, T)`: 1 at marked tokens, the chosen responses first."""

    collate: Any

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows with the columns `chosen_span_mask` and `rejected_span_mask`."""
        batch: dict[str, Any] = self.collate(examples)
        masks = [example[f"{side}_span_mask"] for side in SIDES for example in examples]
        return batch | {"span_mask": place_marks(batch["completion_mask"], masks)}


def place_marks(completion_mask: Tensor, marks: Sequence[Sequence[int]]) -> Tensor:
    """Writes the marks of responses to where they stand, `(2B, T)`; those that `max_length` cuts off are left out."""
    span_mask = torch.zeros_like(completion_mask)
    starts, lengths = completion_mask.argmax(-1).tolist(), completion_mask.sum(-1).tolist()
    for row, start, length, mark in zip(span_mask, starts, lengths, marks, strict=True):
        row[start : start + length] = torch.tensor(mark[:length], dtype=span_mask.dtype)
    return span_mask


TEXTS = ("prompt", *SIDES)
COLUMNS = (*TEXTS, "image", "images", *TEMPLATE_COLUMNS)  # that TRL's collator reads of a pair with images


@dataclass(frozen=True)
class VisionMarker(Marker):
    """Adds to a raw row with images 0/1 masks of its responses alone, `is_marked` (one is read), `num_images`."""

    processing_class: ProcessorMixin
    image_tokens: ImageTokens

    def _columns(self, pair: PreferencePair) -> dict[str, Any]:
        """Returns them with contents that are parts in all rows, as a column of a table needs."""
        self._check_texts(pair)
        columns = super()._columns(pair)
        return columns | {"prompt": show_places(columns["prompt"], len(pair.images))}

    def _mark(self, pair: PreferencePair, columns: Mapping[str, Any]) -> dict[str, Any]:
        messages = {side: prepare_multimodal_messages(columns[side]) for side in SIDES}
        items = self._items(pair)
        asked = columns["prompt"] if len(items) == len(pair.images) else one_place(columns["prompt"])
        messages["prompt"] = prepare_multimodal_messages(asked, images=items)
        processor = video_reading(self.processing_class)
        texts = apply_chat_template(messages, processor, **pair.template.get("chat_template_kwargs", {}))
        prompt = texts["prompt"]
        full = [prompt + texts[side] for side in SIDES]
        responses = self._tokenize_responses(pair, prompt, full, add_special_tokens=False, begin=len(prompt))
        num_prompt = 0 if self.rule.max_length is None else self._count_prompt(pair, prompt)
        marks = decide_marks(self.rule, pair.spans_from, *responses, prompt=num_prompt)
        return mask_columns(marks) | {"num_images": len(pair.images)}

    def _items(self, pair: PreferencePair) -> list[Any]:
        return shown(pair.images, pair.video, self.processing_class)

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
        for image in self._items(pair):
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
        raw = raw.cast_column(name, undecoded(dataset.features[name]))
    texts = map_rows(raw, marker, num_proc=args.dataset_num_proc, remove_columns=columns)
    kept = [index for index, is_marked in enumerate(texts["is_marked"]) if is_marked]
    parts = [texts, dataset.select_columns(columns)] if columns else [texts]
    return concatenate_datasets(parts, axis=1).select(kept)


@dataclass
class VisionSpanCollator:
    """TRL's collator of pairs with images with `span_mask`, `(2B, T)`: 1 at marked tokens, the chosen ones first."""

    collate: Any
    max_length: int | None

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows with the columns `chosen_span_mask` and `rejected_span_mask`."""
        marks = [(side, example[f"{side}_span_mask"]) for side in SIDES for example in examples]
        texts = [
            {name: example[name] for name in (*TEXTS, *TEMPLATE_COLUMNS, VIDEO) if example.get(name)}
            | {"images": list(listed_images(example))}
            for example in examples
        ]
        batch: dict[str, Any] = self.collate(texts)
        lengths = zip(batch["attention_mask"].sum(-1).tolist(), batch["completion_mask"].sum(-1).tolist(), strict=True)
        for (side, mark), (length, responded) in zip(marks, lengths, strict=True):
            if length != self.max_length or responded > len(mark):  # else its end may be cut off
                check_same_length(f"{side} response", responded, len(mark))
        batch["span_mask"] = place_marks(batch["completion_mask"], [mark for _, mark in marks])
        return batch
