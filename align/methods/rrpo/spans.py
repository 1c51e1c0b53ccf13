"""Marks of preference pairs: from character spans in the raw rows to a 0/1 per response token."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from trl.data_utils import prepare_multimodal_messages
from trl.trainer.dpo_trainer import DataCollatorForPreference

from align.data.pairs.preference_rules import CheckedPair, check_pair
from align.data.pairs.preferences import pair_to_row
from align.data.pairs.span_tokens import mark_tokens, place_response
from align.data.pairs.spans import diff_tokens
from align.data.problems import BadRow, RowProblem
from align.errors import DataError
from align.methods.rrpo.config import RRPOConfig

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
            return columns | self._mark(pair, columns, row.get("chat_template_kwargs") or {})
        except BadRow as bad:
            raise DataError(str(RowProblem(file, index + 1, bad.column, bad.value, bad.rule, bad.remedy))) from bad
        except ValueError as error:
            raise DataError(f"{file}, row {index + 1}: {error}") from error

    def _mark(self, pair: CheckedPair, columns: Mapping[str, Any], settings: Row) -> dict[str, Any]:
        """Marks the tokens of both texts; the tokens are those TRL will make of them."""
        texts = [self._render(columns["prompt"], columns[side], settings) for side in SIDES]
        conversational = not isinstance(pair.prompt, str)
        encodings = [
            self.tokenizer(text, add_special_tokens=not conversational, return_offsets_mapping=True) for text in texts
        ]
        prompt = self._render_prompt(columns["prompt"], settings)
        marks = self._mark_encodings(pair, encodings, texts, prompt)
        return {f"{side}_marks": list(mark) for side, mark in zip(SIDES, marks, strict=True)}

    def _mark_encodings(
        self, pair: CheckedPair, encodings: Sequence[Any], texts: Sequence[str], prompt: str, begin: int = 0
    ) -> Iterable[list[int]]:
        """Marks tokens by the spans of the pair, or by a diff of the tokens.

        Args:
            pair: The pair.
            encodings: Tokens of both texts with their offsets.
            texts: Prompt and response, as rendered.
            prompt: The prompt, as rendered.
            begin: Where in the texts the tokens begin.
        """
        if pair.spans_from == "diff" and self.diff_unit == "token":
            return diff_tokens(*(encoding["input_ids"] for encoding in encodings))
        responses = ((pair.chosen, pair.chosen_spans), (pair.rejected, pair.rejected_spans))
        return [
            mark_tokens(encoding["offset_mapping"], spans, place_response(text, prompt, response) - begin)
            for text, encoding, (response, spans) in zip(texts, encodings, responses, strict=True)
        ]

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
    """Decides which marks of a pair count, and whether any of them is read.

    Args:
        whole: Whether every response token is marked.
        whole_if_missing: Whether it is where nothing else is.
        max_length: Longest sequence that the model reads; marks beyond it do not count.
    """

    whole: bool
    whole_if_missing: bool
    max_length: int | None

    def __call__(self, row: Row) -> dict[str, Any]:
        """Fits the marks of a row that TRL has tokenised; they begin with the prompt."""
        start = len(row["prompt_ids"])
        marks = {side: [1] * len(row[f"{side}_ids"]) for side in SIDES}
        if not self.whole:
            marks = {side: row[f"{side}_marks"][start:] for side in SIDES}
        for side in SIDES:
            check_same_length(side, len(row[f"{side}_ids"]), len(marks[side]))
        return self.fit(marks, start)

    def fit(self, marks: Mapping[str, list[int]], start: int) -> dict[str, Any]:
        """Returns `chosen_span_mask`, `rejected_span_mask`, and in `is_marked` whether a marked token is read.

        Args:
            marks: 0/1 per token of each response.
            start: Tokens in front of the responses.
        """
        read = None if self.max_length is None else max(0, self.max_length - start)
        whole = {side: [1] * len(mark) for side, mark in marks.items()}
        is_marked = any(any(mark[:read]) for mark in marks.values())
        if self.whole or (self.whole_if_missing and not is_marked):
            marks, is_marked = whole, read != 0
        return {f"{side}_span_mask": mark for side, mark in marks.items()} | {"is_marked": is_marked}


def check_same_length(side: str, in_trl: int, here: int) -> None:
    """Checks that a response has as many tokens in TRL as where its spans were looked for.

    Raises:
        DataError: If it has not.
    """
    if in_trl != here:
        raise DataError(
            f"The {side} response takes {in_trl} tokens in TRL and {here} when its spans are looked for. This "
            f"tokenizer or chat template renders text in two ways."
        )


def make_fitter(args: RRPOConfig) -> Fitter:
    """Reads the settings that decide which marks count."""
    max_length = args.max_length if args.truncation_mode == "keep_start" else None
    return Fitter(args.spans == "whole", args.on_missing_spans == "whole", max_length)


def mark_dataset(dataset: Dataset, processing_class: Any, args: RRPOConfig, dataset_name: str) -> Dataset:
    """Checks and marks every row, before TRL tokenises them.

    Raises:
        DataError: If a row breaks a rule, or has images.
    """
    if columns := [name for name in ("image", "images") if name in dataset.column_names]:
        raise DataError(
            f"The {dataset_name} dataset has the column `{columns[0]}` and the train dataset has none, so its images "
            f"would not be read. Give both images, or neither."
        )
    if args.spans == "whole":
        return dataset
    marker = Marker(processing_class, args.diff_unit, dataset_name)
    return map_rows(dataset, marker, num_proc=args.dataset_num_proc)


def map_rows(dataset: Dataset, marker: Marker, **map_kwargs: Any) -> Dataset:
    """Marks every row.

    Raises:
        DataError: If the tokenizer does not know the characters of its tokens.
    """
    if not marker.tokenizer.is_fast:
        raise DataError(
            f"RRPO needs a fast tokenizer, got {type(marker.tokenizer).__name__}: only those say which characters a "
            f"token covers. Load it with `use_fast=True`, or set `spans: whole`."
        )
    return dataset.map(marker, with_indices=True, desc=f"Marking {marker.dataset_name} dataset", **map_kwargs)


def fit_dataset(dataset: Dataset, args: RRPOConfig, dataset_name: str) -> Dataset:
    """Fits the marks to what TRL has tokenised, and leaves out rows without a marked token that is read."""
    progress = {"num_proc": args.dataset_num_proc, "desc": f"Fitting marks of {dataset_name} dataset"}
    return dataset.map(make_fitter(args), **progress).filter(bool, input_columns="is_marked", **progress)


@dataclass
class SpanCollator(DataCollatorForPreference):
    """TRL's collator with `span_mask`, `(2B, T)`: 1 at marked tokens, the chosen responses first."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows with the columns `chosen_span_mask` and `rejected_span_mask`."""
        batch: dict[str, Any] = super().torch_call(examples)
        masks = [example[f"{side}_span_mask"] for side in SIDES for example in examples]
        return batch | {"span_mask": place_marks(batch["completion_mask"], masks)}


def place_marks(completion_mask: Tensor, marks: Sequence[Sequence[int]]) -> Tensor:
    """Writes the marks of responses to where they stand, `(2B, T)`; those that `max_length` cuts off are left out."""
    span_mask = torch.zeros_like(completion_mask)
    starts, lengths = completion_mask.argmax(-1).tolist(), completion_mask.sum(-1).tolist()
    for row, start, length, mark in zip(span_mask, starts, lengths, marks, strict=True):
        row[start : start + length] = torch.tensor(mark[:length], dtype=span_mask.dtype)
    return span_mask
