"""Marks of preference pairs: from character spans in the raw rows to a 0/1 per response token."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.dpo_trainer import DataCollatorForPreference

from align.data.preference_rules import CheckedPair, check_pair
from align.data.preferences import pair_to_row
from align.data.problems import BadRow, RowProblem
from align.data.span_tokens import mark_tokens, place_response
from align.data.spans import diff_tokens
from align.errors import DataError

Row = Mapping[str, Any]
SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Marker:
    """Adds to a raw row `chosen_marks` and `rejected_marks`: 0/1 per token of prompt and response.

    Args:
        processing_class: The fast tokenizer of the model, or a processor with one.
        diff_unit: `word` or `token`, for rows without spans of their own.
        dataset_name: Named in errors.
    """

    processing_class: PreTrainedTokenizerBase | ProcessorMixin
    diff_unit: str
    dataset_name: str

    def __call__(self, row: Row, index: int) -> dict[str, Any]:
        """Checks and marks one row.

        Raises:
            DataError: If the row breaks a rule, or its response cannot be found in the rendered text.
        """
        file = f"{self.dataset_name} dataset"
        try:
            pair = check_pair(row)
            columns = {name: pair_to_row(pair)[name] for name in ("prompt", *SIDES)}
            marks = self._marks(pair, columns, row.get("chat_template_kwargs") or {})
        except BadRow as bad:
            raise DataError(str(RowProblem(file, index + 1, bad.column, bad.value, bad.rule, bad.remedy))) from bad
        except ValueError as error:
            raise DataError(f"{file}, row {index + 1}: {error}") from error
        return columns | {f"{side}_marks": list(mark) for side, mark in zip(SIDES, marks, strict=True)}

    def _marks(self, pair: CheckedPair, columns: Mapping[str, Any], settings: Row) -> Iterable[list[int]]:
        """Marks the tokens of both texts; the tokens are those TRL will make of them."""
        texts = [self._render(columns["prompt"], columns[side], settings) for side in SIDES]
        conversational = not isinstance(pair.prompt, str)
        encodings = [
            self._tokenizer(text, add_special_tokens=not conversational, return_offsets_mapping=True) for text in texts
        ]
        if pair.spans_from == "diff" and self.diff_unit == "token":
            return diff_tokens(*(encoding["input_ids"] for encoding in encodings))
        prompt = self._render_prompt(columns["prompt"], settings)
        responses = ((pair.chosen, pair.chosen_spans), (pair.rejected, pair.rejected_spans))
        return [
            mark_tokens(encoding["offset_mapping"], spans, place_response(text, prompt, response))
            for text, encoding, (response, spans) in zip(texts, encodings, responses, strict=True)
        ]

    @property
    def _tokenizer(self) -> Any:
        return getattr(self.processing_class, "tokenizer", self.processing_class)

    def _render(self, prompt: Any, response: Any, settings: Row) -> str:
        if isinstance(prompt, str):
            end = self._tokenizer.eos_token
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
    """Cuts the marks of a tokenised row to its responses: `chosen_span_mask` and `rejected_span_mask`.

    Args:
        whole: Whether every response token is marked.
        whole_if_missing: Whether it is where nothing else is.
        max_length: Longest sequence that the model reads; marks beyond it do not count.
    """

    whole: bool
    whole_if_missing: bool
    max_length: int | None

    def __call__(self, row: Row) -> dict[str, list[int]]:
        """Returns the masks, all zeros on both sides if the pair has nothing to mark."""
        start = len(row["prompt_ids"])
        whole = {side: [1] * len(row[f"{side}_ids"]) for side in SIDES}
        masks = whole if self.whole else {side: row[f"{side}_marks"][start:] for side in SIDES}
        for side in SIDES:
            if len(masks[side]) != len(row[f"{side}_ids"]):
                raise DataError(
                    f"The {side} response takes {len(row[f'{side}_ids'])} tokens in TRL and {len(masks[side])} when "
                    f"its spans are looked for. This tokenizer or chat template renders text in two ways."
                )
        read = None if self.max_length is None else self.max_length - start
        if self.whole_if_missing and not any(any(mask[:read]) for mask in masks.values()):
            masks = whole
        return {f"{side}_span_mask": mask if read is None else mask[:read] for side, mask in masks.items()}


def is_marked(row: Row) -> bool:
    """Says whether a row has a marked token on either side."""
    return any(any(row[f"{side}_span_mask"]) for side in SIDES)


def mark_dataset(dataset: Dataset, marker: Marker, **map_kwargs: Any) -> Dataset:
    """Checks and marks every row, before TRL tokenises them."""
    if not marker._tokenizer.is_fast:
        raise DataError(
            f"RRPO needs a fast tokenizer, got {type(marker._tokenizer).__name__}: only those say which characters a "
            f"token covers. Load it with `use_fast=True`, or set `spans: whole`."
        )
    return dataset.map(marker, with_indices=True, desc=f"Marking {marker.dataset_name} dataset", **map_kwargs)


@dataclass
class SpanCollator(DataCollatorForPreference):
    """TRL's collator with `span_mask`, `(2B, T)`: 1 at marked tokens, the chosen responses first."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows with the columns `chosen_span_mask` and `rejected_span_mask`."""
        batch: dict[str, Any] = super().torch_call(examples)
        span_mask = torch.zeros_like(batch["completion_mask"])
        rows = [(example, side) for side in SIDES for example in examples]
        for i, (example, side) in enumerate(rows):
            start, mask = len(example["prompt_ids"]), example[f"{side}_span_mask"]
            mask = torch.tensor(mask[: span_mask.size(1) - start], dtype=span_mask.dtype)
            span_mask[i, start : start + len(mask)] = mask
        return batch | {"span_mask": span_mask}
