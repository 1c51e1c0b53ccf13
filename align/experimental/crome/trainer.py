"""Crome with what was tried beside it: a bottleneck, a second head, and destroyed ties."""

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch import Tensor
from trl import RewardTrainer

from align.data.pairs.reward_pairs import RewardPair
from align.data.training_data import TrainingData
from align.experimental.crome.bottleneck import CONTRAST_COEF, Bottleneck, contrast, draw_noise, rate_of_its_own
from align.experimental.crome.config import ExperimentalCromeConfig
from align.experimental.crome.destroyed import answer_mask, attributions, destroy
from align.experimental.crome.odin import LengthHead, correlation
from align.experimental.crome.rules import ADAPTER_REFUSED, turned_on
from align.experimental.crome.score_heads import ScoreHead, extend_head, load_terms, split_weights
from align.experimental.crome.two_heads import TwoHeads, UnlabelledPairs, agreement, mutual_information
from align.methods.crome import trainer as crome
from align.methods.crome.loss import tie_loss
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
    """`CromeTrainer` with a term in the score head, or ties that need no oracle; with neither it is that."""

    _config = ExperimentalCromeConfig
    args: ExperimentalCromeConfig

    def __init__(self, *args: Any, unlabelled_dataset: Dataset | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        checkpointing: Any = self.args.gradient_checkpointing and self.args.gradient_checkpointing_kwargs
        if self.args.destroyed_ties > 0 and (checkpointing or {}).get("use_reentrant"):
            raise ValueError(
                "`destroyed_ties` above 0 needs gradients of tokens. Reentrant checkpointing gives none, and TRL uses "
                "it for adapters under ZeRO-3. Set `gradient_checkpointing: false`, or use ZeRO-2."
            )
        self._head = self._extend_head(unlabelled_dataset)

    def _extend_head(self, unlabelled: Dataset | None) -> ScoreHead | None:
        if self.args.num_heads == 1 and unlabelled is not None:
            raise ValueError("`unlabelled_dataset` is read by two heads only. Set `num_heads: 2`, or leave it out.")
        knob = next((key for key in turned_on(self.args) if key != "destroyed_ties"), None)
        if knob is None:
            return None
        self._check_launch(knob)
        if knob != "num_heads":
            return extend_head(self.model, knob, Bottleneck if knob == "vib_coef" else LengthHead)
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

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Makes TRL's optimizer; the noise of a bottleneck learns at a rate of its own."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(*args, **kwargs)
        if is_new and isinstance(self._head, Bottleneck):
            rate_of_its_own(optimizer, self._head.log_noise)
        return optimizer

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
        if isinstance(self._head, Bottleneck) and self.model.training:
            self._shared.are_used(model)  # a trial reads the model, and would take the noise
            self._draw_noise(self._head, inputs)
        if isinstance(self._head, LengthHead) and self.model.training:
            self._shared.are_used(model)
            self._head.keep(score_places(inputs["input_ids"], self._padding))
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self.model.training:
            if isinstance(self._head, Bottleneck):
                loss = loss + self.args.vib_coef * self._bottleneck_loss(self._head)
            if isinstance(self._head, LengthHead):
                loss = loss + self.args.odin_coef * self._odin(self._head, inputs)
            if isinstance(self._head, TwoHeads):
                loss = loss + self.args.disagreement_coef * self._disagreement(model)
            if self.args.destroyed_ties > 0:
                loss = loss + self.args.destroyed_ties * self._destroyed_ties(model, inputs, inputs["tie"])
        return (loss, outputs) if return_outputs else loss

    def _draw_noise(self, head: Bottleneck, inputs: dict[str, Any]) -> None:
        ids, seed = inputs["input_ids"], f"{self.args.seed} {self.state.global_step}"
        noise = draw_noise(ids, inputs["attention_mask"], head.in_features, seed)
        head.draw(noise, score_places(ids, self._padding))

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


def build(recipe: Recipe, data: TrainingData[RewardPair], rewards: list[Reward]) -> CromeTrainer:
    """Builds it as Crome is built, with the unlabelled pairs."""
    unlabelled = eval_dataset(data.extra or [])
    return crome.build(recipe, data, rewards, ExperimentalCromeTrainer, unlabelled_dataset=unlabelled)
