"""Batches of texts with outcomes, for regression, and how well predictions fit them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate.logging import get_logger
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from align.data.conversations import check_messages
from align.evaluation.statistics.metrics import Values

logger = get_logger(__name__)
COLUMNS = ("prompt", "text", "label", "outcome", "confounders")


@dataclass(frozen=True)
class TokenizeOutcomes:
    """Adds the tokens of prompt, text and end to a row, or those of the chat template."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, row: Mapping[str, Any]) -> dict[str, list[int]]:
        """Returns `input_ids`."""
        prompt, text = row["prompt"], row["text"]
        if isinstance(prompt, str):
            end = str(self.tokenizer.eos_token or "")
            whole = prompt + (text if end and text.endswith(end) else text + end)
            return {"input_ids": list(self.tokenizer(whole)["input_ids"])}  # type: ignore[arg-type]
        encoded: Any = self.tokenizer.apply_chat_template(
            [*check_messages(prompt, "prompt"), {"role": "assistant", "content": text}], return_dict=True
        )
        return {"input_ids": list(encoded["input_ids"])}


@dataclass(frozen=True)
class OutcomeCollator:
    """Pads the tokens of B rows, and stacks their labels `(B,)`, outcomes `(B,)` and confounders `(B, K)`."""

    pad_token_id: int
    outcome_mean: float = 0.0  # taken off outcomes before they become float32, which has 7 digits
    confounder_means: tuple[float, ...] = ()  # K of them, taken off confounders

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collates rows."""
        width = max(len(row["input_ids"]) for row in rows)
        ids = [[*row["input_ids"], *[self.pad_token_id] * (width - len(row["input_ids"]))] for row in rows]
        mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(mask),
            "labels": torch.tensor([row["label"] for row in rows], dtype=torch.float32),
            "outcome": torch.tensor([row["outcome"] - self.outcome_mean for row in rows], dtype=torch.float32),
            "confounders": torch.tensor([self._centred(row["confounders"]) for row in rows], dtype=torch.float32),
        }

    def _centred(self, confounders: Sequence[float]) -> list[float]:
        means = self.confounder_means or (0.0,) * len(confounders)
        return [value - mean for value, mean in zip(confounders, means, strict=True)]


def prepare(dataset: Any, tokenize: TokenizeOutcomes, max_length: int | None, kind: str) -> Dataset:
    """Tokenises rows and leaves out those that are too long."""
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"The {kind} rows must be a `datasets.Dataset`, got {type(dataset).__name__}: outcomes were corrected and "
            "standardised over all of them. Read the stream into one, for example with `Dataset.from_generator`."
        )
    if missing := [name for name in COLUMNS if name not in dataset.column_names]:
        raise ValueError(
            f"The {kind} rows have no {', '.join(missing)} (columns: {', '.join(dataset.column_names)}). "
            "`align.data.tables.outcome_rows.outcome_rows` makes rows with all that is needed."
        )
    tokenised = dataset.map(tokenize, desc=f"Tokenizing {kind} rows")
    if max_length is None:
        return tokenised
    kept = tokenised.filter(lambda ids: len(ids) <= max_length, input_columns="input_ids", desc="Measuring rows")
    if len(kept) < len(tokenised):
        logger.warning(
            "%d of %d %s rows are longer than `max_length` = %d and left out.",
            len(tokenised) - len(kept), len(tokenised), kind, max_length,
        )  # fmt: skip
    if not len(kept):
        raise ValueError(f"All {kind} rows are longer than `max_length` = {max_length}. Raise it.")
    return kept


def prediction_metrics(
    predictions: Values, labels: Values, outcome: Values, confounders: Values, names: Sequence[str]
) -> dict[str, float]:
    """Computes the error of predictions `(N,)`, and what they go with; confounders are `(N, K)`.

    Returns `deconfound/mse`, and correlations of the predictions with the corrected and the observed outcome and with
    each confounder; beside the last, those of the corrected outcome, which predictions without a lean share. One that
    is not defined is left out.
    """
    found = {
        "deconfound/mse": float(((predictions - labels) ** 2).mean()),
        "deconfound/correlation_corrected": _correlation(predictions, labels),
        "deconfound/correlation_outcome": _correlation(predictions, outcome),
    }
    for name, column in zip(names, confounders.T, strict=True):
        found[f"deconfound/correlation_{name}"] = _correlation(predictions, column)
        found[f"deconfound/target_{name}"] = _correlation(labels, column)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _correlation(one: Values, other: Values) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    one, other = (each.astype(float) / np.abs(each).max() for each in (one, other))  # squares that fit, in any unit
    return float(np.corrcoef(one, other)[0, 1])
