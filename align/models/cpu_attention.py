"""Which heads vLLM's attention can compute on a CPU: vLLM does not look, and dies in its first answer."""

from collections.abc import Mapping
from typing import Any

# Those of `vllm.v1.attention.backends.cpu_attn`; reading them there means to import vLLM, which takes seconds.
HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def why_no_attention(config: Mapping[str, Any]) -> str | None:
    """Says why vLLM cannot run a model on a CPU; None where nothing of its configuration speaks against it.

    Example:
        >>> why_no_attention({"hidden_size": 2048, "num_attention_heads": 32})
        >>> why_no_attention({"head_dim": 16})[:69]
        'This model has attention heads of 16 numbers, and vLLM on a CPU takes'
    """
    size = config.get("head_dim")
    if size is None and config.get("hidden_size") and config.get("num_attention_heads"):
        size = config["hidden_size"] // config["num_attention_heads"]
    if size is None or size in HEAD_SIZES or config.get("kv_lora_rank"):  # latent attention has heads of its own
        return None
    known = ", ".join(map(str, HEAD_SIZES))
    return f"This model has attention heads of {size} numbers, and vLLM on a CPU takes those of {known} only."
