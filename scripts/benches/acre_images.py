"""Step time of ACRE with images against TRL's GRPO on the same model, prompts and completions, in one process.

    python -m scripts.benches.acre_images --rounds 5 --json bench.json

The model is a small Qwen2.5-VL with random weights and characters for tokens. Per image token its vision tower does
0.6 of the work of its language model (0.4 in the 7B), and its output head does little. All arms generate for real;
what was generated is then replaced by one fixed, well-formed response per row, so that every arm takes the same step.
The arms are `grpo` (TRL's trainer), `group` and `row` (ACRE with one shuffle per prompt group, the default, and with
one per row), `row-forget` (the same without the memory of image features; a group has one prompt and needs none) and
`plain` (one whole forward pass per row, nothing shared). Reported are CPU seconds, which other programs hardly
disturb (those of the wall on a GPU), and the median over rounds of the ratio to the `grpo` step of the same round;
then operations and the most bytes at once of one more step.
"""

import argparse
import random
import statistics
import string
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from typing import Any
from unittest import mock

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
from align.models.second_pass.forward import score_letters
from rewards import answer_consistency
from scripts.benches.acre import AS_TRL, FixedACRE, FixedGRPO, constant, take_step
from scripts.benches.counted import cost_of
from scripts.benches.device import add_device, clock, on_device, ratios_of
from scripts.benches.random_model import WORDS
from scripts.harness import Options, write_numbers

ARMS = {
    "grpo": {},
    "group": {},
    "row": {},
    "row-forget": {"remember_images": False},
    "plain": {"remember_images": False, "share_prompts": False},
}
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
        args = ACREConfig(**settings, **AS_TRL, permutation_scope="row" if arm.startswith("row") else "group")
        how = {"processing_class": processor, "render_prompt": TEMPLATE.render}
        trainer = FixedACRE(model, [answer_consistency], args, data, **how)
    trainer.train()
    return trainer


def step_seconds(
    trainer: GRPOTrainer, arm: str, batch: list[dict[str, Any]], clock: Callable[[], float]
) -> tuple[float, float]:
    """Times one whole step (generation to optimizer), and the forward passes for second answers in it."""
    scoring = 0.0

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal scoring
        started = clock()
        scores = score_letters(*given, **named, **ARMS[arm])
        scoring += clock() - started
        return scores

    with mock.patch("align.methods.acre.trainer.score_letters", timed):
        started = clock()
        take_step(trainer, batch)
        return clock() - started, scoring


def count(trainers: dict[str, GRPOTrainer], batch: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Counts a step of TRL's trainer and one of ACRE as it is by default."""
    grpo, acre = (
        cost_of(trainers[arm].model, partial(take_step, trainers[arm], batch), device) for arm in ("grpo", "group")
    )
    ratios = {"flops_ratio": acre.flops / grpo.flops, "peak_ratio": acre.peak_bytes / grpo.peak_bytes}
    print(f"group over grpo: {ratios['flops_ratio']:.3f} of the FLOPs, {ratios['peak_ratio']:.3f} of the peak bytes")
    return {"grpo": asdict(grpo), "group": asdict(acre)} | ratios


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS)[1:], default=list(ARMS)[1:], help="beside `grpo`")
    parser.add_argument("--num_images", type=int, default=4)
    parser.add_argument("--image_side", type=int, default=224, help="Pixels; 224 makes 64 tokens.")
    parser.add_argument("--completion_tokens", type=int, default=64)
    parser.add_argument("--size", choices=SIZES, default="small")
    add_device(parser)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = make_rows(arguments.rounds, arguments.num_images, arguments.image_side)
    arms = ["grpo", *arguments.arms]
    trainers = {arm: make_trainer(arm, arguments, rows) for arm in arms}
    times: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
    ticks = clock(arguments, "cpu")
    for number, row in enumerate(rows):
        for arm in arms if number % 2 else reversed(arms):
            times[arm].append(step_seconds(trainers[arm], arm, [row] * 8, ticks))
        print(f"round {number}: " + ", ".join(f"{arm} {times[arm][-1][0]:.2f} s" for arm in arms), flush=True)
    tokens = len(trainers["grpo"]._tokenize_prompts([_message(rows[0])])[0][0])
    print(f"{tokens} prompt tokens, 8 completions of {arguments.completion_tokens}, {arguments.rounds} rounds")
    result: dict[str, Any] = vars(arguments) | {"json": None, "prompt_tokens": tokens}
    for arm in arms:
        steps, scoring = zip(*times[arm], strict=True)
        median, low, high = ratios_of(steps, [each for each, _ in times["grpo"]])
        result[arm] = {"step_seconds": steps, "scoring_seconds": scoring}
        result[arm] |= {"median_ratio": median, "ratio_quartiles": [low, high]}
        print(
            f"{arm:11s} {statistics.median(steps):6.2f} CPU s, {statistics.median(scoring):5.2f} for second "
            f"answers  ratio {median:.3f} (quartiles {low:.3f}-{high:.3f})"
        )
    if "group" in arms:
        result["counted"] = count(trainers, [rows[0]] * 8, arguments.device)
    write_numbers(arguments.json, result)


def _message(row: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "image", "image": image} for image in row["images"]]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": row["prompt"][0]["content"]}]}]


if __name__ == "__main__":
    main()
