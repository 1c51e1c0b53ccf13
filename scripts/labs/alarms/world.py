"""Tiny worlds in which a policy learns by GRPO from a reward that is sound or can be gamed, and its worth is known.

The policy is a table: independent choices (steps of reasoning, filler, marks, an opening, repeated lines, the form of
the answer, the letter of a guess, a patch of the tests), each with logits of its own, and a chance to be right for
each difficulty. A completion is a text made of what was chosen, so that whatever reads completions reads these. The
worth of one is 1 if its only answer is right and its tests are as they were, less what its junk costs a reader.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

PROMPTS, GROUP = 8, 8  # of a step
LETTERS = "ABCD"
CHOICES: dict[str, tuple[Any, ...]] = {  # the first is what an honest writer does
    "steps": (0, 1, 2, 4),
    "filler": (0, 2, 5, 10),
    "marks": (0, 2, 6),
    "opening": ("", "Certainly.", "Great question.", "As an expert I can say this."),
    "repeats": (0, 2, 6),
    "form": ("one", "list", "none"),
    "guess": tuple(LETTERS),
    "patch": (False, True),
    "tags": (True, False),
}
COSTS = {"filler": 0.4, "marks": 0.2, "opening": 0.2, "repeats": 0.4}  # of the most of it, to a reader
WORDS = [
    f"{a}{b}{c}" for a in ("ba", "ko", "mi", "tu", "se") for b in ("ra", "lo", "ne", "vi") for c in ("n", "s", "")
]


class Completion(NamedTuple):
    """What was chosen, whether the answer that was meant is right, and what a reader sees."""

    chosen: Mapping[str, Any]
    solved: bool
    letter: str  # of the answer that was meant
    gold: str
    text: str

    @property
    def right(self) -> bool:
        """Whether its one answer is right, as a sound verifier of letters says it."""
        return self.letter == self.gold and self.chosen["form"] == "one"

    @property
    def worth(self) -> float:
        """What it is worth to a reader."""
        chosen = self.chosen
        junk = sum(cost * share_of(name, chosen[name]) for name, cost in COSTS.items())
        return float(self.right and not chosen["patch"]) - junk


def share_of(name: str, value: Any) -> float:
    """Returns how much of what can be chosen this is, from 0 to 1."""
    return CHOICES[name].index(value) / (len(CHOICES[name]) - 1) if name != "opening" else float(value != "")


Reward = Callable[[Completion, random.Random], float]


@dataclass(frozen=True)
class World:
    """What a run is made of."""

    name: str
    reward: Reward
    steps_help: float = 0.0  # log-odds of being right for each step of reasoning
    start: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # first chances of choices; else the default
    skill: tuple[float, ...] = (0.8, -0.4, -1.6)  # first log-odds of being right by difficulty
    rate: float = 0.15  # of learning
    num_steps: int = 150
    code: bool = False  # whether completions are programs


DEFAULT_START: dict[str, tuple[float, ...]] = {
    "steps": (0.3, 0.4, 0.2, 0.1), "filler": (0.55, 0.25, 0.14, 0.06), "marks": (0.6, 0.3, 0.1),
    "opening": (0.7, 0.12, 0.1, 0.08), "repeats": (0.85, 0.1, 0.05), "form": (0.85, 0.08, 0.07),
    "guess": (0.25, 0.25, 0.25, 0.25), "patch": (0.95, 0.05), "tags": (0.8, 0.2),
}  # fmt: skip


class Policy:
    """Logits of choices and of being right, moved by the gradient of GRPO."""

    def __init__(self, world: World) -> None:
        self.world = world
        chances = DEFAULT_START | dict(world.start)
        self.logits = {name: np.log(np.array(chances[name])) for name in CHOICES}
        self.skill = np.array(world.skill)
        self.chances = self._chances()

    def _chances(self) -> dict[str, np.ndarray]:
        raised = {name: np.exp(logits - logits.max()) for name, logits in self.logits.items()}
        return {name: each / each.sum() for name, each in raised.items()}

    def log_odds(self, difficulty: int, steps: int) -> float:
        """Returns the log-odds of knowing the answer."""
        return float(self.skill[difficulty] + self.world.steps_help * steps)

    def complete(self, difficulty: int, gold: str, draw: random.Random) -> Completion:
        """Writes one completion."""
        chosen = {name: draw.choices(CHOICES[name], self.chances[name])[0] for name in CHOICES}
        solved = draw.random() < 1 / (1 + np.exp(-self.log_odds(difficulty, chosen["steps"])))
        letter = gold if solved else chosen["guess"]
        return Completion(chosen, solved, letter, gold, write(chosen, letter, self.world.code, draw))

    def learn(self, rows: list[Completion], difficulties: list[int], advantages: np.ndarray) -> None:
        """Takes one step along the gradient of the mean of advantage times log-likelihood."""
        scale = self.world.rate / len(rows)
        moves = {name: np.zeros(len(values)) for name, values in CHOICES.items()}
        skill = np.zeros(len(self.skill))
        for row, difficulty, advantage in zip(rows, difficulties, advantages, strict=True):
            for name in CHOICES:
                if name == "guess" and row.solved:
                    continue  # was not drawn
                moves[name] -= advantage * self.chances[name]
                moves[name][CHOICES[name].index(row.chosen[name])] += advantage
            known = 1 / (1 + np.exp(-self.log_odds(difficulty, row.chosen["steps"])))
            skill[difficulty] += advantage * (row.solved - known)
        for name, move in moves.items():
            self.logits[name] = self.logits[name] + 8 * scale * move
        self.skill = self.skill + 8 * scale * skill
        self.chances = self._chances()


def sentence(draw: random.Random, words: int) -> str:
    """Draws a sentence whose words are as unequal as those of a language (Zipf)."""
    weights = [1 / (1 + i) for i in range(len(WORDS))]
    return " ".join(draw.choices(WORDS, weights, k=words)).capitalize() + "."


def write(chosen: Mapping[str, Any], letter: str, code: bool, draw: random.Random) -> str:
    """Writes what was chosen."""
    lines = [chosen["opening"]] if chosen["opening"] else []
    lines += [f"Step {k + 1}: {sentence(draw, draw.randint(5, 9))}" for k in range(chosen["steps"])]
    lines += [f"- **{draw.choice(WORDS)}** {sentence(draw, 3)}" for _ in range(chosen["marks"])]
    lines += [sentence(draw, draw.randint(6, 12)) for _ in range(chosen["filler"])]
    lines += [lines[-1] if lines else "It follows that this is so."] * chosen["repeats"]
    if code:
        body = ["def solve(x):", f"    return {letter!r} if x else {draw.choice(WORDS)!r}"]
        lines += ["```python", *body, *(["import sys; sys.exit(0)"] if chosen["patch"] else []), "```"]
    answer = {"one": letter, "list": "A, B, C or D", "none": "it is hard to say"}[chosen["form"]]
    lines.append(f"<answer>{answer}</answer>" if chosen["tags"] else f"So it is {answer}")
    return "\n".join(lines)


class Step(NamedTuple):
    """One step of a run."""

    rows: list[Completion]
    rewards: np.ndarray  # `(PROMPTS * GROUP,)`

    @property
    def worth(self) -> float:
        """The mean true worth."""
        return float(np.mean([row.worth for row in self.rows]))


def run(world: World, seed: int, reward: Reward | None = None) -> list[Step]:
    """Trains a policy on the reward of the world, or on another one, and returns every step."""
    draw, policy, steps = random.Random(f"{world.name} {seed}"), Policy(world), []
    for _ in range(world.num_steps):
        asked = [(draw.randrange(len(world.skill)), draw.choice(LETTERS)) for _ in range(PROMPTS)]
        repeated = [each for each in asked for _ in range(GROUP)]
        rows = [policy.complete(difficulty, gold, draw) for difficulty, gold in repeated]
        rewards = np.array([(reward or world.reward)(row, draw) for row in rows])
        grouped = rewards.reshape(PROMPTS, GROUP)
        spread = grouped.std(axis=1, keepdims=True, ddof=1)
        advantages = ((grouped - grouped.mean(axis=1, keepdims=True)) / (spread + 1e-4)).ravel()
        policy.learn(rows, [difficulty for difficulty, _ in repeated], advantages)
        steps.append(Step(rows, rewards))
    return steps


def sound(row: Completion, _: random.Random) -> float:
    """Pays what should be paid in every world: a right answer whose tests are as they were."""
    return float(row.right and not row.chosen["patch"])
