"""Crome: reward models that react to causes and ignore decoration (arXiv 2506.16507)."""

import inspect
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import IterableDataset
from torch import Tensor
from transformers import PreTrainedModel
from trl import RewardTrainer
from trl.data_utils import get_dataset_column_names
from trl.trainer.reward_trainer import DataCollatorForPreference
from trl.trainer.utils import global_then_local_main_first

from align.data.pairs.pairwise import ADAPTER_MARK, LABELS
from align.errors import DataError
from align.methods.crome.collation import TieCollator, TieColumns, read_names
from align.methods.crome.config import CromeConfig
from align.methods.crome.logged_margins import log_margins
from align.methods.crome.loss import bradley_terry_loss, crome_loss
from align.methods.crome.pairwise_head import as_pairwise
from align.training.as_in_trl import Preparation, gather_rows, with_args
from align.training.resuming import TokenCount
from align.training.streams import StreamCounts, endless, kept_rows, usable_rows


class CromeTrainer(RewardTrainer):
    """A reward model trainer that also learns from pairs without an order, whose rewards should be equal.

    Differs from `RewardTrainer` in two columns of a row, in the collator, and in what `compute_loss` adds for ties.
    Tokenisation, models, optimizer and checkpoints are TRL's. Without ties the loss of a scalar model is
    `RewardTrainer`'s own.

    With `model_type: pairwise` the model is a causal language model that reads both answers and predicts `A` or `B`;
    each pair is read in both orders. The saved model is an ordinary causal language model, with
    `truealign_pairwise: true` in its config.

    Rows need `prompt`, `chosen` and `rejected`, as text or messages; `tie` (default false) marks pairs without an
    order and `source` (default `preference`) names where a pair is from. The prompt may be inside both responses. Of
    a streamed data set ties are read with the rows: those that cannot be used are told with their number and left out,
    and counted at the end with those that are too long.

    Args:
        *args: As in `RewardTrainer`.
        **kwargs: As in `RewardTrainer`.

    Attributes:
        num_left_out: Pairs of streams that were left out, by name of the data set, at the end.
    """

    _tag_names = ["trl", "reward-trainer", "crome"]  # noqa: RUF012 - TRL declares it so
    _name = "Crome"
    _paper = {"title": "Robust Reward Modeling via Causal Rubrics", "id": "2506.16507"}  # noqa: RUF012
    _config = CromeConfig
    args: CromeConfig
    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        args, kwargs = with_args(RewardTrainer.__init__, self, args, kwargs, self._config)
        bound = inspect.signature(RewardTrainer.__init__).bind(self, *args, **kwargs)
        given = bound.arguments
        self.num_left_out: dict[str, int] = {}
        self._streams = StreamCounts(self.num_left_out)
        with as_pairwise(given) if given["args"].model_type == "pairwise" else nullcontext():
            super().__init__(*bound.args[1:], **bound.kwargs)
        self.train_dataset = endless(self.train_dataset, self.args)
        if type(self.data_collator) is not DataCollatorForPreference:
            name = type(self.data_collator).__name__
            raise TypeError(f"Crome collates ties with its own collator, got `data_collator` {name}. Leave it out.")
        self._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        columns += ["tie", "tie_source"]
        self.data_collator = TieCollator(**vars(self.data_collator))
        self.add_callback(TokenCount(self))
        self.add_callback(self._streams)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        if "tie_source" in get_dataset_column_names(dataset):
            return super()._prepare_dataset(dataset, processing_class, Preparation.of(args), dataset_name)
        tokenizer = processing_class if args.model_type == "pairwise" else None
        if isinstance(dataset, IterableDataset):
            return self._prepare_stream(dataset, tokenizer, processing_class, args, dataset_name)
        progress = {"num_proc": args.dataset_num_proc, "desc": f"Reading ties of {dataset_name} dataset"}
        with global_then_local_main_first():
            dataset = dataset.map(TieColumns(dataset_name, tokenizer), with_indices=True, **progress)
        kept = super()._prepare_dataset(dataset, processing_class, Preparation.of(args), dataset_name)
        if not len(kept):
            raise DataError(
                f"All {len(dataset)} pairs of the {dataset_name} dataset are longer than `max_length` = "
                f"{args.max_length}. Raise it, or give shorter ones."
            )
        return kept

    def _prepare_stream(
        self, dataset: IterableDataset, tokenizer: Any, processing_class: Any, args: Any, dataset_name: str
    ) -> Any:
        """Has the ties of a stream read, and its rows counted, when they are read."""
        count = self._streams.begin(dataset_name, f"are longer than `max_length` = {args.max_length}")
        stream = usable_rows(dataset, TieColumns(dataset_name, tokenizer, is_stream=True), count)
        rule = f"No pair of the {dataset_name} dataset can be used."
        count.check_some(stream, rule)  # before TRL looks for the first
        kept = kept_rows(super()._prepare_dataset(stream, processing_class, args, dataset_name), count)
        count.check_some(kept, rule)
        return kept

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluates as `RewardTrainer` does, and says what was left out of streams."""
        with self._streams.evaluating():
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.model_type == "pairwise" and is_peft_model(self.model):
            mark = Path(output_dir or self.args.output_dir or ".") / ADAPTER_MARK
            mark.write_text(json.dumps({"labels": LABELS}) + "\n", encoding="utf-8")

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Computes `RewardTrainer`'s loss, with the tie loss in place of Bradley-Terry where a pair is a tie."""
        inputs = dict(inputs)
        tie, sources = inputs.pop("tie"), inputs.pop("tie_source")
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        first, second = outputs.logits.squeeze(-1).chunk(2)
        if self.args.model_type == "pairwise":  # the second logits are of the same pair in the other order
            orders = torch.stack([first, -second])
            loss = crome_loss(orders, tie, tie_coef=self.args.tie_coef).mean()
            margins = orders.mean(0)
        else:
            margins = (first - second).movedim(0, -1)  # `(..., B)`
            if tie.any():
                shift = inputs.get("margin", 0.0)
                ours = crome_loss(margins - shift * ~tie, tie, tie_coef=self.args.tie_coef)
                loss = loss + (ours - bradley_terry_loss(margins - shift)).mean()
        self._log_sources(margins.detach().float(), tie, sources)
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def _log_sources(self, margins: Tensor, tie: Tensor, sources: Tensor) -> None:
        """Logs accuracy and margins of the pairs of all ranks: TRL's over pairs with an order, ours per source."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        table = torch.stack([margins, tie.float()], dim=-1)
        margins, tie = gather_rows(self.accelerator, table, self.model.training).unbind(-1)
        sources = gather_rows(self.accelerator, sources, self.model.training)
        log_margins(metrics, margins, tie.bool(), read_names(sources))
