"""The tiny language models that labs train: their tokenizers, their shape, and how they are taught."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
CHARACTERS = ("\n", *map(chr, range(32, 127)))
SPECIAL = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
IGNORED = -100
Batch = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]  # inputs, mask and labels, `(B, T)` each


class Stage(NamedTuple):
    """One stage of a warm start."""

    name: str
    steps: int
    learning_rate: float


def make_tokenizer(units: Sequence[str] = CHARACTERS, split: str = r"[\s\S]") -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token per unit and one per tag; by default a unit is a printable ASCII character."""
    inner = _tokens(units)
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")
    inner.decoder = decoders.Fuse()  # without it, decoded units are joined with spaces
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=128,
        **SPECIAL,
    )
    # Not special, so that decoding without special tokens keeps the tags for the parser.
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return tokenizer


def words_tokenizer(words: Sequence[str], word: str | None = None, **settings: Any) -> PreTrainedTokenizerFast:
    """Makes a tokenizer with one token for each word, which a pattern finds or spaces part; spaces are not tokens."""
    inner = _tokens(words)
    parted = pre_tokenizers.WhitespaceSplit()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(word), "removed", invert=True) if word else parted
    return PreTrainedTokenizerFast(tokenizer_object=inner, **{"model_max_length": 128} | SPECIAL | settings)


def _tokens(units: Sequence[str]) -> Tokenizer:
    vocabulary = {text: number for number, text in enumerate([*SPECIAL.values(), *units])}
    return Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))


def make_model(tokenizer: PreTrainedTokenizerFast, **settings: Any) -> LlamaForCausalLM:
    """Makes an untrained model of two layers of width 64."""
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.1,  # at the default of 0.02 no lookup forms at this width
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), bos_token_id=None, **ends, **shape | settings))
    model.generation_config = GenerationConfig(**ends)
    return model


def whole_texts(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Batch:
    """Tokenises texts, all of which is to be learnt."""
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
    return batch["input_ids"], batch["attention_mask"], labels


def loss_of(model: Any, batch: Batch) -> torch.Tensor:
    """Returns the mean loss of the tokens that have labels."""
    ids, mask, labels = batch
    logits = model(ids, attention_mask=mask).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)


def steps_of(
    parameters: Iterable[torch.nn.Parameter], steps: int, learning_rate: float, warm: float = 0.05
) -> Iterator[int]:
    """Yields the number of each step, and takes it with the gradients that are there afterwards."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=warm)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        yield step
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()


def teach(
    model: Any, batches: Iterator[Batch], steps: int, learning_rate: float, warm: float = 0.05, told: str | None = None
) -> None:
    """Teaches a model a batch a step; what is `told` stands before every hundredth loss, not shown without."""
    for step in steps_of(model.parameters(), steps, learning_rate, warm):
        loss = loss_of(model, next(batches))
        loss.backward()
        if told is not None and step % 100 == 0:
            print(f"{told}{step:4d}  loss {loss.item():.4f}", flush=True)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Saves a model; the tokenizer last, so that its file tells a whole one from one that was cut off."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
