"""What a run takes: memory per device before activations, the output folder, and room for what it writes."""

import math
import os
from pathlib import Path
from typing import NamedTuple

from align.checks.finding import Finding, Level
from align.checks.launch import Launch
from align.models.model_files import ModelFiles, Size
from align.recipe.recipe import Recipe
from align.runs.disk_space import existing, free_bytes, no_room, words
from align.runs.owner import holder_of


class Footprint(NamedTuple):
    """What a method keeps in memory beside the states of the model that it trains."""

    on_top: str  # what is not estimated, as the subject of a sentence in the plural
    has_lm_head: bool = True  # the output head of a language model
    keeps_reference: bool = False  # a second model stays; an adapter is switched off instead


def activations(recipe: Recipe, sequences: int, name: str, detail: str = "") -> str:
    """Names the activations of a pass over sequences of at most `max_length` tokens."""
    count, length = sequences * int(recipe.settings.per_device_train_batch_size), recipe.settings.max_length
    tokens = f"up to {count * length:,} tokens" if length else f"{count} {name} of any length"
    return f"Activations of {tokens}{detail}"


def check_memory(recipe: Recipe, model: ModelFiles, launch: Launch) -> list[Finding]:
    """Estimates what the states of training take on each device."""
    footprint, size = recipe.record.part("footprint")(recipe), model.size
    if size is None:
        text = (
            f"The size of {model.name!r} is not known here (no local weights, no size in its "
            f"name), so memory is not estimated."
        )
        return [Finding("warning", "memory", text)]
    parameters = _kept(size, footprint)
    states = state_bytes(recipe, launch, parameters)
    parts = ", ".join(f"{name} {words(size)}" for name, size in states.items() if size)
    total = sum(states.values())
    split = "FSDP" if launch.fsdp else f"ZeRO stage {launch.zero_stage}"
    text = (
        f"About {words(total)} per device before activations ({parts}): {parameters / 1e6:,.1f}M "
        f"parameters {size.source}, {split} over {launch.num_processes}. "
        f"{footprint.on_top} come on top."
    )
    return [Finding("ok", "memory", text, {"parameters": parameters, "bytes": states, "total_bytes": total})]


def _kept(size: Size, footprint: Footprint) -> int:
    return size.parameters if footprint.has_lm_head else size.parameters - size.of_head


def state_bytes(recipe: Recipe, launch: Launch, parameters: int) -> dict[str, float]:
    """Counts bytes per device for AdamW: ZeRO (arXiv 1910.02054, Figure 1) with stage s over N processes.

    A trained parameter takes 16 bytes: 2 + 2 + 12 (bf16 weight and gradient, fp32 copy and two moments) under
    DeepSpeed with bf16, 4 + 4 + 8 otherwise. A frozen one takes its weight only, a quantized one 4 or 8 bits.
    """
    footprint = recipe.record.part("footprint")(recipe)
    half = launch.zero_stage > 0 and recipe.settings.bf16 is not False
    weight, gradient, optimizer = (2.0, 2, 12) if half else (4.0, 4, 8)
    weight = {"load_in_4bit": 0.5, "load_in_8bit": 1.0}.get(recipe.model.quantized or "", weight)
    trained = parameters if not recipe.model.use_peft else 0.02 * parameters  # LoRA on all linear layers: 1-3 %
    shards = launch.num_processes
    divisors = {"weights": 3, "gradients": 2, "optimizer": 1}
    sizes = {"weights": weight * parameters, "gradients": gradient * trained, "optimizer": optimizer * trained}
    stage = 3 if launch.fsdp else launch.zero_stage
    states = {name: size / (shards if stage >= divisors[name] else 1) for name, size in sizes.items()}
    if launch.offload_param:
        states["weights"] = 0.0
    if launch.offload_optimizer:
        states["optimizer"] = 0.0
    if footprint.keeps_reference:
        states["reference"] = weight * parameters / (shards if stage == 3 else 1)
    if recipe.uses_vllm and recipe.settings.vllm_mode == "colocate":
        states["vLLM weights"] = 2 * parameters / int(recipe.settings.vllm_tensor_parallel_size)
    return states


_HALF = ("bfloat16", "float16")


def check_output(recipe: Recipe) -> list[Finding]:
    """Finds out whether a run can be written where the recipe says, before it owns the folder."""
    wrong = _wrong_with(recipe.folder)
    return [] if wrong is None else [Finding("error", "output", wrong)]


def _wrong_with(folder: Path) -> str | None:
    try:
        above = existing(folder)
        holder = holder_of(folder)
    except OSError as error:
        return f"`output_dir` {folder} cannot be used: {error.strerror}."
    if folder.exists() and not folder.is_dir():
        return f"`output_dir` {folder} is a file. Choose a folder."
    if not above.is_dir() or not os.access(above, os.R_OK | os.W_OK | os.X_OK):
        return f"`output_dir` {folder}: nothing can be read and written in {above}."
    if holder is not None:
        return f"{folder} is in use by {holder}. Wait for its end, or choose another `output_dir`."
    return None


def check_room(recipe: Recipe, model: ModelFiles, launch: Launch) -> list[Finding]:
    """Compares what checkpoints and the model take with what is free."""
    folder = recipe.folder
    sizes = run_bytes(recipe, model, launch)
    if sizes is None:
        return []
    whole, checkpoint = sizes
    count = _checkpoints_at_once(recipe)
    try:
        free = free_bytes(folder)
    except OSError:
        return []  # `check_output` and the start of a run say what is wrong with the folder
    known = 1 if count is None else count
    total = whole + checkpoint * known
    many = "each of the" if count is None else count
    what = f"{many} checkpoint{'' if count == 1 else 's'} of about {words(checkpoint)}, and the model"
    what = what if known else "the model"
    numbers = {"free_bytes": free, "checkpoint_bytes": checkpoint, "model_bytes": whole, "checkpoints": count}
    if free < total:
        level: Level = "error" if free < whole + min(known, 1) * checkpoint else "warning"
        return [Finding(level, "room", str(no_room(folder, total, free, what)), numbers)]
    text = f"{words(free)} free for {what}."
    if count is None:
        text += " Their number is not known here; `save_total_limit` bounds it."
    return [Finding("ok", "room", text, numbers)]


def run_bytes(recipe: Recipe, model: ModelFiles, launch: Launch) -> tuple[int, int] | None:
    """Estimates the bytes of the model and of a checkpoint with AdamW's two moments; None where no size is known."""
    footprint = recipe.record.part("footprint")(recipe)
    if model.size is None:
        return None
    trained = _kept(model.size, footprint) * (0.02 if recipe.model.use_peft else 1.0)  # as in `check_memory`
    weight = 2 if str(recipe.model.dtype) in _HALF or (launch.zero_stage and recipe.settings.bf16 is not False) else 4
    moments = 12 if launch.zero_stage else 2 * weight  # DeepSpeed keeps both moments and a copy of the weights in fp32
    optimizer = 0 if recipe.settings.save_only_model else moments * trained
    return int(weight * trained), int(weight * trained + optimizer)


def _checkpoints_at_once(recipe: Recipe) -> int | None:
    """Counts the checkpoints that lie on the disk together: a new one is written before the oldest is deleted."""
    strategy = recipe.settings.save_strategy
    if strategy == "no":
        return 0
    steps, every = int(recipe.settings.max_steps), float(recipe.settings.save_steps)
    made = None
    if strategy == "steps" and steps > 0:
        every = every if every >= 1 else math.ceil(every * steps)  # as transformers rounds a share of the run
        made = math.ceil(steps / every)
    limit = recipe.settings.save_total_limit
    if limit is None:
        return made
    return int(limit) + 1 if made is None else min(made, int(limit) + 1)
