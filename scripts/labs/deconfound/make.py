"""Builds the lab of DeconfoundLM: a table of headlines with clicks, headlines whose worth is known, a tiny model.

    python -m scripts.labs.deconfound.make --out recipes/deconfound/assets/lab

The world is that of `world.py`, by default in the regime `unobserved`: hot words are worth something and
go with popularity, popularity moves clicks by 2.5 per unit, and an unobserved cause moves both. `train.csv` and
`eval.csv` have `prompt`, `headline`, `clicks`, `popularity` (the confounder), `shock` (the instrument) and `author`;
`worth.csv` has headlines that nobody clicked on, with their true worth; `prompts.jsonl` has prompts for a policy.

The model (2 layers of width 64, one token per word) has read headlines of the language and no clicks. One minute on
one core; the same seed gives the same data everywhere and the same weights on the same machine.
"""

import argparse
import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.labs.deconfound.world import REGIMES, World, draw_world

NUM_TRAIN, NUM_EVAL, NUM_WORTH, NUM_PROMPTS = 4000, 1000, 1000, 64
REGIME, PROMPT = "unobserved", "Headline:\n"
COLUMNS = ("prompt", "headline", "clicks", "popularity", "shock", "author")
WORD = r"[A-Za-z]+|[^A-Za-z ]"
SPECIAL = ["<pad>", "<eos>", "<unk>"]
EXTRA = ["Headline", ":", "\n", "popularity", *"+-.0123456789"]  # the last ones for `estimator: input`
BATCH_SIZE, STEPS, LEARNING_RATE = 64, 400, 5e-3
IGNORED = -100


def table_rows(world: World, rows: slice) -> list[tuple[Any, ...]]:
    """Makes rows of a table."""
    columns = (world.text, world.outcome, world.popularity, world.shock)
    found = zip(*(column[rows] for column in columns), world.author[rows], strict=True)
    return [(PROMPT, text, *(f"{x:.5f}" for x in numbers), f"a{author}") for text, *numbers, author in found]


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per word, sign and line break of the world; spaces are not tokens."""
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *EXTRA, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    names = dict(zip(("pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=64, **names)


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Makes the untrained model."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(**ends)
    return model


def pretrain(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, headlines: Sequence[str], seed: int, steps: int
) -> None:
    """Teaches the model to write headlines and prints the loss."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    for step in range(1, steps + 1):
        texts = [f"{PROMPT}{headlines[place]}<eos>" for place in rng.integers(len(headlines), size=BATCH_SIZE)]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        loss = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"{step:4d}  loss {loss.item():.4f}", flush=True)


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table."""
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("recipes/deconfound/assets/lab"))
    parser.add_argument("--regime", choices=REGIMES, default=REGIME)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the model")
    parser.add_argument("--data_only", action="store_true", help="leave the model as it is")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    world = draw_world(REGIMES[arguments.regime], NUM_TRAIN + NUM_EVAL, arguments.seed)
    for name, rows in (("train", slice(NUM_TRAIN)), ("eval", slice(NUM_TRAIN, None))):
        write_csv(arguments.out / f"{name}.csv", COLUMNS, table_rows(world, rows))
    known = zip(world.new_text[:NUM_WORTH], world.new_worth[:NUM_WORTH], strict=True)
    write_csv(arguments.out / "worth.csv", ("headline", "worth"), ((text, f"{worth:.5f}") for text, worth in known))
    prompts = (json.dumps({"id": f"p{number}", "prompt": PROMPT}) + "\n" for number in range(NUM_PROMPTS))
    (arguments.out / "prompts.jsonl").write_text("".join(prompts), encoding="utf-8")
    if arguments.data_only:
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    tokenizer = make_tokenizer([*world.text, *world.new_text])
    model = make_model(tokenizer)
    pretrain(model, tokenizer, world.new_text, arguments.seed, arguments.steps)
    model.save_pretrained(arguments.out / "model")
    tokenizer.save_pretrained(arguments.out / "model")


if __name__ == "__main__":
    main()
