"""What `align.watch` adds to a loop, in seconds of CPU time.

    OMP_NUM_THREADS=1 python -m scripts.benches.watch --check_bars --json bench.json

Two runs of TRL's `GRPOTrainer` make the same steps, to the last bit: `plain`, and `watched` with an audit, every alarm
on, a log and a table of completions each step. All that is added happens in two calls of a step, of the rewards and of
the log with its callbacks, so these are timed in both arms: whole steps differ by more from round to round than is
added. The first step of each run warms up and is left out. Both arms take turns. A difference is that of the same step
in the same round; reported is the median of the differences, with the 2.5th and 97.5th percentile of 2,000 resamples,
as a share of the median plain step, too. The page, which is written once, behind the last step, is reported by itself.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import align
from scripts.benches.random_model import ABOUT_MODEL, NAMES, model_there, random_model
from scripts.harness import ON_A_CPU, Options, quiet, tell, write_numbers

BAR = 0.01  # of a step
RESAMPLES = 2000


class StepClock(TrainerCallback):
    """Keeps the CPU time at which each step begins and training ends, and how much of it two calls took until then."""

    def __init__(self, trainer: Any) -> None:
        self.times: list[tuple[float, float]] = []
        self.in_calls = 0.0
        for name in ("_calculate_rewards", "log"):
            setattr(trainer, name, self.timed(getattr(trainer, name)))

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Adds up what calls take."""

        def with_clock(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.in_calls += time.process_time() - started

        return with_clock

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks at the clock."""
        self.times.append((time.process_time(), self.in_calls))

    on_train_end = on_step_begin


def varied(completions: list[str], **kwargs: Any) -> list[float]:
    """Rewards different words."""
    return [float(len(set(text.split()))) for text in completions]


def run(arm: str, model: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains one arm; returns CPU seconds of its steps and of their calls, its losses, and what its end took."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    config = GRPOConfig(
        output_dir=str(folder), max_steps=arguments.steps, per_device_train_batch_size=arguments.completions,
        num_generations=8, max_completion_length=arguments.tokens, logging_steps=1, beta=0.0, **ON_A_CPU,
    )  # fmt: skip
    trainer: Any = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=varied,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": f"the number {i} of"} for i in range(64)]),
        processing_class=tokenizer,
    )
    if arm == "watched":
        trainer = align.watch(trainer, audits=["repetition"], stop_on=["invalid_share"])
    trainer.add_callback(clock := StepClock(trainer))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer.train()
    page = time.process_time() - clock.times[-1][0]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"steps": np.diff(clock.times, axis=0)[1:], "losses": losses, "after": page}


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Trains both arms in turns."""
    model = random_model(scratch / "model", arguments.model) if arguments.model in NAMES else arguments.model
    plain, watched, pages = [], [], []
    for number in range(arguments.rounds):
        arms = ("plain", "watched") if number % 2 == 0 else ("watched", "plain")
        found = {arm: run(arm, model, scratch / f"{arm}-{number}", arguments) for arm in arms}
        if found["plain"]["losses"] != found["watched"]["losses"]:
            raise SystemExit("The arms have other losses, so their steps cannot be compared.")
        plain.append(found["plain"]["steps"])
        watched.append(found["watched"]["steps"])
        pages.append(found["watched"]["after"] - found["plain"]["after"])
    step = float(np.median(np.array(plain)[..., 0]))
    whole, differences = (np.array(watched) - np.array(plain)).reshape(-1, 2).T
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(differences, (RESAMPLES, len(differences))), axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    added = float(np.median(differences))
    return {
        "plain_step_s": step,
        "added_ms": {"median": 1000 * added, "low": 1000 * float(low), "high": 1000 * float(high)},
        "share": {"median": added / step, "low": float(low) / step, "high": float(high) / step},
        "whole_steps_ms": 1000 * float(np.median(whole)),
        "page_s": float(np.median(pages)),
        "pairs_of_steps": len(differences),
    }


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=model_there, default="random-small", help=ABOUT_MODEL)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=5, help="of a run; the first is left out")
    parser.add_argument("--completions", type=int, default=64, help="of a step, eight to a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of a completion, at most")
    parser.add_numbers("exit code 1 if the bar is missed")
    arguments = parser.parse_args(argv)
    quiet()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(arguments, Path(scratch))
    added, share = found["added_ms"], found["share"]
    print(
        f"a plain step takes {found['plain_step_s']:.2f} s of CPU time; `align.watch` adds {added['median']:.1f} ms "
        f"[{added['low']:.1f}, {added['high']:.1f}], {share['median']:.2%} [{share['low']:.2%}, {share['high']:.2%}], "
        f"over {found['pairs_of_steps']} pairs of steps (whole steps: {found['whole_steps_ms']:.0f} ms); the page "
        f"takes {found['page_s']:.2f} s once"
    )
    settings = {name: getattr(arguments, name) for name in ("model", "rounds", "steps", "completions", "tokens")}
    write_numbers(arguments.json, found, settings, {"cores": os.cpu_count(), "load": os.getloadavg()[0]})
    return tell({f"share at most {BAR:.0%}": share["median"] <= BAR}, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
