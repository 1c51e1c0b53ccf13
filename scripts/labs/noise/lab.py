"""Measures where GRPO breaks under a reward that errs, and whether to correct the reward for its error rates pays.

    python -m scripts.labs.noise.lab --kept noise.jsonl --json noise.json

A question `ab` asks for the digit of its first letter, half-known as in `regime/worlds.py`; a response is the digit
and, half of the time, a `!`. Training takes 60 steps of 8 completions of 8 questions. The task's reward pays 1 or 0
and errs with planted rates: it pays wrong answers (`fpr`) and refuses right ones (`fnr`).

    drawn     anew for each completion
    fixed     once for each letter and answer: what is paid wrongly is paid always
    marked    with twice the rates for answers with a `!`, and never for the others

A corrected arm has the reward `(r - fpr) / (1 - fpr - fnr)`, in `marked` with the rates of the answer's kind. Beside
it may stand a reward of 1 for the `!` (`mark`), or of a 20th of the digit (`large`), which is at odds with the task.
Measures: the right share of held-out questions, greedy, and of the last ten steps, as sampled; the first step at which
five in a row average 0.8; the share of groups whose pay differs though all their answers are right, or all wrong.
Intervals are Student's t over seeds (95 %), of differences over pairs with the same seed.
"""

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback

from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from scripts import harness
from scripts.labs.regime.worlds import World
from scripts.labs.tiny_models import make_model, make_tokenizer, save, teach, whole_texts

METRICS = {"accuracy": "right", "late": "last ten steps", "steps": "steps to 0.8", "noise_only": "groups of noise"}
LATE, REACHED, WINDOW, MARK = 10, 0.8, 5, "!"
START: dict[str, Any] = {"steps": 300, "learning_rate": 4e-3}
SETTINGS: dict[str, Any] = {
    "max_steps": 60, "per_device_train_batch_size": 64, "max_completion_length": 3,
    "learning_rate": 1e-3, "lr_scheduler_type": "constant", "beta": 0.0, "temperature": 1.0,
    "skip_without_advantage": "off", "logging_strategy": "no", "shuffle_dataset": False,
}  # fmt: skip


class Arm(NamedTuple):
    """How the task's reward errs, what stands beside it, and what is done about it."""

    fpr: float = 0.0
    fnr: float = 0.0
    kind: str = "drawn"
    beside: str = ""
    scale: str = "group"
    generations: int = 8
    corrected: bool = False

    def rates(self, text: str) -> tuple[float, float]:
        """Returns the two rates for a completion."""
        times = 1 if self.kind != "marked" else 2 * (MARK in text)
        return self.fpr * times, self.fnr * times

    def __str__(self) -> str:
        """Names it in a table."""
        more = [f"beside {self.beside}"] * bool(self.beside) + [self.scale] * (self.scale != "group")
        more += [f"{self.generations} generations"] * (self.generations != 8) + ["corrected"] * self.corrected
        return ", ".join([f"{self.kind} {self.fpr:g} {self.fnr:g}", *more])


ALONE = [(rate, 0.0) for rate in (0.1, 0.3, 0.5)] + [(0.0, rate) for rate in (0.1, 0.3, 0.5)]
BOTH = [(0.0, 0.0), (0.1, 0.1), (0.3, 0.3), (0.5, 0.3), (0.5, 0.5)]
PLAIN = [Arm(0.3, 0.3, beside="mark"), Arm(0.3, 0.3, beside="large"), Arm(0.3, 0.3, scale="none")]
PLAIN += [Arm(0.15, 0.15, "marked")]
ARMS = [Arm(*rates) for rates in ALONE + BOTH] + [Arm(*rates, "fixed") for rates in ALONE]
ARMS += PLAIN + [each._replace(corrected=True) for each in PLAIN]
ARMS += [Arm(beside="mark"), Arm(beside="large"), Arm(0.3, 0.3, scale="batch"), Arm(0.3, 0.3, generations=16)]


def paid(arm: Arm, seed: int, texts: list[str], questions: list[str], rights: list[str], rng: random.Random) -> Any:
    """Pays completions with the errors of an arm."""
    pays = []
    for text, question, right in zip(texts, questions, rights, strict=True):
        is_right, (fpr, fnr) = text[:1] == right, arm.rates(text)
        drawn = random.Random(f"{seed} {question[0]} {text[:1]}") if arm.kind == "fixed" else rng
        pay = float(is_right != (drawn.random() < (fnr if is_right else fpr)))
        pays.append((pay - fpr) / (1 - fpr - fnr) if arm.corrected else pay)
    return pays


BESIDE = {
    "mark": lambda completions, **_: [float(MARK in text) for text in completions],
    "large": lambda completions, **_: [int(text[:1]) / 20 if text[:1].isdigit() else 0.0 for text in completions],
}


def start_policy(number: int, folder: Path) -> Path:
    """Makes the start policy of a world, unless the folder has it."""
    path, tokenizer = folder / f"noise-{number}", make_tokenizer()
    if not (path / "tokenizer.json").is_file():
        torch.manual_seed(number)
        world, rng, model = World.draw("largest", number), random.Random(f"start {number}"), make_model(tokenizer)
        questions = (rng.choice(world.train) for _ in range(64 * START["steps"]))
        texts = (f"{each}\n{world.draw_trace(each, rng)[0][0]}{MARK * rng.randrange(2)}<eos>" for each in questions)
        teach(model, (whole_texts(tokenizer, list(rows)) for rows in zip(*[texts] * 64, strict=True)), **START)
        save(model, tokenizer, path)
    return path


def run_arm(arm: Arm, seed: int, starts: int, folder: Path, **overrides: Any) -> dict[str, float]:
    """Trains an arm with a seed and measures it."""
    world, tokenizer, began = World.draw("largest", seed % starts), make_tokenizer(), time.process_time()
    model = AutoModelForCausalLM.from_pretrained(start_policy(seed % starts, folder), dtype=torch.float32)
    rows = [{"prompt": f"{each}\n", "question": each, "right": world.table[each[0]]} for each in world.train]
    rng, seen, noisy = random.Random(f"errs {seed}"), list[float](), list[float]()
    random.Random(seed).shuffle(rows)

    def task(completions: list[str], question: list[str], right: list[str], **_: Any) -> list[float]:
        truth = np.array([text[:1] == gold for text, gold in zip(completions, right, strict=True)], float)
        truth = truth.reshape(-1, arm.generations)
        pays: list[float] = paid(arm, seed, completions, question, right, rng)
        seen.append(float(truth.mean()))
        noisy.append(float(((np.ptp(truth, 1) == 0) & (np.ptp(np.reshape(pays, truth.shape), 1) > 0)).mean()))
        return pays

    own = {"num_generations": arm.generations, "scale_rewards": arm.scale}
    with tempfile.TemporaryDirectory() as out:
        args = GRPOConfig(output_dir=out, seed=seed, **SETTINGS | harness.ON_A_CPU | own | overrides)
        rewards: list[Any] = [task, *(BESIDE[each] for each in [arm.beside] if each)]
        trainer = GuardedGRPOTrainer(
            model=model, reward_funcs=rewards, args=args, train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    steps = (i for i in range(WINDOW, len(seen) + 1) if np.mean(seen[i - WINDOW : i]) >= REACHED)
    return {
        "accuracy": accuracy(model, tokenizer, world), "late": float(np.mean(seen[-LATE:])), "first": seen[0],
        "steps": float(next(steps, len(seen) + 1)), "noise_only": float(np.mean(noisy)),
        "cpu_seconds": time.process_time() - began,
    }  # fmt: skip


def accuracy(model: Any, tokenizer: Any, world: World) -> float:
    """Answers the held-out questions greedily."""
    ids = tokenizer([f"{each}\n" for each in world.held_out], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        first = model.eval()(ids).logits[:, -1].argmax(1)
    return harness.share(tokenizer.decode(a) == world.table[q[0]] for a, q in zip(first, world.held_out, strict=True))


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds."""
    parser = harness.Options(__doc__)
    parser.add_seeds(10)
    parser.add_argument("--starts", type=int, default=5, help="start policies that the seeds share")
    parser.add_argument("--starts_dir", type=Path, default=Path("outputs/noise"), help="where starts are kept")
    parser.add_argument("--kept", type=Path, help="JSONL of arms and seeds that were run; a run that was cut goes on")
    parser.add_numbers()
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    harness.quiet()
    arms, seeds = {str(arm): arm for arm in ARMS}, harness.seeds_of(given)

    def run(arm: str, seed: int) -> dict[str, float]:
        return run_arm(arms[arm], seed, given.starts, given.starts_dir)

    def key(arm: str, seed: int) -> str:
        return json.dumps([arm, seed, SETTINGS, START])

    runs = harness.arm_runs(list(arms), seeds, run, METRICS, harness.KeptRuns(given.kept), key)
    harness.show_arms("Planted error rates: fpr fnr", runs, METRICS)
    for plain in [name for name in runs if f"{name}, corrected" in runs]:
        pair = {each: runs[each] for each in (plain, f"{plain}, corrected")}
        harness.show_arms("Minus plain", harness.differences(pair, plain, METRICS), METRICS)
    harness.show_arms("Minus no errors", harness.differences(runs, str(Arm()), METRICS), METRICS)
    harness.write_numbers(given.json, {"seeds": list(seeds), "frozen": SETTINGS | START}, {"runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
