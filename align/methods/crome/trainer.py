"""Crome: reward models that react to causes and ignore decoration (arXiv 2506.16507)."""

import inspect
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import PreTrainedModel
from trl import RewardTrainer
from trl.data_utils import get_dataset_column_names
from trl.trainer.reward_trainer import DataCollatorForPreference
from trl.trainer.utils import global_then_local_main_first

from align.data.pairs.pairwise import ADAPTER_MARK, LABELS
from align.errors import DataError
from align.methods.crome.bottleneck import CONTRAST_COEF, Bottleneck, contrast, draw_noise, rate_of_its_own
from align.methods.crome.collation import TieCollator, TieColumns, read_names
from align.methods.crome.config import CromeConfig
from align.methods.crome.destroyed import answer_mask, attributions, destroy
from align.methods.crome.logged_margins import log_margins
from align.methods.crome.loss import bradley_terry_loss, crome_loss, tie_loss
from align.methods.crome.pairwise_head import as_pairwise
from align.methods.crome.rules import ADAPTER_REFUSED
from align.methods.crome.score_heads import ScoreHead, extend_head, load_terms, save_terms, split_weights
from align.methods.crome.two_heads import TwoHeads, agreement, mutual_information
from align.methods.crome.unlabelled import UnlabelledPairs
from align.models.score_place import score_places
from align.training.default_args import with_args
from align.training.gathered_rows import gather_rows
from align.training.preparation import Preparation
from align.training.streams import StreamCounts, endless, kept_rows, usable_rows
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
    order and `source` (default `preference`) names where a pair is from. The prompt may be inside both responses. Of
    a streamed data set ties are read with the rows: those that cannot be used are told with their number and left out,
    and counted at the end with those that are too long.

    Args:
        *args: As in `RewardTrainer`.
        unlabelled_dataset: Pairs whose order is not read, for `num_heads: 2`.
        **kwargs: As in `RewardTrainer`.

    Attributes:
        num_left_out: Pairs of streams that were left out, by name of the data set, at the end.
    """

    _tag_names = ["trl", "reward-trainer", "crome"]  # noqa: RUF012 - TRL declares it so
    _name = "Crome"
    _paper = {"title": "Robust Reward Modeling via Causal Rubrics", "id": "2506.16507"}  # noqa: RUF012
    args: CromeConfig
    model: PreTrainedModel

    def __init__(self, *args: Any, unlabelled_dataset: Dataset | None = None, **kwargs: Any) -> None:
        args, kwargs = with_args(RewardTrainer.__init__, self, args, kwargs, CromeConfig)
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
        if self.args.destroyed_ties > 0 and self.args.gradient_checkpointing and _is_reentrant(self.args):
            raise ValueError(
                "`destroyed_ties` above 0 needs gradients of tokens. Reentrant checkpointing gives none, and TRL uses "
                "it for adapters under ZeRO-3. Set `gradient_checkpointing: false`, or use ZeRO-2."
            )
        self.data_collator = TieCollator(**vars(self.data_collator))
        self._head = self._extend_head(unlabelled_dataset)
        self.add_callback(TokenCount(self))
        self.add_callback(self._streams)

    def _extend_head(self, unlabelled: Dataset | None) -> ScoreHead | None:
        if self.args.num_heads == 1 and unlabelled is not None:
            raise ValueError("`unlabelled_dataset` is read by two heads only. Set `num_heads: 2`, or leave it out.")
        if self.args.num_heads == 1 and self.args.vib_coef == 0:
            return None
        knob = "vib_coef" if self.args.vib_coef else "num_heads"
        _check_launch(self, knob)
        if self.args.vib_coef > 0:
            return extend_head(self.model, knob, Bottleneck)
        if unlabelled is None:
            raise ValueError("`num_heads: 2` needs an `unlabelled_dataset`, on which the two heads come apart.")
        rows = self._prepare_dataset(
            unlabelled.select_columns(["prompt", "chosen", "rejected"]), self.processing_class, self.args, "unlabelled"
        )
        if not len(rows):
            raise ValueError("All unlabelled pairs are longer than `max_length`. Raise it, or give shorter ones.")
        self._unlabelled = UnlabelledPairs(
            rows, self.data_collator, self.args.per_device_train_batch_size, self.args.seed
        )
        return extend_head(self.model, knob, TwoHeads)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Makes TRL's optimizer; the noise of a bottleneck learns at a rate of its own."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(*args, **kwargs)
        if is_new and isinstance(self._head, Bottleneck):
            rate_of_its_own(optimizer, self._head.log_noise)
        return optimizer

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
        if not len(kept) and dataset_name != "unlabelled":
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

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            columns: Any = self._signature_columns
            columns += ["tie", "tie_source"]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self._head is not None:
            state_dict, terms = split_weights(state_dict or self.model.state_dict(), self._head)
            super()._save(output_dir, state_dict)
            save_terms(output_dir or self.args.output_dir or ".", terms)
            return
        super()._save(output_dir, state_dict)
        if self.args.model_type == "pairwise" and is_peft_model(self.model):
            mark = Path(output_dir or self.args.output_dir or ".") / ADAPTER_MARK
            mark.write_text(json.dumps({"labels": LABELS}) + "\n", encoding="utf-8")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self._head is not None:
            load_terms(resume_from_checkpoint, self._head)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self._head is not None:
            load_terms(str(self.state.best_model_checkpoint), self._head)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Computes `RewardTrainer`'s loss, with the tie loss in place of Bradley-Terry where a pair is a tie."""
        inputs = dict(inputs)
        tie, sources = inputs.pop("tie"), inputs.pop("tie_source")
        if isinstance(self._head, Bottleneck) and self.model.training:
            self._draw_noise(self._head, inputs)
        is_wide = isinstance(self._head, TwoHeads) and "margin" in inputs  # TRL subtracts it from margins, (B, 2)
        wide = {"margin": inputs["margin"][:, None]} if is_wide else {}
        loss, outputs = super().compute_loss(model, inputs | wide, True, num_items_in_batch)
        first, second = outputs.logits.squeeze(-1).chunk(2)
        if self.args.model_type == "pairwise":  # the second logits are of the same pair in the other order
            orders = torch.stack([first, -second])
            loss = crome_loss(orders, tie, tie_coef=self.args.tie_coef).mean()
            margins = orders.mean(0)
        else:
            margins = (first - second).movedim(0, -1)  # (B,), or (2, B) of two heads
            if tie.any():
                shift = inputs.get("margin", 0.0)
                ours = crome_loss(margins - shift * ~tie, tie, tie_coef=self.args.tie_coef)
                loss = loss + (ours - bradley_terry_loss(margins - shift)).mean()
        if isinstance(self._head, Bottleneck) and self.model.training:
            loss = loss + self.args.vib_coef * self._bottleneck_loss(self._head)
        if isinstance(self._head, TwoHeads):
            margins = self._log_heads(margins, tie)
            if self.model.training:
                loss = loss + self.args.disagreement_coef * self._disagreement(model)
        if self.args.destroyed_ties > 0 and self.model.training:
            loss = loss + self.args.destroyed_ties * self._destroyed_ties(model, inputs, tie)
        self._log_sources(margins.detach().float(), tie, sources)
        return (loss, outputs) if return_outputs else loss

    def _draw_noise(self, head: Bottleneck, inputs: dict[str, Any]) -> None:
        ids, seed = inputs["input_ids"], f"{self.args.seed} {self.state.global_step}"
        noise = draw_noise(ids, inputs["attention_mask"], head.in_features, seed)
        head.draw(noise, score_places(ids, self.model.config.get_text_config().pad_token_id))

    def _bottleneck_loss(self, head: Bottleneck) -> Tensor:
        """Computes the length of codes plus the weighted contrast of features and codes in the batch of all ranks."""
        assert head.views is not None
        feature, code, length = head.views
        first = self.accelerator.process_index * len(feature)
        features, codes = (self.accelerator.gather(view.detach()) for view in (feature, code))
        contrasts = (contrast(code, features, first) + contrast(feature, codes, first)).mean() / 2
        metrics = self._metrics["train"]
        metrics["crome/vib_contrast"].append(self.accelerator.gather(contrasts.detach()).mean().item())
        metrics["crome/vib_length"].append(length.item())
        metrics["crome/vib_noisy_share"].append((head.log_noise.detach() >= 0).float().mean().item())
        return length + CONTRAST_COEF * contrasts

    @torch.no_grad()
    def _log_heads(self, margins: Tensor, tie: Tensor) -> Tensor:
        """Logs how many labelled pairs the heads order differently; returns the mean of their margins."""
        differ = (margins[0] > 0) != (margins[1] > 0)
        table = torch.stack([differ.float(), tie.float()], dim=-1)
        differ, tie = gather_rows(self.accelerator, table, self.model.training).unbind(-1)
        if len(kept := differ[tie == 0]):
            mode = "train" if self.model.training else "eval"
            self._metrics[mode]["crome/disagreement_labelled"].append(kept.mean().item())
        return margins.mean(0)

    def _disagreement(self, model: Any) -> Tensor:
        """Computes the mutual information of the heads' orders over the unlabelled pairs of all ranks."""
        ranks, rank = self.accelerator.num_processes, self.accelerator.process_index
        passes = self.args.gradient_accumulation_steps
        batch = self._unlabelled.batch(self.state.global_step, passes, rank, ranks)
        texts = {name: batch[name].to(self.accelerator.device) for name in ("input_ids", "attention_mask")}
        first, second = model(**texts, use_cache=False).logits.float().chunk(2)
        margins = (first - second).T
        chance = agreement(margins).mean()
        differ = ((margins[0] > 0) != (margins[1] > 0)).float().mean()
        of_all = self.accelerator.gather(torch.stack([chance, differ]).detach()[None]).mean(0)
        information = mutual_information(of_all[0] + chance - chance.detach())  # the gradient of all ranks' mean
        self._metrics["train"]["crome/disagreement"].append(of_all[1].item())
        self._metrics["train"]["crome/disagreement_information"].append(information.item())
        return information

    def _destroyed_ties(self, model: Any, inputs: dict[str, Any], tie: Tensor) -> Tensor:
        """Computes the mean tie loss of the batch's pairs with an order after both answers were destroyed."""
        texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        scores = attributions(self.accelerator.unwrap_model(model), texts)
        mask = answer_mask(texts["input_ids"], texts["attention_mask"])
        destroyed = destroy(texts["input_ids"], scores, mask, f"{self.args.seed} {self.state.global_step}")
        logits = model(**texts | {"input_ids": destroyed}, use_cache=False).logits
        first, second = logits.squeeze(-1).chunk(2)
        margins = (first - second).movedim(0, -1)
        table = torch.stack([margins.detach().float().reshape(-1, len(tie)).mean(0), tie.float()], dim=-1)
        distances, ties = gather_rows(self.accelerator, table, self.model.training).unbind(-1)
        if len(kept := distances[ties == 0]):
            self._metrics["train"]["crome/destroyed_margin"].append(kept.abs().mean().item())
        return torch.where(tie, 0.0, tie_loss(margins)).mean()

    @torch.no_grad()
    def _log_sources(self, margins: Tensor, tie: Tensor, sources: Tensor) -> None:
        """Logs accuracy and margins of the pairs of all ranks: TRL's over pairs with an order, ours per source."""
        metrics = self._metrics["train" if self.model.training else "eval"]
        table = torch.stack([margins, tie.float()], dim=-1)
        margins, tie = gather_rows(self.accelerator, table, self.model.training).unbind(-1)
        sources = gather_rows(self.accelerator, sources, self.model.training)
        log_margins(metrics, margins, tie.bool(), read_names(sources))


def _check_launch(trainer: CromeTrainer, knob: str) -> None:
    """Refuses what a head with more terms was not tried with."""
    plugin = trainer.accelerator.state.deepspeed_plugin
    if plugin is not None and plugin.zero_stage == 3:
        raise ValueError(
            f"`{knob}` adds a term to the score head of a model that ZeRO-3 has split already. Launch with DDP or "
            "ZeRO-2."
        )
    if is_peft_model(trainer.model):
        raise ValueError(ADAPTER_REFUSED.format(knob=knob))


def _is_reentrant(args: CromeConfig) -> bool:
    return bool((args.gradient_checkpointing_kwargs or {}).get("use_reentrant"))  # type: ignore[union-attr]
