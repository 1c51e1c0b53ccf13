"""The policy of `lab.py` before it learns anything: a tiny Qwen2.5-VL with a processor of its own."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from rewards.reading.options import LETTERS
from scripts.labs.tiny_models import make_tokenizer
from scripts.labs.vision.world import CAPTION, CAPTION_QUESTION, CELL, OPTIONS

MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}"
)
READER = Path(__file__).resolve().parents[3] / "recipes/acre/assets/lab/model"
WIDTH, PATCH = 64, CELL // 2


def make_processor() -> Qwen2_5_VLProcessor:
    """Makes a processor with one token per word and patches of half a quarter of a scene."""
    texts = [*(word for words in OPTIONS.values() for word in words), CAPTION, CAPTION_QUESTION]
    texts += ["colour of ? shape in how many moves where note user assistant", " ".join(LETTERS)]
    words = {w for text in texts for w in text.replace("|", " ").replace("*", "").split() if "{" not in w}
    tokenizer = make_tokenizer(["\n", " ", *sorted(words)], r"\w+|[^\w]")
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS], special_tokens=True)
    sizes = {"patch_size": PATCH, "temporal_patch_size": 1, "merge_size": 2}
    pixels = {"min_pixels": CELL**2, "max_pixels": (4 * CELL) ** 2}
    return Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**sizes, **pixels), tokenizer, Qwen2VLVideoProcessor(**sizes), CHAT_TEMPLATE
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
    """Makes the untrained policy."""
    start, end, image, video = tokenizer.convert_tokens_to_ids(list(MARKS))
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 128,
            "initializer_range": 0.1,  # at the default of 0.02 the lookup of the letter never forms at this width
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
            "bos_token_id": None,
            **ends,
        },
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_heads": 4,
            "out_hidden_size": WIDTH,
            "patch_size": PATCH,
            "temporal_patch_size": 1,
            "spatial_merge_size": 2,
            "window_size": 4 * CELL,
            "fullatt_block_indexes": [0],
            "initializer_range": 0.1,
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
        **ends,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ends)
    return model


@torch.no_grad()
def adopt_reader(model: Qwen2_5_VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> None:
    """Takes over the language layers of the text lab's policy, which can look up the letter beside an option.

    The same layers learn it from scratch only after thousands of steps. Words of options start as that policy's
    digits, the i-th of each kind as the digit i.
    """
    reader = AutoModelForCausalLM.from_pretrained(READER, dtype=torch.float32)
    known = AutoTokenizer.from_pretrained(READER).get_vocab()
    model.model.language_model.load_state_dict(
        {name: value for name, value in reader.model.state_dict().items() if "embed" not in name}, strict=False
    )
    words = {word: str(i) for kind in OPTIONS.values() for i, word in enumerate(kind)}
    for word, number in tokenizer.get_vocab().items():
        source = known.get(words.get(word, word))
        if source is not None:
            model.model.language_model.embed_tokens.weight[number] = reader.model.embed_tokens.weight[source]
            model.lm_head.weight[number] = reader.lm_head.weight[source]


def encode(
    processor: Qwen2_5_VLProcessor, prompts: list[tuple[list[Any], str]], responses: list[str] | None = None
) -> dict[str, torch.Tensor]:
    """Tokenises prompts with their images in front, as the chat template does, and responses behind them."""
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    texts = [mark * len(images) + prompt for images, prompt in prompts]
    if responses is not None:
        texts = [text + response for text, response in zip(texts, responses, strict=True)]
    images = [images for images, _ in prompts if images]
    return dict(processor(text=texts, images=images or None, padding=True, return_tensors="pt"))
