"""Step time of ACRE with images against TRL's GRPO on the same model, prompts and completions, in one process.

    python -m scripts.benches.acre_images --rounds 5 --json bench.json

The model is a small Qwen2.5-VL with random weights and characters for tokens. Per image token its vision tower does
0.6 of the work of its language model (0.4 in the 7B), and its output head does little. All arms generate for real;
what was generated is then replaced by one fixed, well-formed response per row, so that every arm takes the same step.
The arms are `grpo` (TRL's trainer), `group` (ACRE with TRL's update, one shuffle per prompt group) and `once` (ACRE
that reads a group's prompt and images once in its update as well; every row teaches). Reported are CPU seconds, which
other programs hardly disturb (those of the wall on a GPU), and the median over rounds of the ratio to the `grpo` step
of the same round; then operations and the most bytes at once of one more step.
"""

import argparse
import random
import string
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    set_seed,
)
from trl import GRPOConfig, GRPOTrainer

from align.data.questions.templates import PromptTemplate
from align.methods.acre.config import ACREConfig
from scripts.benches.acre import AS_TRL, FixedACRE, FixedGRPO, constant, take_step
from scripts.benches.counted import cost_of
from scripts.benches.device import add_turns, clock, in_turns, on_device, told_costs, told_ratio
from scripts.benches.random_model import WORDS
from scripts.harness import Options, write_numbers

ARMS = ("grpo", "group", "once")
# Of the language model and the vision tower. `large` is for GPUs; a head is 32 wide in the others, 64 there.
SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "tiny": (
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
        {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2},
    ),
    "small": (
        {"hidden_size": 256, "intermediate_size": 683, "num_hidden_layers": 6, "num_attention_heads": 8},
        {"depth": 2, "hidden_size": 128, "intermediate_size": 341, "num_heads": 4},
    ),
    "large": (
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 8, "num_attention_heads": 16},
        {"depth": 6, "hidden_size": 512, "intermediate_size": 1408, "num_heads": 8},
    ),
}
MARKS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = PromptTemplate("{question}\n{options}\nThink in <think> tags, then give one letter in <answer> tags.")


def make_rows(count: int, num_images: int, side: int) -> list[dict[str, Any]]:
    """Makes questions about noise."""
    rng, noise = random.Random(0), np.random.default_rng(0)
    rows = []
    for i in range(count):
        question = f"Question {i}: " + " ".join(rng.choices(WORDS, k=16)) + "?"
        options = [" ".join(rng.sample(WORDS, 3)) for _ in range(4)]
        pixels = noise.integers(0, 255, (num_images, side, side, 3), dtype=np.uint8)
        row = {"prompt": TEMPLATE.render(question, options), "question": question, "options": options}
        rows.append(row | {"answer": rng.randrange(4), "images": [Image.fromarray(each) for each in pixels]})
    return rows


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Builds a tokenizer of characters."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *string.printable])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **names)
    fast.add_tokens(MARKS, special_tokens=True)
    return fast


def make_model(size: str = "small") -> tuple[Any, Any]:
    """Builds the model and its processor."""
    text, vision = SIZES[size]
    is_wide = text["hidden_size"] // text["num_attention_heads"] == 64
    tokenizer = make_tokenizer()
    start, end, image, video, *_ = tokenizer.convert_tokens_to_ids(MARKS)
    rope = {"rope_type": "default", "mrope_section": [8, 12, 12] if is_wide else [4, 6, 6], "rope_theta": 10000.0}
    language = {"num_key_value_heads": text["num_attention_heads"] // 2, "vocab_size": len(tokenizer)}
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = Qwen2_5_VLConfig(
        text_config=text | language | {"rope_parameters": rope} | ends,
        vision_config=vision | {"out_hidden_size": text["hidden_size"], "fullatt_block_indexes": [1]},
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    template = (files("trl") / "chat_templates" / "qwen2_5_vl.jinja").read_text()
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=template
    )
    set_seed(0)
    return Qwen2_5_VLForConditionalGeneration(config), processor


def alternating(completions: list[Any], second_choices: Any, **kwargs: Any) -> list[float]:
    """Pays every second completion; it could depend on second answers, which are therefore asked for."""
    return constant(completions)


def make_trainer(arm: str, arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> GRPOTrainer:
    """Builds one arm with its own copy of the model, and takes a first step to warm up."""
    model, processor = make_model(arguments.size)
    model = model.to(getattr(torch, arguments.dtype))
    settings: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": 8,
        "num_generations": 8,
        "max_completion_length": arguments.completion_tokens,
        "generation_kwargs": {"min_new_tokens": arguments.completion_tokens},
        "gradient_checkpointing": False,
    } | on_device(arguments)
    data = Dataset.from_list(rows)
    if arm == "grpo":
        trainer = FixedGRPO(model, [constant], GRPOConfig(**settings), data, processing_class=processor)
    else:
        args = ACREConfig(**settings, **AS_TRL if arm == "group" else {})
        how = {"processing_class": processor, "render_prompt": TEMPLATE.render}
        trainer = FixedACRE(model, [alternating], args, data, **how)
    trainer.train()
    return trainer


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--num_images", type=int, default=4)
    parser.add_argument("--image_side", type=int, default=224, help="Pixels; 224 makes 64 tokens.")
    parser.add_argument("--completion_tokens", type=int, default=64)
    parser.add_argument("--size", choices=SIZES, default="small")
    add_turns(parser, 5, threads=1, clock=None)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    rows = make_rows(arguments.rounds, arguments.num_images, arguments.image_side)
    trainers = {arm: make_trainer(arm, arguments, rows) for arm in ARMS}
    now = clock(arguments, "cpu")

    def take(arm: str, number: int) -> float:
        started = now()
        take_step(trainers[arm], [rows[number]] * 8)
        return now() - started

    seconds = in_turns(ARMS, arguments.rounds, take)
    parts = [{"type": "image", "image": image} for image in rows[0]["images"]]
    parts.append({"type": "text", "text": rows[0]["prompt"][0]["content"]})
    tokens = len(trainers["grpo"]._tokenize_prompts([[{"role": "user", "content": parts}]])[0][0])
    print(f"{tokens} prompt tokens, 8 completions of {arguments.completion_tokens}, {arguments.rounds} rounds")
    told: dict[str, Any] = {arm: told_ratio(arm, seconds[arm], seconds["grpo"]) for arm in ARMS}
    costs = {arm: cost_of(each.model, partial(take_step, each, [rows[0]] * 8), arguments.device)
             for arm, each in trainers.items()}  # fmt: skip
    counted = told_costs(costs, lambda arm: "grpo")
    write_numbers(
        arguments.json, vars(arguments) | {"json": None, "prompt_tokens": tokens}, told, {"counted": counted}
    )


if __name__ == "__main__":
    main()
