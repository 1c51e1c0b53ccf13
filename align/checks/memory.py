"""A memory estimate per device: states of weights, gradients and optimizer, before activations."""

import re
import struct
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import NamedTuple

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.machine.devices import GIB
from align.checks.model import model_folder
from align.models.model_files import read_header
from align.models.pretrained import weight_files
from align.recipe.recipe import Recipe

MIB = 2**20


class Footprint(NamedTuple):
    """What a method keeps in memory beside the states of the model that it trains."""

    on_top: str  # what is not estimated, as the subject of a sentence in the plural
    has_lm_head: bool = True  # the output head of a language model
    trains_weights: bool = True  # weights get gradients
    keeps_reference: bool = False  # a second model stays; an adapter is switched off instead


def footprint_of(recipe: Recipe) -> Footprint:
    """Asks the recipe's method for its footprint."""
    footprint: Footprint = recipe.record.part("footprint")(recipe)
    return footprint


def activations(recipe: Recipe, sequences: int, name: str, detail: str = "") -> str:
    """Names the activations of a pass over sequences of at most `max_length` tokens."""
    count, length = sequences * int(recipe.settings.per_device_train_batch_size), recipe.settings.max_length
    tokens = f"up to {count * length:,} tokens" if length else f"{count} {name} of any length"
    return f"Activations of {tokens}{detail}"


def check_memory(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Estimates what the states of training take on each device."""
    footprint = footprint_of(recipe)
    found = count_parameters(recipe.model.model_name_or_path, with_head=footprint.has_lm_head)
    if found is None:
        text = (
            f"The size of {recipe.model.model_name_or_path!r} is not known here (no local weights, no size in its "
            f"name), so memory is not estimated."
        )
        return [Finding("warning", "memory", text)]
    parameters, source = found
    states = state_bytes(recipe, launch, parameters)
    parts = ", ".join(f"{name} {_words(size)}" for name, size in states.items() if size)
    total = sum(states.values())
    split = "FSDP" if launch.fsdp else f"ZeRO stage {launch.zero_stage}"
    text = (
        f"About {_words(total)} per device before activations ({parts}): {parameters / 1e6:,.1f}M "
        f"parameters {source}, {split} over {launch.num_processes}. "
        f"{footprint.on_top} come on top."
    )
    return [Finding("ok", "memory", text, {"parameters": parameters, "bytes": states, "total_bytes": total})]


def _words(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def state_bytes(recipe: Recipe, launch: Launch, parameters: int) -> dict[str, float]:
    """Counts bytes per device for AdamW: ZeRO (arXiv 1910.02054, Figure 1) with stage s over N processes.

    A trained parameter takes 16 bytes: 2 + 2 + 12 (bf16 weight and gradient, fp32 copy and two moments) under
    DeepSpeed with bf16, 4 + 4 + 8 otherwise. A frozen one takes its weight only, a quantized one 4 or 8 bits.
    """
    footprint = footprint_of(recipe)
    half = launch.zero_stage > 0 and recipe.settings.bf16 is not False
    weight, gradient, optimizer = (2.0, 2, 12) if half else (4.0, 4, 8)
    weight = {"load_in_4bit": 0.5, "load_in_8bit": 1.0}.get(recipe.model.quantized or "", weight)
    trained = parameters if not recipe.model.use_peft else 0.02 * parameters  # LoRA on all linear layers: 1-3 %
    if not footprint.trains_weights:
        trained = 0.0
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


def count_parameters(model: str, *, with_head: bool = True) -> tuple[int, str] | None:
    """Counts the parameters of local safetensors from their headers, or reads the size in a model's name.

    Example:
        >>> count_parameters("Qwen/Qwen2.5-7B-Instruct")
        (7000000000, '(read from its name)')
    """
    folder = model_folder(model)
    try:
        files = weight_files(folder) if folder else []
        if files:
            return sum(_safetensors_size(file, with_head) for file in files), "(counted)"
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return None  # damaged, which `check_model` says
    size = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z])", model.rpartition("/")[2].replace("-", " "))
    if size is None:
        return None
    return int(float(size[1]) * (1e9 if size[2] in "Bb" else 1e6)), "(read from its name)"


def most_parameters(models: Iterable[str]) -> int | None:
    """Counts the parameters of the largest of some models; None if one of them cannot be told."""
    counted = [count_parameters(model) for model in models]
    return max((each[0] for each in counted if each is not None), default=None) if all(counted) else None


def _safetensors_size(path: Path, with_head: bool) -> int:
    header = read_header(path)
    left_out = ("__metadata__",) if with_head else ("__metadata__", "lm_head.weight")
    return sum(prod(entry["shape"]) for name, entry in header.items() if name not in left_out)
