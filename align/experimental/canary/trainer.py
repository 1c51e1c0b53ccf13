"""The canary of a trainer of TRL that samples with vLLM."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from datasets import IterableDataset
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer
from trl.data_utils import prepare_multimodal_messages

from align.data.media.images import VIDEO
from align.errors import DataError
from align.experimental.canary.config import CanaryConfig
from align.methods.acre import build as acre
from align.methods.acre.config import ACREConfig
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.acre.trainer import ACRETrainer
from align.methods.grpo import trainer as grpo
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rollouts.asked_rows import engine_ids
from align.models.second_pass.forward import image_fields
from align.models.videos import reads_videos
from align.recipe.alarms import CANARY, CANARY_MAX
from align.training.reward_records import generators_kept

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object

MOST_TOKENS = 16  # behind each prompt
# What would let vLLM's log-probabilities differ from the trainer's with the same weights. The temperature stays: the
# trainer divides by it, too.
PLAIN: dict[str, Any] = {
    "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "structured_outputs_regex": None,
}  # fmt: skip


class FixedPrompt(NamedTuple):
    """A prompt as the trainer reads it, and as vLLM does."""

    ids: list[int]
    engine_ids: list[int]
    images: list[Any] | None
    fields: dict[str, Any]  # of the trainer's forward pass, where there are images


class Canary(Parent):
    """Adds to a trainer of TRL a measurement of whether vLLM writes with the weights that are trained.

    With `canary_steps: 0` nothing differs. Above it, at the first step of a process and then every so many steps,
    vLLM continues a few prompts after it has written the completions of the step, before their update: with the
    weights that these were written with, since nothing is transferred for it. (An engine that sleeps has thrown its
    weights away; TRL transfers them anew, here as for completions.) The trainer scores the same tokens without
    dropout, and the mean and the largest difference are logged at once.

    The prompts are drawn by `seed` and stay the same, in a run that goes on, too; every process asks its engine about
    all of them, so that the worst process is what is logged, and that all make the same forward passes. Tokens are
    sampled with a seed of their own. Random states, engine settings, metrics and completions are left as they were.
    """

    args: Any  # a config with `CanaryConfig`, or TRL's own
    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start_canary(getattr(self.args, "canary_steps", 0), getattr(self.args, "canary_prompts", 0))

    def start_canary(self, steps: int, prompts: int) -> None:
        """Draws the prompts, and measures every so many steps from here on."""
        self._canary_steps, self._num_canary_prompts = steps, prompts
        self._canary_at: int | None = None  # the step of the last one
        self._canary_prompts = self._draw_canary_prompts() if steps else []

    def _draw_canary_prompts(self) -> list[FixedPrompt]:
        rows: Any = self.train_dataset
        count = self._num_canary_prompts
        if isinstance(rows, IterableDataset):  # whose first rows are always the same
            return [self._fix_canary_prompt(row) for row in rows.take(count)]
        rng = random.Random(f"canary/{self.args.seed}")
        places = rng.sample(range(len(rows)), min(count, len(rows)))
        return [self._fix_canary_prompt(rows[place]) for place in places]

    def _fix_canary_prompt(self, row: Mapping[str, Any]) -> FixedPrompt:
        """Tokenises the prompt of a row as TRL does for completions."""
        prompt = row.get("prompt", [{"role": "user", "content": ""}])  # an environment may own the data
        pictures = row.get("images") or [image for image in [row.get("image")] if image is not None]
        if row.get(VIDEO) and reads_videos(self.processing_class):
            raise DataError(
                "`canary_steps` above 0 asks vLLM about images, and rows have videos. Set `dataset.video_as: images`, "
                "or `canary_steps: 0`."
            )
        if pictures:
            prompt = prepare_multimodal_messages(prompt, images=pictures)
        if self.environment_factories is not None:
            self._batch_environments = [row.get("environment") if self._multi_environment else None]
        ids, images, fields = self._tokenize_prompts([prompt])
        asked = engine_ids(self, [prompt]) or ids
        read = {name: torch.as_tensor(value) for name, value in fields.items()} if images else {}
        return FixedPrompt(list(ids[0]), list(asked[0]), images and images[0], read)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self._canary_steps and self.model.training and self._is_canary_due():
            self._canary_at = self.state.global_step
            self._measure_canary()
        return output

    def _is_canary_due(self) -> bool:
        """Says whether the next multiple of `canary_steps` has come; a generation may serve several steps."""
        last, now = self._canary_at, self.state.global_step
        return last is None or now < last or now // self._canary_steps > last // self._canary_steps

    def _measure_canary(self) -> None:
        """Measures and logs; every rank takes part."""
        device, started = self.accelerator.device, time.perf_counter()
        with generators_kept(device), torch.no_grad(), _without_dropout(self.model):
            differences = torch.cat(self._canary_differences(self._canary_prompts))
        own = torch.stack([differences.mean(), differences.max()])
        mean, largest = self.accelerator.gather(own[None]).view(-1, 2).amax(0).tolist()
        # TRL's own `log` would hand on what it gathers for the end of the step.
        Trainer.log(self, {CANARY: mean, CANARY_MAX: largest, "canary/seconds": time.perf_counter() - started})

    def _canary_differences(self, prompts: Sequence[FixedPrompt]) -> list[Tensor]:
        """Returns how far the log-probabilities of each token of vLLM's continuations are apart, `(T,)` a prompt."""
        engine: Any = self.vllm_generation
        length = min(MOST_TOKENS, engine.max_completion_length)
        own = {"max_completion_length": length, "generation_kwargs": {"seed": self.args.seed}}
        images = [prompt.images for prompt in prompts]
        with _attributes(engine, PLAIN | own):
            _, written, logprobs, _ = engine.generate(
                [prompt.engine_ids for prompt in prompts], images if any(images) else None, 1
            )
        found = []
        for prompt, tokens, scores in zip(prompts, written, logprobs, strict=True):
            # None is vLLM's word for what is no number; only the sampled token is scored.
            theirs = torch.tensor([float("nan") if score[0] is None else score[0] for score in scores])
            read = self._cut_at_image(prompt, list(tokens))
            # Also where nothing is left: ranks of a sharded model make as many forward passes as the others.
            ours = self._score_canary(prompt, read or [self._tokenizer.eos_token_id])[: len(read)]
            found.append((ours - theirs[: len(read)].to(ours.device)).abs())
        return found

    def _cut_at_image(self, prompt: FixedPrompt, tokens: list[int]) -> list[int]:
        """Cuts a continuation off before the token that stands for an image, which there is none for."""
        stop = getattr(self.model.config, "image_token_id", None) if prompt.images else None
        return tokens[: tokens.index(stop)] if stop in tokens else tokens

    def _score_canary(self, prompt: FixedPrompt, tokens: list[int]) -> Tensor:
        """Scores a continuation with the trainer's model, `(T,)`; one prompt at a time, so that nothing is padded."""
        ids = torch.tensor([[*prompt.ids, *tokens]], device=self.accelerator.device)
        fields = image_fields(prompt.fields, ids)
        if prompt.images:  # all images, and all parts of them, are of this row
            fields |= {"num_images": [len(prompt.images)], "num_tiles": [len(fields["pixel_values"])]}
        scored: Any = self._get_per_token_logps_and_entropies(
            self.model, ids, torch.ones_like(ids), len(tokens), batch_size=1, **fields
        )
        return scored[0][0].float()


@dataclass
class CanaryGRPOConfig(CanaryConfig, GRPOConfig):
    """`GRPOConfig` with the settings of the canary."""


@dataclass
class CanaryACREConfig(CanaryConfig, ACREConfig):
    """`ACREConfig` with the settings of the canary."""


class CanaryGRPOTrainer(Canary, GuardedGRPOTrainer):
    """`GuardedGRPOTrainer` with `Canary`."""


class CanaryACRETrainer(Canary, ACRETrainer):
    """`ACRETrainer` with `Canary`."""


class CanaryTextACRETrainer(Canary, TextACRETrainer):
    """`TextACRETrainer` with `Canary`."""


build_grpo = partial(grpo.build, trainer=CanaryGRPOTrainer)
build_acre = partial(acre.build, letters=CanaryACRETrainer, texts=CanaryTextACRETrainer)


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """Evaluates, and puts back the mode of each module, of which some may have been evaluating before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def _attributes(owner: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Gives an object other attributes for a while."""
    before = {name: getattr(owner, name) for name in values}
    vars(owner).update(values)
    try:
        yield
    finally:
        vars(owner).update(before)
