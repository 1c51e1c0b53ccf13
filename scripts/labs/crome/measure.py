"""What `lab.py` measures of a reward model, and how arms are compared over seeds."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.models.reward_model import RewardModel
from scripts.harness import difference
from scripts.labs.crome.pairs import Row, evaluation_rows
from scripts.labs.crome.world import draw_answer, draw_question, draw_style, quality

NUM_PAIRS, NUM_QUESTIONS, BEST_OF = 500, 100, 32
DECORATED_RATE = 0.5  # of the answers of which the best is chosen
METRICS = {
    "disagree": "disagree",
    "clean": "clean",
    "agree": "agree",
    "decoration": "decoration",
    "best_of": f"best of {BEST_OF}",
}
Metrics = dict[str, float]
Runs = dict[str, list[Metrics]]  # per arm, one of each seed


class HeldOut(NamedTuple):
    """New questions with pairs, and others with many answers whose true quality is known."""

    pairs: dict[str, list[Row]]  # per source
    prompts: list[str]
    answers: list[str]
    quality: NDArray[np.float64]  # (NUM_QUESTIONS, BEST_OF)

    @classmethod
    def draw(cls, seed: int) -> "HeldOut":
        """Draws what every arm of a seed is measured on."""
        pairs: dict[str, list[Row]] = {}
        for row in evaluation_rows(seed, NUM_PAIRS):
            pairs.setdefault(row["source"], []).append(row)
        rng = random.Random(f"answers {seed}")
        questions = [question for _ in range(NUM_QUESTIONS) for question in [draw_question(rng)] * BEST_OF]
        answers = [draw_answer(question, rng) for question in questions]
        true = [quality(question, answer) for question, answer in zip(questions, answers, strict=True)]
        shown = [a._replace(style=draw_style(rng)) if rng.random() < DECORATED_RATE else a for a in answers]
        prompts = [f"{question}\n" for question in questions]
        return cls(pairs, prompts, [answer.text for answer in shown], np.array(true).reshape(-1, BEST_OF))


def margins(model: RewardModel, rows: Sequence[Row]) -> NDArray[np.float64]:
    """Returns `(N,)` rewards of the chosen minus those of the rejected answers."""
    prompts, chosen, rejected = ([row[name] for row in rows] for name in ("prompt", "chosen", "rejected"))
    return model.margins(prompts, chosen, rejected)


def measure(model: RewardModel, held_out: HeldOut) -> Metrics:
    """Measures one reward model."""
    of = {name: margins(model, rows) for name, rows in held_out.pairs.items()}
    scores = model.score(held_out.prompts, held_out.answers).reshape(-1, BEST_OF)
    best = np.take_along_axis(held_out.quality, scores.argmax(1)[:, None], axis=1)
    return {
        **{name: float((of[name] > 0).mean()) for name in ("disagree", "clean", "agree")},
        "decoration": float(np.abs(of["decoration"]).mean() / np.abs(of["clean"]).mean()),
        "best_of": float(best.mean()),
        "best_possible": float(held_out.quality.max(1).mean()),
    }


def mean(runs: Runs, arm: str, name: str) -> Estimate:
    """Estimates the mean of a metric over seeds."""
    return mean_over_seeds([run[name] for run in runs[arm]])


class Bar(NamedTuple):
    """A promise about an arm's mean against another's: at least so much more, or at most so many times as much."""

    arm: str
    baseline: str
    metric: str
    bound: float
    of_ratio: bool = False

    def check(self, runs: Runs) -> tuple[bool, str]:
        """Tells whether the promise is held, and writes it with the number that was found."""
        what = f"{self.arm}: {METRICS[self.metric]}"
        if self.of_ratio:
            found = mean(runs, self.arm, self.metric).value / mean(runs, self.baseline, self.metric).value
            return found <= self.bound, f"{what} <= {self.bound} of that of {self.baseline}: {found:.3f}"
        gain = difference(runs, self.arm, self.baseline, self.metric)
        interval = "" if math.isnan(gain.low) else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
        return gain.value >= self.bound, f"{what} >= {self.baseline} {self.bound:+.2f}: {gain.value:+.3f}{interval}"


BARS = (
    Bar("crome", "bt", "disagree", 0.15),
    Bar("crome", "rrm", "disagree", 0.15),
    Bar("crome", "bt-4x", "disagree", 0.10),
    Bar("crome", "bt", "decoration", 0.6, of_ratio=True),
    Bar("crome", "bt", "clean", -0.02),
    Bar("crome", "bt", "best_of", 0.03),
    Bar("crome-leaky", "bt", "disagree", 0.03),
)
