"""Crome: reward models that react to causes and ignore decoration (arXiv 2506.16507)."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference
from trl.trainer.utils import create_model_from_path, get_config_model_id, global_then_local_main_first

from align.data.pairs.pairwise import ADAPTER_MARK, LABELS, label_ids, pairwise_prompt
from align.data.pairs.reward_pair_rules import DEFAULT_SOURCE
from align.methods.crome.config import CromeConfig
from align.methods.crome.destroyed import answer_mask, attributions, destroy
from align.methods.crome.loss import bradley_terry_loss, crome_loss, tie_loss
from align.methods.crome.pairwise_head import add_pairwise_head
from align.training.token_count import TokenCount


class CromeTrainer(RewardTrainer):
    """A reward model trainer that also learns from pairs without an order, whose rewards should be equal.

    Differs from `RewardTrainer` in two columns of a row, in the collator, and in what `compute_loss` adds for ties.
    Tokenisation, models, optimizer and checkpoints are TRL's. Without ties the loss of a scalar model is
    `RewardTrainer`'s own.

    With `model_type: pairwise` the model is a causal language model that reads both answers and predicts `A` or `B`;
    each pair is read in both orders. The saved model is an ordinary causal language model, with
    `truealign_pairwise: true` in its config.

    Rows need `prompt`, `chosen` and `rejected`, as text or messages; `tie` (default false) marks pairs without an
    order and `source` (default `preference`) names where a pair is from.

    Args:
        *args: As in `RewardTrainer`.
        **kwargs: As in `RewardTrainer`.
    """

    _tag_names = ["trl", "reward-trainer", "crome"]  # noqa: RUF012 - TRL declares it so
    _name = "Crome"
    _paper = {  # noqa: RUF012
        "title": "Robust Reward Modeling via Causal Rubrics",
        "id": "2506.16507",
    }
    args: CromeConfig
    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(RewardTrainer.__init__).bind(self, *args, **kwargs)
        given = bound.arguments
        if not isinstance(given.get("args"), CromeConfig):
            raise TypeError(f"`args` must be a CromeConfig, got {type(given.get('args')).__name__}.")
        if given["args"].model_type == "pairwise":
            _make_pairwise(given)
        self._sources: dict[str, int] = {}
        super().__init__(*bound.args[1:], **bound.kwargs)
        if type(self.data_collator) is not DataCollatorForPreference:
            name = type(self.data_collator).__name__
            raise TypeError(f"Crome collates ties with its own collator, got `data_collator` {name}. Leave it out.")
        self.data_collator = TieCollator(**vars(self.data_collator))
        self.add_callback(TokenCount(self))

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"Crome names the sources of a data set before it trains, so the {dataset_name} dataset must be a "
                f"`datasets.Dataset`, got {type(dataset).__name__}."
            )
        if "source_id" not in dataset.column_names:
            with global_then_local_main_first():
                dataset = self._add_columns(dataset, args, processing_class, dataset_name)
        return super()._prepare_dataset(dataset, processing_class, args, dataset_name)

    def _add_columns(self, dataset: Dataset, args: CromeConfig, tokenizer: Any, dataset_name: str) -> Dataset:
        for name in sorted(set(dataset["source"])) if "source" in dataset.column_names else [DEFAULT_SOURCE]:
            self._sources.setdefault(name, len(self._sources))
        columns = _Columns(dict(self._sources), tokenizer if args.model_type == "pairwise" else None)
        progress = {"num_proc": args.dataset_num_proc, "desc": f"Reading ties of {dataset_name} dataset"}
        return dataset.map(columns, **progress)

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            columns: Any = self._signature_columns
            columns += ["tie", "source_id"]

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
        tie, source_id = inputs.pop("tie"), inputs.pop("source_id")
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        first, second = outputs.logits.squeeze(-1).chunk(2)
        if self.args.model_type == "pairwise":  # the second logits are of the same pair in the other order
            orders = torch.stack([first, -second])
            loss = crome_loss(orders, tie, tie_coef=self.args.tie_coef).mean()
            margins = orders.mean(0)
        else:
            margins = first - second
            if tie.any():
                shift = inputs.get("margin", 0.0)
                ours = crome_loss(margins - shift * ~tie, tie, tie_coef=self.args.tie_coef)
                loss = loss + (ours - bradley_terry_loss(margins - shift)).mean()
        if self.args.destroyed_ties > 0 and self.model.training:
            loss = loss + self.args.destroyed_ties * self._destroyed_ties(model, inputs, tie)
        self._log_sources(margins.detach().float(), tie, source_id)
        return (loss, outputs) if return_outputs else loss

    def _destroyed_ties(self, model: Any, inputs: dict[str, Any], tie: Tensor) -> Tensor:
        """Computes the mean tie loss of the batch's pairs with an order after both answers were destroyed."""
        texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        scores = attributions(self.accelerator.unwrap_model(model), texts)
        destroyed = destroy(texts["input_ids"], scores, answer_mask(texts["input_ids"], texts["attention_mask"]))
        logits = model(**texts | {"input_ids": destroyed}, use_cache=False).logits
        first, second = logits.squeeze(-1).chunk(2)
        margins = first - second
        if len(kept := margins.detach()[~tie].float()):
            self._metrics["train"]["crome/destroyed_margin"].append(kept.abs().mean().item())
        return torch.where(tie, 0.0, tie_loss(margins)).mean()

    @torch.no_grad()
    def _log_sources(self, margins: Tensor, tie: Tensor, source_id: Tensor) -> None:
        """Logs accuracy and margins of the pairs of all ranks: TRL's over pairs with an order, ours per source."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        table = torch.stack([margins, tie.float(), source_id.float()], dim=-1)
        margins, tie, source_id = self.accelerator.gather_for_metrics(table).unbind(-1)
        tie = tie.bool()
        ordered = margins[~tie]
        for name, value in (("accuracy", (ordered > 0).float()), ("margin", ordered)):
            metrics[name].pop()  # TRL's is over all pairs
            if len(ordered):
                metrics[name].append(value.mean().item())
            elif not metrics[name]:
                del metrics[name]  # TRL divides by the number of entries
        metrics["crome/tie_share"].append(tie.float().mean().item())
        if tie.any():
            metrics["crome/tie_margin"].append(margins[tie].abs().mean().item())
        for name, number in self._sources.items():
            of = margins[~tie & (source_id == number)]
            if len(of):
                metrics[f"crome/accuracy_{name}"].append((of > 0).float().mean().item())
                metrics[f"crome/margin_{name}"].append(of.mean().item())


@dataclass(frozen=True)
class _Columns:
    """Adds `tie` and `source_id` to a row, and for a pairwise model the tokens of both orders."""

    sources: Mapping[str, int]
    tokenizer: PreTrainedTokenizerBase | None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
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


def _make_pairwise(given: dict[str, Any]) -> None:
    """Turns the model among a trainer's arguments into a pairwise one, and loads what is only named."""
    config: CromeConfig = given["args"]
    if isinstance(given["model"], str):
        init: dict[str, Any] = dict(config.model_init_kwargs or {})  # type: ignore[arg-type]
        if config.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
            init["device_map"] = None
        given["model"] = create_model_from_path(given["model"], AutoModelForCausalLM, **init)  # type: ignore[arg-type]
        config.model_init_kwargs = None  # TRL warns that it does not use them
    model = given["model"]
    if given.get("processing_class") is None:
        given["processing_class"] = AutoTokenizer.from_pretrained(get_config_model_id(model.config))
    model.config.num_labels = 1  # what TRL asks of a reward model
    model.config.truealign_pairwise = True
    add_pairwise_head(model, label_ids(given["processing_class"]))
