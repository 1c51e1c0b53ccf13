"""Llamas with random weights, for benches and checks that no folder of a model is given to."""

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.labs.tiny_models import make_tokenizer

WORDS = ["the", "of", "river", "mountain", "copper", "seven", "because", "number", "light", "north", "water", "stone"]
# `small` has 5M weights. In `wide`, as in large models, attention is a small part of a layer; `layer` is one layer of
# Qwen2.5-7B's shape. `large` has 0.3 billion in few and wide layers: a step on a GPU is more than starting kernels.
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    "small": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 4},
    "wide": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 1, "num_attention_heads": 8},
    "layer": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 1,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "large": {"hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 6, "num_attention_heads": 16},
}
SMOLLM2 = "models/smollm2-135m"
NAMES = ("random", *(f"random-{size}" for size in SIZES))


ABOUT_MODEL = f"a folder, or one of {', '.join(NAMES)}"


def model_there(text: str) -> str:
    """Names a model for an option; one that is not there is refused with the command that makes it."""
    if text in NAMES or Path(text).is_dir():
        return text
    raise argparse.ArgumentTypeError(
        f"{text} is not there. Make it, `python -m scripts.models.smollm2 --out {text}`, or name a folder or one of "
        f"{', '.join(NAMES)}."
    )


def words_tokenizer() -> PreTrainedTokenizerFast:
    """Builds a tokenizer whose tokens are words and signs."""
    units = [*WORDS, *map(chr, range(32, 127)), "\n", "Question", "Once", "more"]
    tokenizer: Any = make_tokenizer(units, r"\w+|\s|[^\w\s]")
    tokenizer.model_max_length = 1024
    return tokenizer


def random_model(folder: str | Path, name: str = "random", vocabulary: int = 0, dtype: str = "float32") -> str:
    """Saves a random model and its tokenizer; returns the folder.

    Args:
        folder: Where to.
        name: One of `NAMES`.
        vocabulary: Tokens of the model, if these are more than those of the tokenizer.
        dtype: Of the saved weights, which is that of an engine that reads them.
    """
    tokenizer = words_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    size = SIZES.get(str(name).removeprefix("random-"), SIZES["small"])
    spread = 0.8 * size["hidden_size"] ** -0.5  # a layer then neither shrinks nor blows up what it reads
    config = LlamaConfig(
        vocab_size=max(vocabulary, len(tokenizer)), tie_word_embeddings=True, pad_token_id=0, eos_token_id=1,
        bos_token_id=None, max_position_embeddings=4096, initializer_range=spread, **size,
    )  # fmt: skip
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)
    return str(folder)
