"""The small world of `lab.py`: invented headlines, what they are worth, and what else moves their clicks.

A headline is eight words. Hot words go with popularity, the confounder; every word adds its worth to the outcome:

    clicks = worth of the words + 2.5 * popularity + unobserved cause + noise

Each regime changes one thing about how words, popularity, a shock that moves popularity (the instrument), and clicks
hang together. Everything is in standard deviations of what it has in the main regime.
"""

from typing import Any, NamedTuple

import numpy as np

NUM_HOT, NUM_PLAIN, WORDS_PER_HEADLINE = 24, 96, 8
HOT_RATE = 0.3
GAMMA = 2.5
SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu"]
Array = np.ndarray[Any, np.dtype[Any]]


class Regime(NamedTuple):
    """What causes what, and how strongly.

    Attributes:
        title: What is special about it.
        hot_share: Share of the variance of a headline's worth that is due to hot words.
        by_text: Effect of hot words on popularity.
        by_shock: Effect of the shock on popularity.
        cause: Effect of the unobserved cause on popularity, and on clicks.
        reaction: Effect of popularity on the rate of hot words; replaces `by_text`.
        direct: Effect of the shock on clicks by another way.
        error: Standard deviation of the error with which popularity is measured.
        by_author: Effect of the author on popularity, on the rate of hot words, and on clicks.
        interaction: Effect of popularity times hot words on clicks.
    """

    title: str
    hot_share: float = 0.5
    by_text: float = 0.75
    by_shock: float = 0.45
    cause: tuple[float, float] = (0.0, 0.0)
    reaction: float = 0.0
    direct: float = 0.0
    error: float = 0.0
    by_author: tuple[float, float, float] = (0.0, 0.0, 0.0)
    interaction: float = 0.0


UNOBSERVED = (0.35, 0.5)
REGIMES = {
    "separable": Regime("hot words are worth nothing", hot_share=0.0),
    "entangled": Regime("hot words are worth something"),
    "unobserved": Regime("entangled, and an unobserved cause moves popularity and clicks", cause=UNOBSERVED),
    "reacting": Regime("writers take hot words when popularity is high", by_text=0.0, reaction=1.0),
    "exclusion": Regime("entangled, and the shock moves clicks by another way", direct=0.35),
    "noisy": Regime("entangled, and popularity is measured with error", error=0.45),
    "weak": Regime("unobserved cause, and the shock hardly moves popularity", cause=UNOBSERVED, by_shock=0.008),
    "grouped": Regime("the author moves popularity, hot words and clicks", by_text=0.3, by_author=(0.5, 0.8, 1.5)),
    "reacting_unobserved": Regime(
        "writers react, and an unobserved cause moves popularity and clicks",
        by_text=0.0,
        reaction=1.0,
        cause=(0.6, 1.0),
    ),
    "interaction": Regime("entangled, and popularity moves clicks more for hot words", interaction=0.8),
}
ROWS_PER_AUTHOR = 20


class World(NamedTuple):
    """One drawn table, and headlines that nobody clicked on yet.

    Attributes:
        text: N headlines.
        outcome: `(N,)` clicks.
        popularity: `(N,)` as measured, the confounder.
        shock: `(N,)` the instrument.
        author: `(N,)` numbers.
        clean_outcome: `(N,)` clicks without confounder and unobserved causes.
        new_text: M headlines of the language.
        new_worth: `(M,)` their worth.
    """

    text: list[str]
    outcome: Array
    popularity: Array
    shock: Array
    author: Array
    clean_outcome: Array
    new_text: list[str]
    new_worth: Array


def draw_world(regime: Regime, num_rows: int, seed: int, num_new: int = 8000) -> World:
    """Draws a language, a table of headlines in it, and new headlines."""
    rng = np.random.default_rng([seed, 5])
    vocabulary, worths = _language(regime, rng)
    author = np.arange(num_rows) // ROWS_PER_AUTHOR
    of_author = rng.normal(size=author.max() + 1)[author]
    shock, cause, noise = rng.normal(size=(3, num_rows))
    to_popularity, to_words, to_clicks = regime.by_author
    popularity = regime.by_shock * shock + regime.cause[0] * cause + to_popularity * of_author + 0.45 * noise
    words = _headlines(num_rows, regime.reaction * popularity + to_words * of_author, rng)
    hot = ((words < NUM_HOT).sum(axis=1) - WORDS_PER_HEADLINE * HOT_RATE) / _hot_deviation()
    popularity = popularity + regime.by_text * hot
    worth = _worth(words, worths)
    clean = worth + rng.normal(size=num_rows)
    outcome = clean + GAMMA * popularity + regime.cause[1] * cause + to_clicks * of_author
    outcome = outcome + regime.direct * shock + regime.interaction * popularity * hot
    measured = popularity + regime.error * rng.normal(size=num_rows)
    new = _headlines(num_new, np.zeros(num_new), rng)
    texts = [[" ".join(vocabulary[word] for word in row) for row in drawn] for drawn in (words, new)]
    return World(texts[0], outcome, measured, shock, author, clean, texts[1], _worth(new, worths))


def word_worths(regime: Regime, seed: int) -> dict[str, float]:
    """Returns what each word of the language that `draw_world` draws adds to the worth of a headline."""
    return dict(zip(*_language(regime, np.random.default_rng([seed, 5])), strict=True))


def _language(regime: Regime, rng: np.random.Generator) -> tuple[list[str], Array]:
    """Draws words and their worth; the variance of a headline's worth is about 1."""
    pairs = [a + b for a in SYLLABLES for b in SYLLABLES]
    vocabulary = rng.choice(pairs, NUM_HOT + NUM_PLAIN, replace=False).tolist()
    plain = rng.normal(size=NUM_PLAIN)
    plain = (
        (plain - plain.mean()) / plain.std() * np.sqrt((1 - regime.hot_share) / (WORDS_PER_HEADLINE * (1 - HOT_RATE)))
    )
    return vocabulary, np.concatenate([np.full(NUM_HOT, np.sqrt(regime.hot_share) / _hot_deviation()), plain])


def _hot_deviation() -> float:
    """Returns the standard deviation of the number of hot words that `_headlines` draws."""
    rng = np.random.default_rng(0)
    return float((_headlines(20_000, np.zeros(20_000), rng) < NUM_HOT).sum(axis=1).std())


def _headlines(count: int, pull: Array, rng: np.random.Generator) -> Array:
    """Draws `(count, 8)` words; `pull` moves the log-odds of hot ones, as does each writer's taste."""
    odds = np.log(HOT_RATE / (1 - HOT_RATE)) + pull + 0.5 * rng.normal(size=count)
    is_hot = rng.random((count, WORDS_PER_HEADLINE)) < 1 / (1 + np.exp(-odds))[:, None]
    hot = rng.integers(NUM_HOT, size=is_hot.shape)
    return np.where(is_hot, hot, NUM_HOT + rng.integers(NUM_PLAIN, size=is_hot.shape))


def _worth(words: Array, worths: Array) -> Array:
    return np.asarray(worths[words].sum(axis=1))
