"""Whether quantized weights can be trained on as a run is launched."""

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.machine.devices import list_gpus
from align.recipe.recipe import Recipe


def check_quantized(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Finds quantized weights that would have to be sharded and cannot, and says where they are slow."""
    model = recipe.model
    if model.quantized is None:
        return []
    name = f"`{model.quantized}: true`"
    if launch.shards_weights:
        by = "FSDP" if launch.fsdp else "ZeRO-3"
        if model.load_in_8bit:
            text = f"{name}: {by} splits weights of floating point, and these are whole numbers. Use DDP or ZeRO-2."
            return [Finding("error", "model", text)]
        if model.bnb_4bit_quant_storage != model.dtype:
            text = (
                f"{name}: {by} splits weights of one type, and 4-bit ones are packed into "
                f"{model.bnb_4bit_quant_storage or 'uint8'}. Set `bnb_4bit_quant_storage: {model.dtype}`, the `dtype` "
                "of the others."
            )
            return [Finding("error", "model", text)]
    if recipe.setting("use_cpu") or not list_gpus():
        text = f"{name} on a CPU: bitsandbytes computes there, too, and slowly; memory is what it saves."
        return [Finding("warning", "model", text)]
    return []
