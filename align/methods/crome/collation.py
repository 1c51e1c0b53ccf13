"""The columns of a row that TRL's reward trainer does not have, and batches with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from trl.trainer.reward_trainer import DataCollatorForPreference

from align.data.pairs.pair import split_pair
from align.data.pairs.pairwise import pairwise_prompt
from align.data.pairs.reward_pairs import check_margin, check_tie
from align.data.problems import BadRow, row_error
from align.data.template_settings import check_template_columns, template_settings

NAME_BYTES = 64  # of a source, which travels with its pair: of a stream nobody knows the names before


@dataclass(frozen=True)
class TieColumns:
    """Adds `tie`, `tie_source` and any margins to a row, and the tokens of both orders if pairwise."""

    dataset_name: str  # named in errors
    tokenizer: PreTrainedTokenizerBase | None  # of a pairwise model
    is_stream: bool = False  # the form of a row, which TRL reads next, is checked: a bad one stops nothing

    def __call__(self, row: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Returns the columns of a row; raises `DataError` if it breaks a rule."""
        try:
            return self._read(row)
        except BadRow as bad:
            raise row_error(self.dataset_name, index, bad) from bad

    def _read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        tie, source = check_tie(row)
        columns: dict[str, Any] = {"tie": tie, "tie_source": source}
        # TRL's collator asks the first row of a batch whether all have one, and rows of a stream may have none.
        if self.is_stream or "margin" in row:
            columns["margin"] = check_margin(row.get("margin"), tie) or 0.0
        if self.is_stream and "chosen_ids" not in row:
            split_pair(row)
            check_template_columns(row)
        if self.tokenizer is not None:
            pair = split_pair(row)
            settings = template_settings(check_template_columns(row))
            columns["chosen_ids"] = self._tokens(pairwise_prompt(*pair[:3]), settings)
            columns["rejected_ids"] = self._tokens(pairwise_prompt(pair.prompt, pair.rejected, pair.chosen), settings)
        return columns

    def _tokens(self, question: Any, settings: Mapping[str, Any]) -> list[int]:
        if isinstance(question, str):
            return list(self.tokenizer(question)["input_ids"])  # type: ignore[misc]
        encoded: Any = self.tokenizer.apply_chat_template(  # type: ignore[union-attr]
            question, add_generation_prompt=True, return_dict=True, **settings
        )
        return list(encoded["input_ids"])


@dataclass
class TieCollator(DataCollatorForPreference):
    """TRL's collator with `tie`, `(B,)`, and `tie_source`, `(B, 64)` bytes of a name."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates rows that have the two columns."""
        batch: dict[str, Any] = super().torch_call(examples)
        ties = torch.tensor([row["tie"] for row in examples])
        return batch | {"tie": ties, "tie_source": write_names([row["tie_source"] for row in examples])}


def write_names(names: list[str]) -> Tensor:
    """Writes names as a tensor, which processes can exchange; what is longer than 64 bytes loses its end."""
    rows = [name.encode()[:NAME_BYTES].ljust(NAME_BYTES, b"\0") for name in names]
    return torch.tensor([list(row) for row in rows], dtype=torch.uint8)


def read_names(rows: Tensor) -> list[str]:
    """Reads names from a tensor.

    Example:
        >>> read_names(write_names(["upgrade", "preference"]))
        ['upgrade', 'preference']
    """
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in rows.tolist()]
