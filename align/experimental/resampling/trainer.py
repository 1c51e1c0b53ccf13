"""Prompts all of whose completions earned the same give way to further ones (DAPO, arXiv 2503.14476, section 3.2)."""

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from datasets import IterableDataset
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from align.errors import UserError
from align.experimental.resampling.config import (
    KEY,
    NO_IMAGES,
    NO_STREAM,
    NO_VERSIONS,
    OFF,
    ResamplingConfig,
    batch_problem,
)
from align.methods.acre import build as acre
from align.methods.acre.config import ACREConfig
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.acre.trainer import ACRETrainer
from align.methods.grpo import trainer as grpo
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object

Batch = dict[str, Any]
_ON_THE_LEFT = ("prompt_ids", "prompt_mask")
_OF_ROWS = (
    *_ON_THE_LEFT, "completion_ids", "completion_mask", "tool_mask", "advantages", "old_per_token_logps",
    "ref_per_token_logps", "sampling_per_token_logps", "importance_sampling_ratio",
)  # fmt: skip
_ITEMS = "num_items_in_batch"


class Resampling(Parent):
    """Adds to a trainer of TRL further prompts in place of those without spread.

    With `resample_without_spread: 0` nothing differs. Above it, once a generation has its advantages, each process
    asks as many further prompts as the process with most groups without spread has of these, and puts groups with
    spread in their places, until none is left or the budget is spent. Which prompts follows from the seed, the step
    and the place of the generation in it, so that a run that goes on asks the same. What is trained on has as many
    completions as before. The weight of tokens in it (`num_items_in_batch`) is counted anew.

    What TRL logs of rewards and completions, and the table of completions, stay those of the first draw; of later
    draws they have the prefix `resampled/`. `num_tokens` is of all.

    It stands in front of the trainer that it is added to, so that all that this does with a batch is done with each.
    """

    args: Any  # a config with `ResamplingConfig`, or TRL's own
    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._budget: int = getattr(self.args, KEY, 0)
        self._place_in_step = -1, 0  # a step, and how many generations that has had
        if self._budget:
            self._check_resampling()

    def _check_resampling(self) -> None:
        generations: Any = self.num_generations
        own, processes = self.args.per_device_train_batch_size * self.args.steps_per_generation, self.args.world_size
        if isinstance(self.train_dataset, IterableDataset):
            raise UserError(NO_STREAM)
        if getattr(self, "_together", 1) > 1:
            raise UserError(NO_VERSIONS)
        if {"images", "image"} & set(getattr(self.train_dataset, "column_names", ())):
            raise UserError(NO_IMAGES)
        if problem := batch_problem(self._budget, own, int(generations), processes):
            raise ValueError(problem)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        output: Batch = super()._generate_and_score_completions(inputs)
        if self._budget and self.model.training:
            self._fill(output)
        return output

    def _fill(self, output: Batch) -> None:
        """Puts groups with spread in the places of those without."""
        if unknown := output.keys() - {*_OF_ROWS, _ITEMS}:
            raise UserError(f"`{KEY}` does not know how to put rows of {', '.join(sorted(unknown))} together; {OFF}")
        size: Any = self.num_generations
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        rows: Any = self.train_dataset
        order = self._draw_order(len(rows))
        before = self.state.num_input_tokens_seen
        asked = rounds = filled = 0
        flat = _groups(output, size, with_spread=False)
        with self._first_draw_kept():
            while (most := self._most(len(flat))) and (share := min(most, (self._budget - asked) // processes)):
                places = order[asked + rank * share : asked + (rank + 1) * share]
                inputs = [dict(rows[place]) for place in places for _ in range(size)]
                further: Batch = super()._generate_and_score_completions(inputs)
                found = _groups(further, size, with_spread=True)[: len(flat)]
                put_rows(output, further, flat[: len(found)], found, size, self._tokenizer.pad_token_id)
                flat = flat[len(found) :]
                asked, rounds, filled = asked + share * processes, rounds + 1, filled + len(found)
        if rounds:
            mask = output["completion_mask"] * output.get("tool_mask", 1)
            output[_ITEMS] = self.accelerator.gather(mask.sum()).sum()
        counts = torch.tensor([filled, len(flat)], device=self.accelerator.device)
        filled, left = self.accelerator.reduce(counts, "sum").tolist()
        logged = {
            "rounds": rounds,
            "prompts": asked,
            "filled": filled,
            "left": left,
            "thrown_away": asked * size,  # as many completions as were asked for: the batch has as many as before
            "tokens": self.state.num_input_tokens_seen - before,
        }
        for name, value in logged.items():
            self._metrics["train"][f"rollouts/resampled_{name}"].append(value)

    def _most(self, own: int) -> int:
        return int(self.accelerator.gather(torch.tensor([own], device=self.accelerator.device)).max())

    def _draw_order(self, number: int) -> list[int]:
        """Draws the places of the rows that would be asked, all of them before one is asked again."""
        step, (before, count) = self.state.global_step, self._place_in_step
        count = count + 1 if step == before else 0
        self._place_in_step = step, count
        rng = random.Random(f"{KEY}/{self.args.seed}/{step}/{count}")
        order: list[int] = []
        while len(order) < self._budget:
            order += rng.sample(range(number), min(number, self._budget))
        return order

    @contextmanager
    def _first_draw_kept(self) -> Iterator[None]:
        """Gives what is logged meanwhile a prefix, and leaves the table of completions as it is."""
        metrics: Any = self._metrics["train"]
        logs: Any = self._logs
        table, lengths = copy.deepcopy(logs), {name: len(values) for name, values in metrics.items()}
        yield
        logs.clear()
        logs.update(table)
        later = {name: values[lengths.get(name, 0) :] for name, values in metrics.items()}
        for name, own in later.items():
            if own:
                del metrics[name][-len(own) :]
                metrics[f"resampled/{name}"].extend(own)
                if not metrics[name]:  # TRL divides by their number
                    del metrics[name]


def put_rows(
    batch: Batch, other: Batch, places: Sequence[int], sources: Sequence[int], size: int, pad_id: int
) -> None:
    """Puts groups of `size` rows of one batch in places of another, in place, padded to a common width."""
    if not places:
        return
    fill = {"prompt_ids": pad_id, "completion_ids": pad_id, "tool_mask": 1, "importance_sampling_ratio": 1}
    for name in batch.keys() & {*_OF_ROWS}:
        width = max(values.shape[-1] for values in (batch[name], other[name]))
        widened = [
            _widen(each[name], width, name in _ON_THE_LEFT, fill.get(name, 0)) if each[name].ndim > 1 else each[name]
            for each in (batch, other)
        ]
        rows = widened[0].clone()
        rows[_rows(places, size)] = widened[1][_rows(sources, size)]
        batch[name] = rows


def _widen(values: Tensor, width: int, on_the_left: bool, value: int) -> Tensor:
    more = width - values.shape[1]
    return pad(values, (more, 0) if on_the_left else (0, more), value=value)


def _groups(batch: Batch, size: int, *, with_spread: bool) -> list[int]:
    """Numbers the groups of rows whose advantages differ, or do not."""
    advantages = batch["advantages"].view(-1, size)
    return ((advantages.amax(1) > advantages.amin(1)) == with_spread).nonzero().flatten().tolist()


def _rows(groups: Sequence[int], size: int) -> list[int]:
    return [row for group in groups for row in range(group * size, (group + 1) * size)]


@dataclass
class ResamplingGRPOConfig(ResamplingConfig, GRPOConfig):
    """`GRPOConfig` with the settings of further prompts."""


@dataclass
class ResamplingACREConfig(ResamplingConfig, ACREConfig):
    """`ACREConfig` with the settings of further prompts."""


class ResamplingGRPOTrainer(Resampling, GuardedGRPOTrainer):
    """`GuardedGRPOTrainer` with `Resampling`."""


class ResamplingACRETrainer(Resampling, ACRETrainer):
    """`ACRETrainer` with `Resampling`."""


class ResamplingTextACRETrainer(Resampling, TextACRETrainer):
    """`TextACRETrainer` with `Resampling`."""


build_grpo = partial(grpo.build, trainer=ResamplingGRPOTrainer)
build_acre = partial(acre.build, letters=ResamplingACRETrainer, texts=ResamplingTextACRETrainer)
