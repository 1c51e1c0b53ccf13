"""Builds the lab of `recipes/grpo/quickstart-tools.yaml`: a tiny policy that could look prices up, and seldom does.

    python -m scripts.labs.tools.make --out recipes/grpo/assets/shop

A prompt asks what an item costs; `shop.py` beside the data knows, and nothing in the prompt tells. The policy (2
layers of width 64, one token for each word and mark) was taught to call `price` and to answer with what it is told,
and then to do so in 30 % of its answers only, for another item in 30 % of those, and to guess a price else. Every
conversation had prices of its own, so that there is no table to remember. Its chat template writes tools, calls and
results, and its tokenizer says how calls are read. Half a minute on one core; the same seed gives the same data
everywhere and the same weights on one machine.
"""

import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.harness import Options, write_rows
from scripts.labs.acre.make import BATCH_SIZE
from scripts.labs.tiny_models import IGNORED, Batch, make_model, make_tokenizer, save, teach

NUM_EVAL = 8  # items; no prompt of training asks for them


class Stage(NamedTuple):
    """One stage of the warm start: the shares of demonstrations with a call, and of these for another item."""

    steps: int
    asks: float
    wrong_item: float


STAGES = (Stage(200, 1.0, 0.0), Stage(100, 0.3, 0.3))  # to repeat what was asked and told, and then the policy
LEARNING_RATE = 4e-3
MARKS = ('{"name": "', '", "arguments": {"', '": "', '"}}', "<tool_call>", "</tool_call>")
WORDS = ("tools", "user", "assistant", "tool", "What", "does", "the", "cost", "price", "item", "error", "there", "is")
SIGNS = tuple("\n :?!.,'{}_")
TEMPLATE = (
    r"{% if tools %}tools:{% for tool in tools %} {{ tool.function.name }}{% endfor %}{{ '\n' }}{% endif %}"
    r"{% for message in messages %}{{ message.role }}: {{ message.content }}"
    r"{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    r"{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    r"{% if add_generation_prompt %}assistant: {% endif %}"
)
RESPONSE = {  # how transformers reads what the policy wrote
    "defaults": {"role": "assistant"},
    "start_anchor": "assistant: ",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<eos>\s*", "content": "text"},
    },
}


def load_shop(folder: Path) -> ModuleType:
    """Loads `shop.py`, from which the items come."""
    spec = importlib.util.spec_from_file_location("shop", folder / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    shop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shop)
    return shop


def make_row(item: str, shop: ModuleType) -> dict[str, Any]:
    """Makes the prompt that asks for an item, with the item and its price in the table."""
    prompt = [{"role": "user", "content": f"What does the {item} cost?"}]
    return {"id": item, "prompt": prompt, "asked": item, "answer": str(shop.TABLE[item])}


def demonstration(shop: ModuleType, stage: Stage, rng: random.Random) -> list[dict[str, Any]]:
    """Draws a conversation: a guess, or a call and the price that it gave."""
    item, price = rng.choice(shop.ITEMS), rng.choice(shop.PRICES)
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"What does the {item} cost?"}]
    if rng.random() < stage.asks:
        named = rng.choice(shop.ITEMS) if rng.random() < stage.wrong_item else item
        call = {"type": "function", "function": {"name": "price", "arguments": {"item": named}}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "name": "price", "content": str(price)})
    return [*messages, {"role": "assistant", "content": f"<answer>{price}</answer>"}]


def make_policy(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Makes the untrained policy, whose heads are as wide as vLLM's CPU attention wants them."""
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    return make_model(tokenizer, max_position_embeddings=256, tie_word_embeddings=True, **heads)


def make_batch(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Batch:
    """Tokenises conversations, of which only the policy's own words are learnt."""
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    start, end = tokenizer.convert_tokens_to_ids("assistant"), tokenizer.eos_token_id
    labels = torch.full_like(batch["input_ids"], IGNORED)
    for number, line in enumerate(batch["input_ids"].tolist()):
        is_own = False
        for place, token in enumerate(line):
            if is_own:
                labels[number, place] = token
            is_own = (is_own or line[max(0, place - 2)] == start) and token != end
    return batch["input_ids"], batch["attention_mask"], labels


def warm_start(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, shop: ModuleType, rng: random.Random
) -> None:
    """Teaches the policy to call and to repeat what it was told, and then to guess most of the time."""

    def drawn(stage: Stage) -> Iterator[Batch]:
        while True:
            talks = [demonstration(shop, stage, rng) for _ in range(BATCH_SIZE)]
            yield make_batch(tokenizer, tokenizer.apply_chat_template(talks, tools=[shop.price], tokenize=False))

    for stage in STAGES:
        teach(model, drawn(stage), stage.steps, LEARNING_RATE, told="")


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the policy."""
    parser = Options(__doc__)
    parser.add_out("recipes/grpo/assets/shop")
    arguments = parser.parse_args(argv)
    rng, shop = random.Random(arguments.seed), load_shop(arguments.out)
    items = rng.sample(shop.ITEMS, len(shop.ITEMS))
    for name, part in (("train", items[NUM_EVAL:]), ("eval", items[:NUM_EVAL])):
        write_rows(arguments.out / f"{name}.jsonl", [make_row(item, shop) for item in part])
    if arguments.data_only:
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    units = [*MARKS, *WORDS, *shop.ITEMS, *map(str, shop.PRICES), *SIGNS]  # one token each
    marks = "|".join(mark.translate({ord(sign): f"\\{sign}" for sign in '{}"<>/'}) for mark in MARKS)
    tokenizer = make_tokenizer(units, rf"{marks}|\w+|[\s\S]")
    tokenizer.chat_template, tokenizer.response_template = TEMPLATE, RESPONSE
    model = make_policy(tokenizer)
    warm_start(model, tokenizer, shop, rng)
    save(model, tokenizer, arguments.out / "model")


if __name__ == "__main__":
    main()
