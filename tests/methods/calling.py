"""A trainer whose completions are written in its prompts, so that every turn and call is known."""

import json
import re
from pathlib import Path

from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer
from transformers import AutoTokenizer

from align.assets import asset_dir
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer

SHOP = asset_dir("recipes") / "grpo" / "assets" / "shop"
TOOLS = '''\
import os
import random
import time


def price(item: str) -> int:
    """Looks up a price.

    Args:
        item: What is asked for.
    """
    if item == "hang":
        time.sleep(60)
    if item == "die":
        os._exit(7)
    return {"pear": 3, "plum": 4}[item]


async def draw(most: int, *, kind: str = "dice") -> list:
    """Draws numbers.

    Args:
        most: The largest.
        kind: Of what.
    """
    return [random.randint(1, most) for _ in range(3)]


class Counter:
    def __init__(self):
        self.made = self.total = 0

    def reset(self, start=0, **row):
        if start == "broken":
            raise RuntimeError("no counter today")
        self.total = start
        return f" [{start}]"

    def add(self, number: int) -> int:
        """Adds to the total.

        Args:
            number: How much.
        """
        if number == 13:
            os._exit(13)
        self.total += number
        return self.total

    def get_reward(self):
        return float(self.total)


class Shelf:
    def reset(self, **row):
        self.taken = []

    def take(self, item: str) -> str:
        """Takes an item.

        Args:
            item: Which.
        """
        self.taken.append(item)
        return " ".join(self.taken)


class Store(Shelf):
    def fill(self, gigabytes: int) -> str:
        """Fills the memory.

        Args:
            gigabytes: How much of it.
        """
        self.taken.append(bytearray(gigabytes * 2**30))
        return "full"

    def get_reward(self):
        return float(len(self.taken))
'''


def calling_tokenizer():
    """Builds the tokenizer of characters with the template of the shop, which writes and reads calls."""
    shop, tokenizer = AutoTokenizer.from_pretrained(SHOP / "model"), tiny_tokenizer()
    tokenizer.chat_template, tokenizer.response_template = shop.chat_template, shop.response_template
    return tokenizer


def call(tool: str, **arguments) -> str:
    """Writes a turn that calls a tool."""
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


class Scripted(GuardedGRPOTrainer):
    """Writes the turns that stand in a prompt, separated by `|`; every second row ends in an `!`."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        texts = self._tokenizer.batch_decode(prompt_ids)
        return [self._turn(text, "!" * (place % 2)) for place, text in enumerate(texts)], None

    def _turn(self, text, end):
        asked = text.partition("user: ")[2].partition("\n")[0]
        turns, place = re.sub(r" \[\S+\]$", "", asked).split(" | "), text.count("\ntool: ")
        turn = turns[place] if place < len(turns) - 1 else turns[-1] + end
        return [*self._tokenizer.encode(turn), self._tokenizer.eos_token_id]


def length(completions, **kwargs):
    """Pays for the last message."""
    return [float(len(completion[-1]["content"])) for completion in completions]


def trainer_of(
    folder: Path,
    scripts,
    *,
    rows=(),
    rewards=(length,),
    kind=Scripted,
    rules=None,
    tools=None,
    config=GRPOConfig,
    **settings,
):
    """Builds a trainer with one row for each script, two completions each."""
    extra = list(rows) or [{}] * len(scripts)
    data = [
        {"id": str(place), "prompt": [{"role": "user", "content": " | ".join(turns)}]} | more
        for place, (turns, more) in enumerate(zip(scripts, extra, strict=True))
    ]
    common = {
        "output_dir": str(folder / "run"), "per_device_train_batch_size": 2 * len(scripts), "num_generations": 2,
        "max_completion_length": 300, "max_steps": 1, "learning_rate": 1e-2, "use_cpu": True, "bf16": False,
        "report_to": "none", "save_strategy": "no", "logging_steps": 1, "log_completions": True,
        "num_completions_to_print": 0, "gradient_checkpointing": False, "shuffle_dataset": False,
    }  # fmt: skip
    return kind(
        tiny_model(max_position_embeddings=1024),
        reward_funcs=list(rewards),
        reward_rules=rules,
        args=config(**common | settings),
        train_dataset=Dataset.from_list(data),
        processing_class=calling_tokenizer(),
        **tools or {},
    )
