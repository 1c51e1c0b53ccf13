"""Sampled completions that should be as likely behind a perturbed prompt (Modality Interference, arXiv 2505.19616)."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel
from trl import GRPOTrainer
from trl.trainer.utils import pad as pad_rows

from align.console import say
from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.errors import DataError
from align.experimental.consistency.comparison import Comparison, check_trainer
from align.experimental.consistency.rules import (
    KNOWN,
    NO_IMAGES,
    OF_ACRE,
    OF_GRPO,
    ConsistencyConfig,
    consistency_families,
    families_of,
    other_prompt,
    other_wording,
    with_families,
)
from align.methods.acre import build as acre
from align.methods.acre.config import ACREConfig
from align.methods.acre.second_pass import SecondPassTrainer
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.acre.trainer import ACRETrainer
from align.methods.grpo import trainer as grpo
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.recipe.recipe import Recipe
from align.training.guarded_rewards import Rewards
from rewards.scoring.families import ON_PROMPTS, Family, FamilyError

# In the batches that TRL keeps: another prompt of each row, (B, P) on the right, no token where there is none, and the
# number of tokens that are compared over all rows of the generation and all processes.
IDS, MASK, TOTAL = "perturbed_ids", "perturbed_mask", "perturbed_total"


class ConsistentAnswers(GRPOTrainer):
    """Adds to `GRPOTrainer` the divergence between each completion behind its prompt and behind a perturbed one.

    With `consistency_coef: 0` nothing differs. Above it, another prompt is drawn for each row when its completion is
    scored, and in the loss the same rows with it stand behind those of TRL: one forward pass reads both, so that DDP
    and DeepSpeed see one pass as they expect. Sampling, rewards, advantages, TRL's own loss and evaluations are as
    they were. The mean is over the completion's tokens of the rows that a family could change, over all processes and
    the batches of a step; logits are divided by the temperature, as for TRL's log-probs. The logged `loss` is the sum.

    It stands behind the trainer that it is added to, in `class Ours(ACRETrainer, ConsistentAnswers)`, so that it sees
    the rows which that hands on to TRL.
    """

    args: Any  # a config with `ConsistencyConfig`, or TRL's own
    model: PreTrainedModel
    known_families: tuple[str, ...] = ON_PROMPTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._comparison: Comparison | None = None
        self._batch: dict[str, Tensor] | None = None  # whose loss is being computed
        super().__init__(*args, **kwargs)
        self._coef: float = getattr(self.args, "consistency_coef", 0.0)
        if not self._coef:
            return
        self._check_consistency()
        self.term_over_all = "`consistency_coef` is above 0, and the divergence is over all"
        self.consistency_families = consistency_families(self.args.consistency_families, known=self.known_families)
        self._comparison = Comparison(self.model, self.args.consistency_divergence, self.temperature)
        self._compared = torch.zeros(2, device=self.args.device)  # divergence and tokens, in a step
        self._failed: set[str] = set()

    def _check_consistency(self) -> None:
        check_trainer(self)
        if self.environment_factories is not None or self.rollout_func is not None:
            raise ValueError(
                "`consistency_coef` above 0 perturbs the prompts of the data, and with an environment or a "
                "`rollout_func` completions may answer other prompts. Set `consistency_coef: 0`."
            )
        row: Mapping[str, Any] = next(iter(self.train_dataset))  # type: ignore[arg-type]
        if {"images", "image"} & set(row):
            raise DataError(NO_IMAGES)

    def _other_prompt(self, families: list[Family], row: Mapping[str, Any], rng: random.Random) -> Any:
        """Draws another prompt of a row; None if no family can change it."""
        return other_prompt(families, row, rng)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self._comparison is None or not self.model.training:
            return output
        first, step = self.accelerator.process_index * len(inputs), self.state.global_step
        prompts = [
            self._draw(row, random.Random(f"{self.args.seed}/{step}/{first + number}/{row['prompt']}"))
            for number, row in enumerate(inputs)
        ]
        there = [prompt for prompt in prompts if prompt is not None]
        tokens = iter(self._tokenize_prompts(there)[0] if there else ())
        ids = [torch.tensor([] if prompt is None else next(tokens), dtype=torch.long) for prompt in prompts]
        sides: dict[str, Any] = {"padding_side": "left", "pad_to_multiple_of": self.pad_to_multiple_of}
        perturbed = {
            IDS: pad_rows(ids, padding_value=self._tokenizer.pad_token_id, **sides),
            MASK: pad_rows([torch.ones_like(row) for row in ids], padding_value=0, **sides),
        }
        output |= {name: rows.to(self.accelerator.device) for name, rows in perturbed.items()}
        counts = torch.stack([_places(output).sum(), output[MASK].any(1).sum()]).float()
        counts = self.accelerator.reduce(torch.cat([counts, counts.new_tensor([len(inputs)])]), "sum")
        self._metrics["train"]["consistency/changed"].append((counts[1] / counts[2]).item())
        return output | {TOTAL: counts[0].clamp(min=1)}

    def _draw(self, row: Mapping[str, Any], rng: random.Random) -> Any:
        """Draws another prompt; a family that fails changes nothing, and is named once."""
        try:
            return self._other_prompt(self.consistency_families, row, rng)
        except FamilyError as error:
            name = str(error).partition(",")[0]
            if name not in self._failed:
                self._failed.add(name)
                say(f"{error} The completions of such rows are not compared.")
            return None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        if MASK not in inputs:
            return super()._compute_loss(model, inputs)
        self._batch = inputs
        try:
            loss: Tensor = super()._compute_loss(model, inputs)
        finally:
            self._batch = None
        # The total is that of a generation, and a step may take a part of it, or several.
        share = self.current_gradient_accumulation_steps / self.args.steps_per_generation
        part = self._divergence * self.accelerator.num_processes / (inputs[TOTAL] * share)  # processes are averaged
        return loss + self._coef * part

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Reads the rows with another prompt behind those of TRL, which gets its own rows back."""
        batch, comparison = self._batch, self._comparison
        if batch is None or comparison is None:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        size, there = len(input_ids), batch[MASK].any(1)
        pad_id = self._tokenizer.pad_token_id
        ids = _extend(input_ids, torch.cat([batch[IDS], batch["completion_ids"]], 1)[there], pad_id)
        mask = _extend(attention_mask, torch.cat([batch[MASK], batch["completion_mask"]], 1)[there], 0)
        with comparison.states_kept() as states:
            logps, entropies, aux_loss = super()._get_per_token_logps_and_entropies(
                model, ids, mask, logits_to_keep, *args, **kwargs
            )
        before = states[0][:, -logits_to_keep - 1 : -1]  # the place before each token of the completion predicts it
        places = _places(batch)[there]
        with self.accelerator.autocast():
            self._divergence = comparison.sum(before[:size][there][places], before[size:][places])
        self._compared += torch.stack([self._divergence.detach(), places.sum()])
        return logps[:size], None if entropies is None else entropies[:size], aux_loss

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Makes TRL's step, and logs the divergence over all batches of an update."""
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if self._comparison is not None and self.accelerator.sync_gradients:
            divergence, tokens = self.accelerator.reduce(self._compared, "sum").tolist()
            self._metrics["train"]["consistency/divergence"].append(divergence / max(tokens, 1))
            self._compared = torch.zeros_like(self._compared)
        return loss


def _places(batch: Mapping[str, Tensor]) -> Tensor:
    """Says which tokens of the completions are compared, `(B, T)`: the model's own, of rows with another prompt."""
    own = batch["completion_mask"] * batch["tool_mask"] if "tool_mask" in batch else batch["completion_mask"]
    return own.bool() & batch[MASK].any(1, keepdim=True)


def _extend(rows: Tensor, more: Tensor, value: int) -> Tensor:
    """Puts rows behind others; completions end them, so that the shorter ones are padded on the left."""
    width = max(rows.shape[1], more.shape[1])
    return torch.cat([pad(each, (width - each.shape[1], 0), value=value) for each in (rows, more)])


@dataclass
class ConsistentGRPOConfig(ConsistencyConfig, GRPOConfig):
    """`GRPOConfig` with the settings of consistency."""

    RULES = OF_GRPO


class ConsistentGRPOTrainer(GuardedGRPOTrainer, ConsistentAnswers):
    """`GuardedGRPOTrainer` with `ConsistentAnswers`."""


@dataclass
class ConsistentACREConfig(ConsistencyConfig, ACREConfig):
    """`ACREConfig` with the settings of consistency."""

    RULES = OF_ACRE


class ConsistentACRETrainer(ACRETrainer, ConsistentAnswers):
    """`ACRETrainer` with `ConsistentAnswers`: a question in other words, whose options keep their letters."""

    known_families = KNOWN

    def _other_prompt(self, families: list[Family], row: Mapping[str, Any], rng: random.Random) -> Any:
        return other_wording(families, row, rng, self.render_prompt)


class ConsistentTextACRETrainer(TextACRETrainer, ConsistentAnswers):
    """`TextACRETrainer` with `ConsistentAnswers`."""

    def _other_prompt(self, families: list[Family], row: Mapping[str, Any], rng: random.Random) -> Any:
        return other_prompt(families, row, rng, self.args.gold_column)


def build_grpo(recipe: Recipe, data: TrainingData[PromptRow], rewards: Rewards) -> GuardedGRPOTrainer:
    """Builds it as GRPO is built."""
    return grpo.build(with_families(recipe), data, rewards, ConsistentGRPOTrainer)


def build_acre(recipe: Recipe, data: TrainingData[Any], rewards: Rewards) -> SecondPassTrainer:
    """Builds it as ACRE is built."""
    recipe = with_families(recipe, families_of(recipe.settings))
    return acre.build(recipe, data, rewards, ConsistentACRETrainer, ConsistentTextACRETrainer)
