"""Time and size of the report of a long run: 10,000 steps, 50,000 saved completions.

    python -m scripts.benches.report --check_bars --json bench_report.json

The run folder is generated: a line of about 40 metrics per step, and completions of about 1,200 characters with their
prompts and traces, in tables of 40 rows. Every round is a process of its own, from the start of Python to the file,
as `align report RUN_DIR` starts it. With `--images 8` every completion has as many images, of noise, which JPEG
compresses least. Wall time grows on a busy machine; CPU time is given beside it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.harness import Options, tell, write_numbers

SECONDS_BAR, BYTES_BAR = 20.0, 10_000_000
ROWS_PER_TABLE, GROUP = 40, 8
WORDS = np.array(
    [
        "the",
        "melting",
        "point",
        "of",
        "tungsten",
        "is",
        "higher",
        "than",
        "that",
        "sodium",
        "iron",
        "tin",
        "so",
        "answer",
        "must",
        "be",
        "because",
    ]
)
RECIPE = """\
method: acre
model_name_or_path: a/model
dataset: {path: questions.jsonl}
reward_funcs: [answer_consistency, format]
reward_weights: [1.0, 0.1]
num_generations: 8
"""


def write_run(folder: Path, steps: int, completions: int, images: int = 0) -> Path:
    """Writes the folder of a long run."""
    (folder / "completions").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "versions.json").write_text(json.dumps({"truealign": "0.1.0", "python": "3.11"}))
    rng = np.random.default_rng(0)
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            file.write(json.dumps({"step": step} | draw_metrics(rng, step / steps)) + "\n")
    pool = write_media(folder, rng) if images else []
    tables = completions // ROWS_PER_TABLE
    for step in np.linspace(1, steps, tables).astype(int):
        write_table(folder / "completions" / f"completions_{step:05d}.parquet", rng, int(step), pool, images)
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


def write_media(folder: Path, rng: np.random.Generator, count: int = 64) -> list[str]:
    """Writes small copies of noise and returns their paths in the run folder."""
    from PIL import Image

    from align.data.media.thumbnails import thumbnail
    from align.training.shown_rows import MediaFolder

    media = MediaFolder(folder)
    pixels = rng.integers(0, 256, (count, 160, 160, 3), dtype=np.uint8)
    return [str(media.keep(thumbnail(Image.fromarray(each)))) for each in pixels]


def write_table(path: Path, rng: np.random.Generator, step: int, pool: Sequence[str] = (), images: int = 0) -> None:
    """Writes one table of completions."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

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
            | ({"images": rng.choice(pool, images).tolist()} if images else {})
        )
    parquet.write_table(pa.Table.from_pylist(rows), path)


def measure(folder: Path) -> dict[str, float]:
    """Builds the report in a new process."""
    started, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "align", "report", str(folder)], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    size = (folder / "report.html").stat().st_size
    return {"seconds": time.perf_counter() - started, "cpu_seconds": cpu, "bytes": size}


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--completions", type=int, default=50_000)
    parser.add_argument("--images", type=int, default=0, help="images of each completion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_numbers("exit code 1 if a bar is missed")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder) / "run", arguments.steps, arguments.completions, arguments.images)
        rounds = [measure(run) for _ in range(arguments.rounds)]
    middle = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    images = f" of {arguments.images} images" if arguments.images else ""
    print(
        f"{arguments.steps:,} steps, {arguments.completions:,} completions{images}: {middle['seconds']:.1f} s "
        f"({middle['cpu_seconds']:.1f} s of CPU), {middle['bytes'] / 1e6:.2f} MB; median of {len(rounds)}"
    )
    bars = {
        f"under {SECONDS_BAR:g} s": middle["seconds"] < SECONDS_BAR,
        f"under {BYTES_BAR / 1e6:g} MB": middle["bytes"] < BYTES_BAR,
    }
    missed = tell(bars, arguments)
    write_numbers(arguments.json, {"rounds": rounds, "median": middle, "bars": bars})
    return missed


if __name__ == "__main__":
    sys.exit(main())
