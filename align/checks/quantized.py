"""What is known of training on quantized weights as a run is launched."""

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.machine.devices import list_gpus
from align.recipe.model import ModelSettings
from align.recipe.recipe import Recipe


def check_quantized(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Says what becomes of quantized weights that are to be split over processes, and where they are slow."""
    model = recipe.model
    if model.quantized is None:
        return []
    texts = [_under_zero3(model)] if launch.zero_stage == 3 else [_under_fsdp(model)] if launch.fsdp else []
    if recipe.setting("use_cpu") or not list_gpus():
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
