"""The columns of a row that TRL's reward trainer does not have, and batches with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl.trainer.reward_trainer import DataCollatorForPreference

from align.data.pairs.pairwise import pairwise_prompt
from align.data.pairs.reward_pair_rules import DEFAULT_SOURCE


@dataclass(frozen=True)
class TieColumns:
    """Adds `tie` and `source_id` to a row, and for a pairwise model the tokens of both orders."""

    sources: Mapping[str, int]
    tokenizer: PreTrainedTokenizerBase | None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the columns of a row."""
        columns: dict[str, Any] = {
            "tie": bool(row.get("tie", False)),
            "source_id": self.sources[row.get("source", DEFAULT_SOURCE)],
        }
        if self.tokenizer is not None:
            columns["chosen_ids"] = self._tokens(row["prompt"], row["chosen"], row["rejected"])
            columns["rejected_ids"] = self._tokens(row["prompt"], row["rejected"], row["chosen"])
        return columns

    def _tokens(self, prompt: Any, first: Any, second: Any) -> list[int]:
        question: Any = pairwise_prompt(prompt, first, second)
        if isinstance(question, str):
            return list(self.tokenizer(question)["input_ids"])  # type: ignore[misc]
        encoded: Any = self.tokenizer.apply_chat_template(  # type: ignore[union-attr]
            question, add_generation_prompt=True, return_dict=True
        )
        return list(encoded["input_ids"])


@dataclass
class TieCollator(DataCollatorForPreference):
    """TRL's collator with `tie` and `source_id`, `(B,)` each."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows that have the two columns."""
        batch: dict[str, Any] = super().torch_call(examples)
        return batch | {name: torch.tensor([row[name] for row in examples]) for name in ("tie", "source_id")}
