"""Which model a recipe trains, in the words of TRL's `ModelConfig`: whole, by an adapter, or by one on few bits."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from align.errors import RecipeError
from align.recipe.rules import suggestion

# transformers, `AttentionInterface`; any other is a kernel of the hub, `owner/name`.
ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4")


class ModelSettings(BaseModel):
    """The model of a recipe and how it is loaded; `trust_remote_code` stays TRL's, off by default."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_name_or_path: str = Field(min_length=1, description="Hub id, or a folder; `./x` is relative to the recipe.")
    model_revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="float32", description="Type of the loaded weights."
    )
    attn_implementation: str | None = Field(default=None, description="Attention kernel, as in transformers.")
    chat_template_path: str | None = Field(
        default=None,
        min_length=1,
        description="Chat template in place of the model's: a .jinja file, or a folder or hub id of a model whose "
        "template is taken. It is saved with the model.",
    )
    use_peft: bool = Field(default=False, description="Whether to train a LoRA adapter instead of all weights.")
    lora_r: int = Field(default=16, ge=1, description="Rank of the adapter.")
    lora_alpha: int = Field(default=32, ge=1, description="Scale of the adapter.")
    lora_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="Dropout of the adapter's input.")
    lora_target_modules: list[str] | str = Field(default="all-linear", description="Modules that get an adapter.")

    load_in_4bit: bool = Field(
        default=False, description="Whether the weights below the adapter are loaded with 4 bits each (QLoRA)."
    )
    load_in_8bit: bool = Field(default=False, description="Whether they are loaded with 8 bits each.")
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = Field(default="nf4", description="What 4 bits stand for.")
    use_bnb_nested_quant: bool = Field(
        default=False, description="Whether the scales of the 4-bit weights are quantized, too."
    )
    bnb_4bit_quant_storage: Literal["uint8", "float16", "float32", "bfloat16"] | None = Field(
        default=None,
        description="Type of the tensors that 4-bit weights are packed into, by default uint8; FSDP splits only "
        "those of floating point, and computes in that type.",
    )

    @property
    def quantized(self) -> str | None:
        """The key by which the weights are quantized, None where they are not."""
        return next((name for name in ("load_in_4bit", "load_in_8bit") if getattr(self, name)), None)

    @field_validator("attn_implementation")
    @classmethod
    def _is_attention(cls, name: str | None) -> str | None:
        base = ("eager" if name is None else name).removeprefix("paged|")
        if base not in ATTENTION and "/" not in base:
            known = f"one of {', '.join(ATTENTION)}, or a kernel of the hub such as kernels-community/flash-attn2"
            raise ValueError(f"must be {known}.{suggestion(base, ATTENTION)}")
        return name

    @field_validator("lora_target_modules")
    @classmethod
    def _has_modules(cls, modules: list[str] | str) -> list[str] | str:
        if not modules:
            raise ValueError("name at least one module, or `all-linear`")
        return modules


OF_ADAPTERS = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
OF_4_BITS = ("bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant")


def check_quantization(model: ModelSettings, settings: Any) -> None:
    """Refuses keys of adapters and quantization that have no meaning together."""
    lone = next((name for name in OF_ADAPTERS if name in model.model_fields_set), None)
    if lone is not None and "use_peft" not in model.model_fields_set:  # `--use_peft false` may turn an adapter off
        raise RecipeError(
            f"`{lone}` needs an adapter, and without `use_peft` all weights are trained. Set `use_peft: true`, or "
            f"remove `{lone}`."
        )
    if model.load_in_4bit and model.load_in_8bit:
        raise RecipeError("`load_in_4bit: true` and `load_in_8bit: true` exclude each other. Keep one.")
    lone = next((name for name in OF_4_BITS if name in model.model_fields_set), None)
    if lone is not None and not model.load_in_4bit:
        raise RecipeError(f"`{lone}` needs weights of 4 bits. Set `load_in_4bit: true`, or remove it.")
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
