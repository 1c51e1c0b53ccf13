"""Crome with what was tried beside it: a second head, for length or for other orders of unlabelled pairs."""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch import Tensor
from trl import RewardTrainer

from align.data.pairs.reward_pairs import RewardPair
from align.data.training_data import TrainingData
from align.experimental.crome.config import ExperimentalCromeConfig
from align.experimental.crome.odin import LengthHead, answer_mask, correlation
from align.experimental.crome.rules import ADAPTER_REFUSED, turned_on
from align.experimental.crome.score_heads import ScoreHead, extend_head, load_terms, split_weights
from align.experimental.crome.two_heads import TwoHeads, UnlabelledPairs, agreement, mutual_information
from align.methods.crome import trainer as crome
from align.methods.crome.trainer import CromeTrainer
from align.models.score_head import score_places, write_head
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.training.as_in_trl import gather_rows
from align.training.build import eval_dataset


class WideMargins(RewardTrainer):
    """Lets TRL subtract a margin, `(B,)`, from what a head with two outputs gives, `(B, 2)`."""

    _head: ScoreHead | None = None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Computes TRL's loss."""
        if isinstance(self._head, TwoHeads) and "margin" in inputs:
            inputs = inputs | {"margin": inputs["margin"][:, None]}
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


class ExperimentalCromeTrainer(CromeTrainer, WideMargins):
    """`CromeTrainer` with a term in the score head; without one it is that."""

    _config = ExperimentalCromeConfig
    args: ExperimentalCromeConfig

    def __init__(self, *args: Any, unlabelled_dataset: Dataset | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = self._extend_head(unlabelled_dataset)

    def _extend_head(self, unlabelled: Dataset | None) -> ScoreHead | None:
        if self.args.num_heads == 1 and unlabelled is not None:
            raise ValueError("`unlabelled_dataset` is read by two heads only. Set `num_heads: 2`, or leave it out.")
        knob = next(iter(turned_on(self.args)), None)
        if knob is None:
            return None
        self._check_launch(knob)
        if knob != "num_heads":
            return extend_head(self.model, knob, LengthHead)
        if unlabelled is None:
            raise ValueError("`num_heads: 2` needs an `unlabelled_dataset`, on which the two heads come apart.")
        columns = unlabelled.select_columns(["prompt", "chosen", "rejected"])
        rows = self._prepare_dataset(columns, self.processing_class, self.args, "unlabelled")
        size, seed = self.args.per_device_train_batch_size, self.args.seed
        self._unlabelled = UnlabelledPairs(rows, self.data_collator, size, seed)
        return extend_head(self.model, knob, TwoHeads)

    def _check_launch(self, knob: str) -> None:
        """Refuses what a head with more terms was not tried with."""
        plugin = self.accelerator.state.deepspeed_plugin
        if plugin is not None and plugin.zero_stage == 3:
            raise ValueError(
                f"`{knob}` adds a term to the score head of a model that ZeRO-3 has split already. Launch with DDP or "
                "ZeRO-2."
            )
        if is_peft_model(self.model):
            raise ValueError(ADAPTER_REFUSED.format(knob=knob))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self._head is None:
            super()._save(output_dir, state_dict)
            return
        state_dict, terms = split_weights(state_dict or self.model.state_dict(), self._head)
        super()._save(output_dir, state_dict)
        write_head(Path(output_dir or self.args.output_dir or "."), terms)

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
        """Computes `CromeTrainer`'s loss, in training with the terms that are turned on."""
        if isinstance(self._head, LengthHead) and self.model.training:
            self._shared.are_used(model)  # a trial reads the model, and would take the places
            self._head.keep(score_places(inputs["input_ids"], self._padding))
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self.model.training:
            if isinstance(self._head, LengthHead):
                loss = loss + self.args.odin_coef * self._odin(self._head, inputs)
            if isinstance(self._head, TwoHeads):
                loss = loss + self.args.disagreement_coef * self._disagreement(model)
        return (loss, outputs) if return_outputs else loss

    @property
    def _padding(self) -> int:
        return int(self.model.config.get_text_config().pad_token_id)

    def _odin(self, head: LengthHead, inputs: dict[str, Any]) -> Tensor:
        """Computes ODIN's terms over the answers of all ranks; a rank's gradient is that of its own answers."""
        assert head.views is not None
        lengths = self.accelerator.gather(answer_mask(inputs["input_ids"], inputs["attention_mask"]).sum(-1))
        first, ranks = self.accelerator.process_index * len(inputs["input_ids"]), self.accelerator.num_processes
        quality, other = (correlation(self._of_all(view, first), lengths) for view in head.views)
        self._metrics["train"]["crome/odin_quality_correlation"].append(quality.item())
        self._metrics["train"]["crome/odin_length_correlation"].append(other.item())
        terms = quality.abs() - other
        return terms.detach() + ranks * (terms - terms.detach()) + head.overlap()  # DDP takes the mean of gradients

    def _of_all(self, scores: Tensor, first: int) -> Tensor:
        """Gathers scores of all ranks, `(N,)`, of which the own ones have a gradient."""
        found = self.accelerator.gather(scores.detach())
        return torch.cat([found[:first], scores, found[first + len(scores) :]])

    def _log_sources(self, margins: Tensor, tie: Tensor, sources: Tensor) -> None:
        """Logs the mean of two heads' margins as that of one, and how many labelled pairs the heads order apart."""
        if isinstance(self._head, TwoHeads):
            differ = (margins[0] > 0) != (margins[1] > 0)
            table = torch.stack([differ.float(), tie.float()], dim=-1)
            differ, ties = gather_rows(self.accelerator, table, self.model.training).unbind(-1)
            if len(kept := differ[ties == 0]):
                mode = "train" if self.model.training else "eval"
                self._metrics[mode]["crome/disagreement_labelled"].append(kept.mean().item())
            margins = margins.mean(0)
        super()._log_sources(margins, tie, sources)

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


def build(recipe: Recipe, data: TrainingData[RewardPair], rewards: list[Reward]) -> CromeTrainer:
    """Builds it as Crome is built, with the unlabelled pairs."""
    unlabelled = eval_dataset(data.extra or [])
    return crome.build(recipe, data, rewards, ExperimentalCromeTrainer, unlabelled_dataset=unlabelled)
