"""Rows as they are asked: a row and its versions together, as before in a run that goes on, and with images."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, cast

import torch
from datasets import IterableDataset
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import prepare_multimodal_messages

from align.data.media.images import VIDEO
from align.errors import DataError, UserError
from align.methods.rollouts.probe import Probed
from align.models.second_pass.image_memo import is_sharded
from align.models.videos import (
    MIXED,
    ONLY_IMAGES,
    as_frames,
    as_video,
    place_in_time,
    read_renamed,
    reads_videos,
    video_reading,
)
from align.models.vllm_engine import asked_with, placeholder_ids
from rewards.running.protocol import reads_whole_batch

Row = dict[str, Any]


class RowsTogether(Probed):
    """Shuffles blocks of rows in place of rows, so that those of a block are answered and rewarded in one call.

    With blocks of one row the order is TRL's. The data sets are made of blocks of `rows_together` and
    `eval_rows_together` rows; what one process generates holds whole blocks. `show_anew` makes the row of a training
    row that is asked at a step, such as one with its options in another order, of the row and the name of the visit;
    with `within_group` each completion of a group is a visit of its own (PA-GRPO, arXiv 2603.21016). Rewards that
    compare a batch need the completions of a group in one process.
    """

    def __init__(
        self,
        *args: Any,
        rows_together: int = 1,
        eval_rows_together: int = 1,
        show_anew: Callable[[Row, str], Row] | None = None,
        within_group: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._show_anew, self._within_group = show_anew, within_group
        self._together, self._eval_together = rows_together, eval_rows_together
        if rows_together > 1 and isinstance(self.train_dataset, IterableDataset):
            raise ValueError(
                f"`rows_together` is {rows_together}, and TRL shuffles the rows of a stream one by one, so that those "
                "of a block come apart. Read the stream into a `datasets.Dataset`, or leave `rows_together` out."
            )
        given: Any = self.args
        self._check("per_device_train_batch_size", given.steps_per_generation, rows_together, self.num_generations)
        if self.eval_dataset is not None:
            self._check("per_device_eval_batch_size", 1, eval_rows_together, self.num_generations_eval)

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        model: Any = self.model
        if self._show_anew is not None and model.training:  # the step tells visits apart, also of a resumed run
            step, first = str(self.state.global_step), self.accelerator.process_index * len(inputs)
            visits = [f"{step}/{(first + i) % self.num_generations}" for i in range(len(inputs))]
            each = visits if self._within_group else [step] * len(inputs)
            inputs = list(map(self._show_anew, inputs, each))
        return super()._generate_and_score_completions(inputs)

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: Any, has_tool_images: Any = False
    ) -> Any:
        """Has vLLM, which TRL asks once for a group, asked for each completion where their prompts differ."""
        model: Any = self.model
        times = 1 if self._within_group and model.training else num_generations
        return super()._generate_single_turn(prompt_ids, images, multimodal_fields, times, has_tool_images)

    def _check(self, name: str, factor: int, together: int, generations: Any) -> None:
        size = getattr(self.args, name) * factor
        functions: Any = self.reward_funcs
        if (together > 1 or any(map(reads_whole_batch, functions))) and size % (together * generations):
            rows = f"{together} rows have" if together > 1 else "A row has"
            raise ValueError(
                f"{rows} to be in one call of the rewards, with {generations} completions each, and a "
                f"process generates {size} at once. Make `{name}` such that this is a multiple of "
                f"{together * generations}."
            )

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        if self._together == 1:
            return super()._get_train_sampler(dataset)
        own, given = cast(Any, self), cast(Any, self.args)
        blocks = len(own.train_dataset if dataset is None else dataset) // self._together
        at_once = given.generation_batch_size // own.num_generations // self._together
        times, seed = own.num_iterations * given.steps_per_generation, given.seed if own.shuffle_dataset else None
        return BlockSampler(blocks, self._together, own.num_generations, at_once=at_once, times=times, seed=seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int]:
        if self._eval_together == 1:
            return super()._get_eval_sampler(eval_dataset)
        generations: Any = self.num_generations_eval
        blocks = len(eval_dataset) // self._eval_together
        return BlockSampler(blocks, self._eval_together, generations, seed=self.args.seed)


class BlockSampler(Sampler[int]):
    """Gives out the rows of blocks, each as often as it is answered; with a seed in another order in each pass.

    `at_once` blocks are in one generation, which is given out `times` times; those that fill none are left out.

    Example:
        >>> list(BlockSampler(2, 2, 2))
        [0, 0, 1, 1, 2, 2, 3, 3]
    """

    def __init__(
        self, blocks: int, size: int, repeats: int, *, at_once: int = 1, times: int = 1, seed: int | None = None
    ) -> None:
        self.num_samples, self._size, self._repeats, self._at_once, self._times = blocks, size, repeats, at_once, times
        self.shuffle = seed is not None
        self.generator = torch.Generator().manual_seed(seed or 0)  # one for all passes, as TRL's for rows

    def __iter__(self) -> Iterator[int]:
        places = torch.arange(self.num_samples)
        order = torch.randperm(self.num_samples, generator=self.generator) if self.shuffle else places
        rows = order[:, None] * self._size + torch.arange(self._size)
        for start in range(0, self.num_samples - self._at_once + 1, self._at_once):
            given = rows[start : start + self._at_once].flatten().repeat_interleave(self._repeats)
            yield from given.repeat(self._times).tolist()

    def __len__(self) -> int:
        return self.num_samples // self._at_once * self._at_once * self._size * self._repeats * self._times


_INSIDE = ("batch_sampler", "sampler")


class EarlierPasses(TrainerCallback):
    """Draws the orders of earlier passes again where a run goes on; a run from the start has TRL's orders.

    TRL's sampler draws an order for each pass from one generator, which no checkpoint keeps: a run that goes on in its
    third pass would begin with the order of the first, and leave out what that asked before.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Finds the pass in which a checkpoint was written; data loaders were made just before."""
        order: Any = kwargs.get("train_dataloader")  # samplers stand inside each other; those of a stream are endless
        while inner := [each for name in _INSIDE if (each := getattr(order, name, None)) is not None]:
            order = inner[0]
        if getattr(order, "shuffle", False):
            for _ in range(int(state.epoch or 0)):
                torch.randperm(order.num_samples, generator=order.generator)


def score_with_videos(
    trainer: Any, score: Callable[[list[Any]], dict[str, Any]], inputs: list[dict[str, Any]]
) -> dict[str, Any]:
    """Has a model with a path for videos read the frames of a row with `video_metadata` as one; TRL's rows differ.

    `score` is `_generate_and_score_completions` of a trainer's parent, whose output this returns.
    """
    if VIDEO not in inputs[0] or not reads_videos(trainer.processing_class):
        return score(inputs)
    if trainer.tools or (trainer.use_vllm and trainer.vllm_mode == "server"):
        raise DataError(f"{ONLY_IMAGES} Leave the column `{VIDEO}` out, and frames are read as images.")
    begin_videos(trainer)
    if trainer.accelerator.num_processes > 1 and is_sharded(trainer.model):
        kinds = torch.tensor([[bool(row[VIDEO]) for row in inputs]], device=trainer.accelerator.device).float()
        if any(0 < share < 1 for share in trainer.accelerator.gather(kinds).mean(-1).tolist()):
            raise DataError(MIXED.format(what="A batch"))
    output = score([as_video(row) for row in inputs])
    images = trainer._logs["images"]  # which a logger is to draw
    frames = [as_frames({"images": each})["images"] for each in images]
    images.clear()
    images.extend(frames)
    return output


def begin_videos(trainer: Any) -> None:
    """Has a trainer's processor and models read videos, under the names of images that TRL passes on."""
    reading = video_reading(trainer.processing_class, as_images=True)
    if reading is trainer.processing_class:
        return
    trainer.processing_class = reading
    for model in filter(None, (trainer.model, trainer.ref_model)):
        place_in_time(model)
        read_renamed(model)
    if not trainer.use_vllm:  # as TRL keeps tokens of images from being sampled, which no image would fit
        never = [*(trainer.generation_config.suppress_tokens or ()), reading.video_token_id]
        trainer.generation_config.suppress_tokens = trainer.generation_kwargs["suppress_tokens"] = never


def generate_with_images(
    trainer: Any, generate: Callable[[list[Any]], tuple[Any, ...]], prompts: list[Any]
) -> tuple[Any, ...]:
    """Lets rows without images stand beside rows with images, and vLLM see each image once.

    `generate` is `_generate` of a trainer's parent, whose output this returns.
    """
    ids = engine_ids(trainer, prompts)
    with nullcontext() if ids is None else asked_with(trainer.vllm_generation, ids):
        *output, images, of_tools = generate(prompts)
    # TRL 1.16 says None for a prompt without images, which the processors refuse beside prompts with images.
    return *output, images and [each or [] for each in images], of_tools


def engine_ids(trainer: Any, prompts: list[Any]) -> list[list[int]] | None:
    """Tokenises prompts with images as a colocated vLLM takes them; None where TRL's own tokens are right."""
    is_colocated = trainer.use_vllm and trainer.vllm_mode == "colocate" and trainer.rollout_func is None
    said = (message.get("content") for prompt in prompts if not isinstance(prompt, str) for message in prompt)
    parts = (part for content in said if isinstance(content, list) for part in content)
    if not is_colocated or not any(part["type"] == "image" for part in parts):
        return None
    if trainer.tools:
        raise UserError("Tools and images do not go together with `vllm_mode: colocate`. Use `server`.")
    messages = [prepare_multimodal_messages(prompt) for prompt in prompts]
    template = {"chat_template": trainer.chat_template, **trainer.chat_template_kwargs}
    return placeholder_ids(trainer.processing_class, messages, **template)
