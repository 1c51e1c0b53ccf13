"""How a run is spread over devices, and what that allows: settings that need it, FSDP, and quantized weights."""

import os
from pathlib import Path

from align.checks.devices import list_gpus
from align.checks.finding import Finding
from align.errors import RecipeError
from align.recipe.deepspeed import EMPTY_MODELS, Launch, check_deepspeed_config
from align.recipe.model import ModelSettings
from align.recipe.recipe import Recipe
from rewards.extras import is_installed, missing


def read_launch(accelerate_config: Path | None) -> Launch:
    """Reads the file that `accelerate launch --config_file` will get; without one, a run has one process."""
    if accelerate_config is None:
        return Launch()
    return check_deepspeed_config(accelerate_config)._replace(by_launcher=True)


def current_launch() -> Launch:
    """Reads what `accelerate launch` told this process, and checks the DeepSpeed file it was given, if any."""
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") != "true":
        fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
        return Launch(num_processes, fsdp=fsdp, by_launcher="LOCAL_RANK" in os.environ)
    if os.environ.get("ACCELERATE_USE_CPU", "false").lower() == "true":
        raise RecipeError(
            "The environment variable ACCELERATE_USE_CPU turns DeepSpeed off without a word. Unset it, and set "
            "`use_cpu: true` in the recipe."
        )
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file != "none":
        return check_deepspeed_config(Path(file))._replace(num_processes=num_processes)
    optimizer, param = (
        os.environ.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{what}_DEVICE", "none") != "none"
        for what in ("OPTIMIZER", "PARAM")
    )
    return Launch(num_processes, int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")), optimizer, param)


_ON_CPUS = (
    "on CPUs accelerate trains with DDP in its place without a word. There, launch with ds_configs/ddp_cpu.yaml, or "
    "with ds_configs/zero3_cpu.yaml, which shards."
)


def check_processes(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds settings with which a run of one process would end when its trainer is built."""
    if launch.num_processes > 1:
        return []
    alone = {name: value for name in ("fsdp", "ddp_backend") if (value := getattr(recipe.settings, name))}
    start = "start it with `accelerate launch`, and check it with `align check --accelerate_config FILE`"
    has_launcher = bool(launch.zero_stage) or launch.by_launcher or is_installed("mpi4py")  # DeepSpeed asks either
    if recipe.settings.deepspeed and not has_launcher and not missing("deepspeed", ""):
        return [
            Finding("error", "launch", f"`deepspeed` needs a launcher, also for one process. Remove it, or {start}.")
        ]
    text = "`{}: {}` is for several processes, and this run has one. Remove it, or {}."
    written = {name: "true" if value is True else value for name, value in alone.items()}
    return [Finding("error", "launch", text.format(name, value, start)) for name, value in written.items()]


def check_sharded(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds what would train otherwise than the launch file says, or end when the trainer is built."""
    if not launch.fsdp:
        return []
    launched = current_launch().fsdp  # else the recipe is looked at before, maybe on another machine
    if recipe.settings.use_cpu or (launched and not _has_gpu()):
        return [Finding("error", "launch", f"The launch asks for FSDP, and {_ON_CPUS}")]
    found = []
    if launched and os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "false").lower() == "true":
        found.append(Finding("error", "launch", EMPTY_MODELS))
    if not launched and not list_gpus():
        text = f"This machine shows no GPU; the launch asks for FSDP, and {_ON_CPUS}"
        found.append(Finding("warning", "launch", text))
    return found


def _has_gpu() -> bool:
    """Asks torch, which a run loads anyway, and which knows GPUs of every maker."""
    import torch

    return torch.cuda.is_available()


def check_quantized(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Says what becomes of quantized weights that are to be split over processes, and where they are slow."""
    model = recipe.model
    if model.quantized is None:
        return []
    texts = [_under_zero3(model)] if launch.zero_stage == 3 else [_under_fsdp(model)] if launch.fsdp else []
    if recipe.settings.use_cpu or not list_gpus():
        texts.append("on a CPU: bitsandbytes computes there, too, and slowly; memory is what it saves.")
    return [Finding("warning", "model", f"`{model.quantized}: true` {text}") for text in texts if text]


def _under_zero3(model: ModelSettings) -> str:
    # transformers 5.17, `get_init_context`: no `zero.Init` for quantized models.
    text = "under ZeRO-3: every process loads all weights before they are split, and needs room for them whole."
    if model.load_in_8bit:
        # bitsandbytes-foundation/bitsandbytes#1451, huggingface/accelerate#3730; on CPUs losses are those of ZeRO-2
        text += " On GPUs some met wrong losses: compare the first ones with those under ZeRO-2, or use 4 bits."
    return text


def _under_fsdp(model: ModelSettings) -> str:
    storage = model.bnb_4bit_quant_storage or "uint8"
    remedy = f"Set `bnb_4bit_quant_storage: {model.dtype}`, the `dtype`."
    if model.load_in_8bit:  # huggingface.co/docs/bitsandbytes/fsdp_qlora
        return "under FSDP: it is made for weights of floating point, and these are whole numbers. Use DDP or ZeRO-2."
    if storage == "uint8":  # accelerate 1.15, `fsdp2_prepare_model`
        return f"under FSDP: weights that are packed into uint8 are not split, and each process keeps all. {remedy}"
    if storage != model.dtype:  # transformers 5.17, `update_fsdp_plugin_peft`
        return f"under FSDP: it computes in the type that weights are packed into, {storage}. {remedy}"
    return ""
