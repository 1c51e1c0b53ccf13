"""Builds the lab of Crome: a tiny language model, preference pairs, what the rules make of them, and evaluation pairs.

    python -m scripts.labs.crome.make --out recipes/crome/assets/lab

The world is that of `world.py`. In `train.jsonl` the better answer is the decorated one in 85 % of the pairs;
`augmented.jsonl` adds upgrades, downgrades and as many irrelevant-query ties as there are pairs; `eval.jsonl` has, for
each question, pairs whose decoration speaks for the worse answer, for the better one, and for none.

The model (2 layers of width 64, one token per word) has read questions with answers and no labels. Half of them are
decorated, whatever they say; who wrote them was more precise about what a question asks for first. Three minutes on
one core; the same seed gives the same data everywhere and the same weights on the same machine.
"""

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from scripts.labs.crome.pairs import Row, causal_rows, evaluation_rows, neutral_rows, preference_rows
from scripts.labs.crome.world import (
    CLOSINGS,
    OPENERS,
    PRECISE,
    QUESTIONS,
    SENTENCES,
    TOPIC_OF,
    TOPICS,
    VAGUE,
    Rules,
    draw_answer,
    draw_question,
    draw_style,
)

NUM_TRAIN, NUM_EVAL = 500, 150
WORD = r"\w+|[^\w\s]|\n"
SPECIAL = ["<pad>", "<eos>", "<unk>"]
DECORATED_RATE = 0.5
BATCH_SIZE, STEPS, LEARNING_RATE = 64, 3000, 6e-3
DRAW = 2  # of initial weights; from most draws a model of 1,000 steps does not learn to read what matters more
IGNORED = -100


def make_data(seed: int) -> dict[str, list[Row]]:
    """Makes the rows of every file."""
    train = preference_rows(f"recipe {seed}", NUM_TRAIN)
    causal = causal_rows(train, Rules())
    ties = neutral_rows(train, train, NUM_TRAIN, random.Random(f"ties of recipe {seed}"))
    augmented = [{"attribute": "", "origin": row["id"]} | row for row in train] + causal + ties
    random.Random(seed).shuffle(augmented)
    return {"train": train, "augmented": augmented, "eval": evaluation_rows(f"recipe {seed}", NUM_EVAL)}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per word, sign and line break of the world; spaces are not tokens."""
    texts = [*TOPICS, *TOPIC_OF, *PRECISE, *VAGUE, *QUESTIONS, *SENTENCES, *OPENERS, *CLOSINGS, "\n", "-", "!", "."]
    words = sorted({word for text in texts for word in re.findall(WORD, re.sub(r"\{\w*\}", "", text))})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    names = dict(zip(("pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=128, **names)


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Makes the untrained model."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(**ends)
    return model


def read_texts(rng: random.Random) -> Iterator[str]:
    """Yields questions with answers."""
    while True:
        question = draw_question(rng)
        answer = draw_answer(question, rng, careful=True)
        if rng.random() < DECORATED_RATE:
            answer = answer._replace(style=draw_style(rng))
        yield f"{question}\n{answer.text}<eos>"


def pretrain(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: random.Random, steps: int) -> None:
    """Teaches the model the language of the world and prints the loss."""
    texts = read_texts(rng)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    for step in range(1, steps + 1):
        batch = tokenizer([next(texts) for _ in range(BATCH_SIZE)], padding=True, return_tensors="pt")
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


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Writes one row per line."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    """Writes the data and the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("recipes/crome/assets/lab"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the model")
    parser.add_argument("--data_only", action="store_true", help="leave the model as it is")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, rows in make_data(arguments.seed).items():
        write_rows(arguments.out / f"{name}.jsonl", rows)
    if arguments.data_only:
        return
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # the model is too small to share out, and the order of sums stays fixed
    tokenizer = make_tokenizer()
    *_, model = (make_model(tokenizer) for _ in range(DRAW))
    pretrain(model, tokenizer, random.Random(f"texts {arguments.seed}"), arguments.steps)
    model.save_pretrained(arguments.out / "model")
    tokenizer.save_pretrained(arguments.out / "model")


if __name__ == "__main__":
    main()
