"""Tiny random models of every causal language model that transformers knows and that builds from few numbers."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, set_seed
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LARGEST = 10_000_000  # weights; a type whose sizes have other names than those below is not tiny
EIGHTS = (
    "head_dim", "sliding_window", "window_size", "attention_window", "local_attention", "attention_chunk_size",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "d_kv", "state_size", "rotary_dim", "mamba_d_state",
    "mamba_n_heads", "mamba_d_head", "chunk_size", "mamba_chunk_size",
)  # fmt: skip
SIZES: dict[str, Any] = dict.fromkeys(EIGHTS, 8) | {
    "vocab_size": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 32, "d_model": 32,
    "n_embd": 32, "embedding_size": 32, "word_embed_proj_dim": 32, "lru_width": 32, "intermediate_size": 64,
    "ffn_dim": 64, "d_ff": 64, "n_inner": 64, "decoder_ffn_dim": 64, "encoder_ffn_dim": 64, "ffn_hidden_size": 64,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "num_hidden_layers": 2, "n_layer": 2,
    "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "encoder_layers": 2, "num_attention_heads": 4, "n_head": 4,
    "n_heads": 4, "num_heads": 4, "decoder_attention_heads": 4, "encoder_attention_heads": 4,
    "num_key_value_heads": 2, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "n_groups": 1,
    "mamba_n_groups": 1, "expand": 2, "first_k_dense_replace": 1, "max_position_embeddings": 256,
    "n_positions": 256, "max_seq_len": 256, "initializer_range": 0.2, "init_std": 0.2,
}  # fmt: skip
TYPES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def tiny_type(name: str) -> Any:
    """Builds a model of a type, and raises whatever transformers does where these numbers do not fit it."""
    set_seed(0)
    base = CONFIG_MAPPING[name]().get_text_config()
    renamed = getattr(type(base), "attribute_map", {})
    given = {
        key: value
        for key, value in SIZES.items()
        if key not in renamed and getattr(base, key, None) is not None and not isinstance(getattr(base, key), list)
    }
    if hasattr(base, "sliding_window"):
        given["sliding_window"] = 8
    if name == "gpt_neo":
        given["attention_types"] = [[["global", "local"], 1]]
    config = type(base)(**given)
    with torch.device("meta"):
        size = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size:,} weights")
    model = AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1 and weight.std() < 0.1:  # too small to tell places apart
            torch.nn.init.normal_(weight, std=0.2)
    return model
