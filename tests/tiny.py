"""Tiny models and tokenizers built in-process: nothing is downloaded."""

import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    set_seed,
)

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TAGS = ["<think>", "</think>", "<answer>", "</answer>"]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Builds a character tokenizer in which each response tag is one ordinary token."""
    characters = [*string.printable]
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    fast.add_tokens(TAGS)
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_model(family: str = "llama", seed: int = 0, vocabulary: int = 128, **overrides):
    """Builds a random 2-layer causal language model of a family, in fp32."""
    set_seed(seed)
    config_class, model_class = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[
        family
    ]
    settings = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
        "tie_word_embeddings": True,
    }
    return model_class(config_class(**settings | overrides))


def tiny_reward_model(seed: int = 0, vocabulary: int = 128, **overrides):
    """Builds a random 2-layer reward model, in fp32."""
    return LlamaForSequenceClassification(
        tiny_model(seed=seed, vocabulary=vocabulary, num_labels=1, **overrides).config
    )


def tiny_vl_model_and_processor(seed: int = 0, family: str = "qwen2_5_vl", width: int = 16):
    """Builds a random vision-language model of two layers, with a processor; TRL ships the chat templates.

    Args:
        seed: Seed of the weights.
        family: `qwen2_5_vl` (3-D positions, patches of all images in one row), `qwen3_vl` (the same, and times of
            frames as text) or `idefics3` (plain positions, one block of pixels per image).
        width: Of the language model, which has four heads; 128 is the least that vLLM's CPU attention can do.
    """
    from importlib.resources import files

    make = {"qwen2_5_vl": _qwen2_5_vl, "qwen3_vl": _qwen3_vl, "idefics3": _idefics3}[family]
    template = (files("trl") / "chat_templates" / f"{family}.jinja").read_text()
    text = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "initializer_range": 0.1,
    }
    return make(tiny_tokenizer(), template, text, seed)


def _qwen2_5_vl(tokenizer, template, text, seed):
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_tokens(marks, special_tokens=True)
    start, end, image, video, *_ = tokenizer.convert_tokens_to_ids(marks)
    sections = {16: [1, 1], 128: [4, 6, 6]}[text["hidden_size"]]  # half of a head's width
    rope = {"rope_type": "default", "mrope_section": sections, "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config={"vocab_size": len(tokenizer), "bos_token_id": None, "rope_parameters": rope} | text,
        vision_config={
            "depth": 2,
            "hidden_size": max(16, text["hidden_size"] // 2),
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": text["hidden_size"],
            "fullatt_block_indexes": [1],
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    images = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56)
    videos = Qwen2VLVideoProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    processor = Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=template)
    set_seed(seed)
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl(tokenizer, template, text, seed):
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_tokens(marks, special_tokens=True)
    start, end, image, video, *_ = tokenizer.convert_tokens_to_ids(marks)
    sections = {16: [1, 1, 0], 128: [4, 6, 6]}[text["hidden_size"]]
    rope = {"rope_type": "default", "mrope_section": sections, "mrope_interleaved": True, "rope_theta": 10000.0}
    width = text["hidden_size"] // 4
    config = Qwen3VLConfig(
        text_config={"vocab_size": len(tokenizer), "rope_parameters": rope, "head_dim": width} | text,
        vision_config={
            "depth": 2,
            "hidden_size": max(16, text["hidden_size"] // 2),
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": text["hidden_size"],
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
        },
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    sides = {"patch_size": 16, "merge_size": 2}
    images = Qwen2VLImageProcessor(min_pixels=32 * 32, max_pixels=64 * 64, **sides)
    videos = Qwen3VLVideoProcessor(size={"shortest_edge": 32 * 32, "longest_edge": 16 * 64 * 64}, **sides)
    processor = Qwen3VLProcessor(images, tokenizer, videos, chat_template=template)
    set_seed(seed)
    return Qwen3VLForConditionalGeneration(config), processor


def _idefics3(tokenizer, template, text, seed):
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    tokenizer.add_tokens(["<|begin_of_text|>", "<global-img>"], special_tokens=True)
    side, patch, scale = 56, 14, 2
    images = Idefics3ImageProcessor(
        size={"longest_edge": side}, max_image_size={"longest_edge": side}, do_image_splitting=False
    )
    length = (side // patch // scale) ** 2
    processor = Idefics3Processor(images, tokenizer, image_seq_len=length, chat_template=template)
    config = Idefics3Config(
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), "max_position_embeddings": 512} | text,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "patch_size": patch,
            "initializer_range": 0.1,
        },
        image_token_id=processor.image_token_id,
        scale_factor=scale,
        pad_token_id=0,
    )
    set_seed(seed)
    return Idefics3ForConditionalGeneration(config), processor
