"""Adapters and QLoRA in the words of TRL's `ModelConfig`: weights of 4 or 8 bits stay, and an adapter learns."""

from typing import Any

from align.errors import RecipeError
from align.recipe.model import ModelSettings

OF_ADAPTERS = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
OF_4_BITS = ("bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant")


def check_quantization(model: ModelSettings, settings: Any) -> None:
    """Refuses keys of adapters and quantization that have no meaning together.

    Args:
        model: The model block.
        settings: Of the method, by attribute.

    Raises:
        RecipeError: At the first.
    """
    lone = next((name for name in OF_ADAPTERS if name in model.model_fields_set), None)
    if lone is not None and "use_peft" not in model.model_fields_set:  # `--use_peft false` may turn an adapter off
        raise RecipeError(
            f"`{lone}` is about an adapter, and without `use_peft` all weights are trained. Set `use_peft: true`, or "
            f"remove `{lone}`."
        )
    if model.load_in_4bit and model.load_in_8bit:
        raise RecipeError("`load_in_4bit: true` and `load_in_8bit: true` exclude each other. Keep one.")
    lone = next((name for name in OF_4_BITS if name in model.model_fields_set), None)
    if lone is not None and not model.load_in_4bit:
        raise RecipeError(f"`{lone}` is about weights of 4 bits. Set `load_in_4bit: true`, or remove it.")
    if (name := model.quantized) is None:
        return
    if not model.use_peft:
        raise RecipeError(f"`{name}: true` needs `use_peft: true`: weights of so few bits get no gradients.")
    if model.dtype == "auto":
        raise RecipeError(f"`{name}: true` computes in `dtype`. Name one, such as bfloat16, in place of auto.")
    given = getattr(settings, "model_init_kwargs", None) or {}
    if "quantization_config" in given:
        raise RecipeError(f"`model_init_kwargs.quantization_config` says what `{name}: true` says. Keep one of them.")
    if model.load_in_8bit and getattr(settings, "use_vllm", None):
        raise RecipeError(
            "`load_in_8bit: true` cannot stand with `use_vllm: true`: vLLM does not quantize to 8 bits as it loads. "
            "Use `load_in_4bit: true`, or generate without vLLM."
        )
