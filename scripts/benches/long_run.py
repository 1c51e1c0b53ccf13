"""Writes the folder of a long run, of which `growth.py` and `live_page.py` make a page."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

ROWS_PER_TABLE, GROUP = 40, 8
WORDS = ["the", "melting", "point", "of", "tungsten", "is", "higher", "than", "that", "sodium", "iron", "tin", "so"]
WORDS += ["answer", "must", "be", "because"]
RECIPE = """\
method: acre
model_name_or_path: a/model
dataset: {path: questions.jsonl}
reward_funcs: [answer_consistency, format]
reward_weights: [1.0, 0.1]
num_generations: 8
"""


def write_run(folder: Path, steps: int, completions: int) -> Path:
    """Writes the folder of a long run."""
    (folder / "completions").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "versions.json").write_text(json.dumps({"truealign": "0.1.0", "python": "3.11"}))
    rng = np.random.default_rng(0)
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            file.write(json.dumps({"step": step} | draw_metrics(rng, step / steps)) + "\n")
    tables = completions // ROWS_PER_TABLE
    for step in np.linspace(1, steps, tables).astype(int):
        write_table(folder / "completions" / f"completions_{step:05d}.parquet", rng, int(step))
    return folder


def draw_metrics(rng: np.random.Generator, progress: float) -> dict[str, float]:
    """Draws what a run logs at one step, in TRL's names and ACRE's."""
    right = 0.3 + 0.5 * progress + rng.normal(0, 0.04)
    metrics = {
        "acre/outcome_both": 0.8 * right,
        "acre/outcome_first_only": 0.2 * right,
        "acre/outcome_second_only": 0.05,
        "acre/outcome_neither": 0.95 - right,
    }
    noisy = (
        "loss", "grad_norm", "learning_rate", "reward", "reward_std", "kl", "entropy", "step_time", "num_tokens",
        "rewards/answer_consistency/mean", "rewards/answer_consistency/std", "rewards/format/mean",
        "rewards/format/std", "acre/first_right", "acre/asked_again", "acre/consistency_rate",
        "acre/trace_names_letter", "acre/trace_quotes_answer", "acre/second_pass_share", "completions/mean_length",
        "completions/mean_terminated_length", "completions/clipped_ratio", "frac_reward_zero_std",
        "sampling/sampling_logp_difference/mean", "time/generate", "time/second_pass", "time/rewards",
        "time/log_probs", "time/update", "time/rest",
        *(f"acre/answer_share_{letter}" for letter in "ABCD"), *(f"acre/gold_share_{letter}" for letter in "ABCD"),
    )  # fmt: skip
    return metrics | dict(zip(noisy, (right * rng.uniform(0.05, 0.15, len(noisy))).tolist(), strict=True))


def write_table(path: Path, rng: np.random.Generator, step: int) -> None:
    """Writes one table of completions."""
    rows = []
    for place in range(ROWS_PER_TABLE):
        trace = " ".join(rng.choice(WORDS, 200))
        first, second, gold = rng.choice(list("ABCD"), 3)
        outcome = ("neither", "second_only", "first_only", "both")[2 * (first == gold) + (second == gold)]
        text = f"<think>{trace}</think><answer>{first}</answer>"
        rows.append(
            {
                "step": step,
                "prompt": [
                    {"role": "user", "content": f"Question {step} {place // GROUP}\nA. W\nB. Na\nC. Fe\nD. Sn"}
                ],
                "completion": [{"role": "assistant", "content": text}],
                "answer_consistency": float(first == gold) / 2 + float(second == gold) / 2,
                "format": 1.0,
                "trace": trace,
                "first_answer": first,
                "second_answers": second,
                "permutation": "".join(rng.permutation(list("ABCD"))),
                "outcome": outcome,
                "advantage": float(rng.normal()),
            }
        )
    parquet.write_table(pa.Table.from_pylist(rows), path)
