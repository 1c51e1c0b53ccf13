"""Made rows in the schemas of public archives, for the small form of a set: the truth is known, the columns are real.

Headlines are words of the lab's language (`scripts/labs/deconfound/world.py`). Hot words are written when many people
are about, and people who are about click on anything, so a raw rate of clicks pays for hot words too much.
"""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from scripts.harness import write_rows
from scripts.labs.deconfound.world import NUM_HOT, REGIMES, WORDS_PER_HEADLINE, word_worths
from scripts.labs.tiny_models import words_tokenizer

WORD = r"[A-Za-z]+|[^A-Za-z ]"
EXTRA = ["day", "hour", "log", "_", "views", "story", "\n", *"<>+-.0123456789"]
START = datetime(2014, 1, 11, tzinfo=UTC)
NUM_TESTS, PACKAGES, NUM_POSTS = 600, 4, 2400
TAUGHT = 0.75  # of all rows; the later ones are held out
Array = np.ndarray[Any, np.dtype[Any]]


class Language:
    """Words with their worth, of which the first ones are hot."""

    def __init__(self, seed: int) -> None:
        self.worths = word_worths(REGIMES["entangled"], seed)
        self.words = np.array(list(self.worths))
        self.values = np.array(list(self.worths.values()))

    def write(self, pull: Array, rng: np.random.Generator) -> tuple[list[str], Array]:
        """Draws a headline for each pull towards hot words; returns them and their worth."""
        hot = rng.random((len(pull), WORDS_PER_HEADLINE)) < 1 / (1 + np.exp(0.85 - pull))[:, None]
        drawn = np.where(
            hot, rng.integers(NUM_HOT, size=hot.shape), rng.integers(NUM_HOT, len(self.words), size=hot.shape)
        )
        worth = self.values[drawn].sum(axis=1)
        return [" ".join(self.words[row]) for row in drawn], (worth - worth.mean()) / worth.std()


def make_upworthy(folder: Path, seed: int) -> None:
    """Writes packages of tests in the columns of the Upworthy Research Archive, and a tiny model of Pythia's kind."""
    rng, language = np.random.default_rng([seed, 41]), Language(seed)
    day, hour = np.sort(rng.uniform(0, 400, NUM_TESTS)), rng.integers(0, 24, NUM_TESTS)
    about = _standard(0.004 * day + 0.08 * hour + 0.4 * rng.normal(size=NUM_TESTS))
    of_test = np.repeat(np.arange(NUM_TESTS), PACKAGES)
    texts, worth = language.write(1.2 * about[of_test], rng)
    shown = rng.integers(2500, 4500, len(texts))
    rate = 0.015 * np.exp(0.15 * worth + 0.9 * about[of_test])
    clicks = rng.binomial(shown, np.clip(rate, 0, 0.5))
    rows = [
        {
            "created_at": str(START + timedelta(days=float(day[test]), hours=int(hour[test]))),
            "clickability_test_id": f"t{test}",
            "headline": text,
            "lede": f"story {test}",
            "impressions": int(views),
            "clicks": int(number),
        }
        for test, text, views, number in zip(of_test, texts, shown, clicks, strict=True)
    ]
    cut = int(NUM_TESTS * TAUGHT) * PACKAGES
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[:cut]), ("test", rows[cut:])):
        with (folder / f"upworthy-{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(part)
    make_model(language.words.tolist(), folder / "model", seed)


def make_posts(folder: Path, seed: int) -> None:
    """Writes questions in the columns of a StackExchange dump, and a tiny model of Pythia's kind."""
    rng, language = np.random.default_rng([seed, 42]), Language(seed)
    day = np.sort(rng.uniform(0, 800, NUM_POSTS))
    about = rng.normal(size=NUM_POSTS)
    texts, worth = language.write(1.2 * about, rng)
    views = np.exp(6 + 0.8 * about + 0.2 * rng.normal(size=NUM_POSTS)).astype(int)
    score = np.round(3 + 2 * worth + 2.5 * _standard(np.log1p(views)) + rng.normal(size=NUM_POSTS)).astype(int)
    rows: list[Mapping[str, Any]] = [
        {
            "Title": " ".join(text.split()[:4]),
            "Body": f"<p>{' '.join(text.split()[4:])}</p>",
            "Score": int(score[i]),
            "ViewCount": int(views[i]),
            "CreationDate": (START + timedelta(days=float(day[i]))).isoformat(),
            "Tags": f"<story {i % 3}>",
            "OwnerUserId": f"u{i % 50}",
        }
        for i, text in enumerate(texts)
    ]
    cut = int(NUM_POSTS * TAUGHT)
    write_rows(folder / "posts-train.jsonl", rows[:cut])
    write_rows(folder / "posts-test.jsonl", rows[cut:])
    make_model(language.words.tolist(), folder / "model", seed)


def make_model(words: Sequence[str], out: Path, seed: int) -> None:
    """Saves an untrained reward model of Pythia's architecture, with a token per word."""
    tokenizer = words_tokenizer([*EXTRA, *words], WORD, model_max_length=64)
    tokenizer.save_pretrained(out)
    save_untrained("gpt_neox", "scalar", out, out, seed)


def save_untrained(architecture: str, kind: str, tokenizer: Path, out: Path, seed: int) -> None:
    """Saves a model of two layers of width 64 with the tokenizer of a folder; a `pairwise` one writes text."""
    words = AutoTokenizer.from_pretrained(tokenizer)
    words.add_tokens([AddedToken(letter, single_word=True) for letter in "AB" if kind == "pairwise"])
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        architecture, vocab_size=len(words), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, intermediate_size=128, max_position_embeddings=256, num_labels=1,
        pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=words.eos_token_id,
        initializer_range=0.05,
    )  # fmt: skip
    auto = AutoModelForCausalLM if kind == "pairwise" else AutoModelForSequenceClassification
    auto.from_config(config).save_pretrained(out)
    words.save_pretrained(out)


def _standard(values: Array) -> Array:
    return np.asarray((values - values.mean()) / values.std())
