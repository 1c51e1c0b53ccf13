"""Random models that scale or cap their logits behind the output head."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2, "pad_token_id": 0}  # fmt: skip
SCALED = {"gemma2": {"final_logit_softcapping": 3.0}, "granite": {"logits_scaling": 4.0}}


def scaled_model(family, vocabulary):
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=vocabulary, attn_implementation="eager", **SIZE | SCALED[family])
    return AutoModelForCausalLM.from_config(config)
