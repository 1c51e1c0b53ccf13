"""Run folders with the files that training writes, filled with plausible numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from some_recipes import QUESTIONS

RECIPE = (
    f"method: {QUESTIONS}\n"
    + """\
model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
dataset:
  path: data/elements.jsonl
  shuffle_options: false
reward_funcs: [answer_consistency, format]
reward_weights: [1.0, 0.1]
max_steps: 200
num_generations: 8
per_device_train_batch_size: 128
learning_rate: 2.0e-3
beta: 0.0
temperature: 1.0
max_completion_length: 96
seed: 3
"""
)
VERSIONS = {
    "truealign": "0.1.0",
    "trl": "1.16.0",
    "transformers": "5.17.0",
    "torch": "2.13.0+cpu",
    "python": "3.11.13",
}
TEXTS = ("The chemical symbol of tungsten is W.", "Sodium, symbol Na", "Iron is Fe, from the Latin ferrum", "Tin")


def metric_lines(steps: int, seed: int = 0, **fixed: float) -> list[dict[str, float]]:
    """Draws one line per step of a run that learns; `fixed` overrides a metric throughout."""
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(1, steps + 1):
        learnt = 1 - np.exp(-3 * step / steps)
        right = np.clip(0.25 + 0.5 * learnt + rng.normal(0, 0.04), 0, 1)
        both = right * (0.5 + 0.3 * learnt)
        second_only = 0.08 * (1 - learnt) + 0.02
        letters = np.array([0.25 + 0.3 * learnt, 0.25, 0.25, 0.25]) + rng.normal(0, 0.02, 4)
        line = {
            "step": step,
            "loss": rng.normal(0, 0.02),
            "grad_norm": 0.6 + rng.exponential(0.3),
            "learning_rate": 2e-3 * (1 - step / steps),
            "reward": 0.1 + both + 0.5 * (right - both),
            "rewards/answer_consistency/mean": both + 0.5 * (right - both),
            "rewards/format/mean": min(1.0, 0.9 + 0.1 * learnt),
            f"{QUESTIONS}/first_right": right,
            f"{QUESTIONS}/outcome_both": both,
            f"{QUESTIONS}/outcome_first_only": right - both,
            f"{QUESTIONS}/outcome_second_only": second_only,
            f"{QUESTIONS}/outcome_neither": 1 - right - second_only,
            f"{QUESTIONS}/asked_again": 0.9 + 0.1 * learnt,
            f"{QUESTIONS}/consistency_rate": both + 0.1,
            f"{QUESTIONS}/trace_names_letter": 0.12 + rng.normal(0, 0.01),
            f"{QUESTIONS}/trace_quotes_answer": 0.3 + 0.4 * learnt,
            f"{QUESTIONS}/second_pass_seconds": 0.021 + rng.exponential(0.002),
            f"{QUESTIONS}/second_pass_share": 0.07,
            "completions/mean_length": 48 - 14 * learnt + rng.normal(0, 1),
            "completions/mean_terminated_length": 44 - 12 * learnt + rng.normal(0, 1),
            "completions/clipped_ratio": 0.2 * (1 - learnt),
            "frac_reward_zero_std": 0.1 + 0.3 * learnt,
            "step_time": 0.3 + rng.exponential(0.03),
        }
        line |= {
            f"{QUESTIONS}/answer_share_{name}": share
            for name, share in zip("ABCD", letters / letters.sum(), strict=True)
        }
        line |= {
            f"{QUESTIONS}/gold_share_{name}": share for name, share in zip("ABCD", (0.3, 0.25, 0.25, 0.2), strict=True)
        }
        lines.append(line | fixed)
    return lines


def completion_rows(step: int, count: int = 32, trace: str | None = None) -> list[dict[str, object]]:
    """Draws the rows of one completions table in TRL's columns and those of a second pass."""
    rng = np.random.default_rng(step)
    rows = []
    for _ in range(count):
        first, second = rng.choice(list("ABCD"), 2)
        gold = "B"
        names = {
            (True, True): "both",
            (True, False): "first_only",
            (False, True): "second_only",
            (False, False): "neither",
        }
        thought = trace or f"{rng.choice(TEXTS)} So the element asked for is the one whose symbol begins with W."
        options = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", TEXTS, strict=True))
        rows.append(
            {
                "step": step,
                "prompt": [{"role": "user", "content": f"Which element has the highest melting point?\n{options}"}],
                "completion": [
                    {"role": "assistant", "content": f"<think>{thought}</think><answer>{first}</answer>"},
                ],
                "answer_consistency": float(first == gold) * (1.0 if second == gold else 0.5),
                "format": 1.0,
                "trace": thought,
                "first_answer": first,
                "second_answers": second,
                "permutation": "".join(rng.permutation(list("ABCD"))),
                "outcome": names[first == gold, second == gold],
                "advantage": float(rng.normal()),
            }
        )
    return rows


def write_run(folder: Path, *, steps: int = 200, seed: int = 0, trace: str | None = None, **fixed: float) -> Path:
    """Writes a complete run folder without an evaluation."""
    (folder / "completions").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "versions.json").write_text(json.dumps(VERSIONS))
    lines = metric_lines(steps, seed, **fixed)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in sorted({1, max(1, steps // 2), steps}):
        table = pd.DataFrame(completion_rows(step, trace=trace))
        table.to_parquet(folder / "completions" / f"completions_{step:05d}.parquet")
    return folder
