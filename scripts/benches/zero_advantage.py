"""A step of GRPO and of ACRE that leaves out what teaches nothing, against TRL's GRPO, in one process.

    python -m scripts.models.smollm2 --out models/smollm2-135m
    python -m scripts.benches.zero_advantage --model models/smollm2-135m --pass_rates 0.1 0.5 0.9 --json bench.json
    python -m scripts.benches.zero_advantage --model random --rounds 0

A step is `--prompts` prompts with 8 completions each, in batches of 8. All arms really generate, and what was written
is then replaced by the same responses, whose lengths are drawn (log-normal, a median of four tenths of the longest)
and of which each is right with the pass rate, independently: the data are no easier or harder by prompt, which leaves
more groups with a spread than most data do. The arms are `trl` (TRL's `GRPOTrainer`), `off` and `grpo` (ours with
`skip_without_advantage: off` and `auto`) and `acre` (`auto`, with its second pass).

Reported are medians over rounds of the ratio to TRL's step of the same round, of the whole step and of the update
alone. One more step of each arm is counted, which no machine changes: operations of the update, over their floor (each
row with an advantage read alone, forward and backward), and the most bytes at once. Counted steps generate nothing.
"""

import argparse
import random
import statistics
import tempfile
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.methods.grpo.config import GRPOConfig as OwnConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rollouts.zero_advantage import Window
from scripts.benches.acre import WORDS, fixed_response, make_rows, render
from scripts.benches.counted import Cost, cost_of
from scripts.benches.device import CLOCKS, add_device, clock, on_device, ratios_of, weights
from scripts.benches.random_model import ABOUT_MODEL, NAMES, SMOLLM2, model_there, random_model
from scripts.harness import Options, write_numbers

ARMS = ("trl", "off", "grpo", "acre")
GENERATIONS, SHORTEST = 8, 16


class Planned:
    """Generates for real where it is asked to, returns drawn responses, and tells the update from the rest."""

    generates = True
    now: Any = None
    scored = 0.0  # seconds of generation, second pass and rewards

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], None]:
        if self.generates:
            super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        rng, longest = random.Random(f"{len(prompt_ids)}/{self.number}"), self.max_completion_length  # type: ignore[attr-defined]
        lengths = [round(longest * rng.lognormvariate(-0.9, 0.5)) for _ in prompt_ids]
        lengths = [min(longest, max(SHORTEST, length)) for length in lengths]
        return [fixed_response(self._tokenizer, length, rng) for length in lengths], None  # type: ignore[attr-defined]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        started = self.now()
        output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        self.scored = self.now() - started
        return output


def paid(completions: list[Any], right: list[list[float]], **kwargs: Any) -> list[float]:
    """Pays what was drawn for the completion."""
    return [row[place % GENERATIONS] for place, row in enumerate(right)]


def paid_twice(completions: list[Any], right: list[list[float]], second_choices: Any, **kwargs: Any) -> list[float]:
    """Pays the same, and could depend on the second answers, which are therefore asked for."""
    return paid(completions, right)


def make_trainer(arm: str, arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> Any:
    """Builds one arm with its own copy of the model, and takes a first step to warm up."""
    model = AutoModelForCausalLM.from_pretrained(arguments.model, **weights(arguments))
    settings: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": GENERATIONS,
        "gradient_accumulation_steps": arguments.prompts,
        "num_generations": GENERATIONS,
        "max_completion_length": arguments.completion_tokens,
        "generation_kwargs": {"min_new_tokens": arguments.completion_tokens},
        "gradient_checkpointing": False,
        "beta": arguments.beta,
    } | on_device(arguments)
    settings["bf16"] |= arguments.mixed
    own = {} if arm == "trl" else {"skip_without_advantage": "off" if arm == "off" else "auto"}
    parent, config = {"trl": (GRPOTrainer, GRPOConfig), "acre": (ACRETrainer, ACREConfig)}.get(
        arm, (GuardedGRPOTrainer, OwnConfig)
    )
    trainer = type("PlannedTrainer", (Planned, parent), {})(
        model,
        [paid_twice if arm == "acre" else paid],
        config(**settings | own),
        Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(arguments.model, padding_side="left"),
        **({"render_prompt": render} if arm == "acre" else {}),
    )
    trainer.now, trainer.number, trainer.generates = clock(arguments, arguments.clock), 0, arguments.rounds > 0
    trainer.train()
    return trainer


def take_step(trainer: Any, rows: list[dict[str, Any]], number: int) -> None:
    """Takes one whole step: generation, second pass, rewards, all batches of the update, optimizer."""
    trainer.model.train()
    trainer.number, trainer._step, trainer._buffered_inputs = number, 0, None
    for _ in range(trainer.args.gradient_accumulation_steps):
        trainer.training_step(trainer.model, rows, None)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()


def floor_of(trainer: Any, batches: list[Any]) -> int:
    """Counts the operations of the rows with an advantage, each read alone, forward and backward."""
    window, flops = Window(batches, trainer.loss_type), 0
    for row in window.taught:
        window.packed = [[row]]
        (batch,) = filter(None, map(trainer._cut, window.batches(1)))
        flops += cost_of(
            trainer.model, lambda batch=batch: trainer._compute_loss(trainer.model, batch).backward()
        ).flops
    trainer.optimizer.zero_grad()
    return flops


def count(trainers: dict[str, Any], rows: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Counts a step of every arm without generation, and what the update of TRL's needs at least."""
    costs: dict[str, Cost] = {}
    for arm, trainer in trainers.items():
        trainer.generates = False
        costs[arm] = cost_of(trainer.model, partial(take_step, trainer, rows, 0), device)
    trainers["grpo"]._cuts = False
    take_step(trainers["grpo"], rows, 0)
    batches, trainers["grpo"]._cuts = trainers["grpo"]._buffered_inputs, True
    floor = floor_of(trainers["grpo"], batches)
    for trainer in trainers.values():
        trainer.generates = True
    found: dict[str, Any] = {"floor_flops": floor}
    for arm, cost in costs.items():
        found[arm] = {
            "flops": cost.flops,
            "over_floor": cost.flops / floor,
            "over_trl": cost.flops / costs["trl"].flops,
            "tokens": cost.tokens,
            "peak_over_trl": cost.peak_bytes / costs["trl"].peak_bytes,
        }
        print(
            f"  {arm:5s} {cost.flops:.3e} FLOPs, {found[arm]['over_floor']:.3f} of the floor, "
            f"{found[arm]['over_trl']:.3f} of trl; {cost.tokens:,} tokens; peak {found[arm]['peak_over_trl']:.3f}",
            flush=True,
        )
    return found


def measure(arguments: argparse.Namespace, rate: float) -> dict[str, Any]:
    """Times and counts every arm at one pass rate."""
    rng = random.Random(f"rate/{rate}")
    rows = make_rows(arguments.prompts * max(1, arguments.rounds), rng)
    for row in rows:
        row["prompt"] = " ".join(rng.choices(WORDS, k=arguments.more_words)) + row["prompt"]
        row["right"] = [float(rng.random() < rate) for _ in range(GENERATIONS)]
    trainers = {arm: make_trainer(arm, arguments, rows) for arm in arguments.arms}
    now = clock(arguments, arguments.clock)
    whole: dict[str, list[float]] = {arm: [] for arm in trainers}
    update: dict[str, list[float]] = {arm: [] for arm in trainers}
    for number in range(arguments.rounds):
        asked = rows[number * arguments.prompts :][: arguments.prompts]
        batch = [row for row in asked for _ in range(GENERATIONS)]
        for arm in trainers if number % 2 else reversed(trainers):
            started = now()
            take_step(trainers[arm], batch, number)
            whole[arm].append(now() - started)
            update[arm].append(whole[arm][-1] - trainers[arm].scored)
        print(f"  round {number}: " + ", ".join(f"{arm} {whole[arm][-1]:.2f} s" for arm in trainers), flush=True)
    found: dict[str, Any] = {}
    for arm in trainers if arguments.rounds else ():
        ratios = {"whole": ratios_of(whole[arm], whole["trl"]), "update": ratios_of(update[arm], update["trl"])}
        found[arm] = {
            name: {"median": middle, "quartiles": [low, high]} for name, (middle, low, high) in ratios.items()
        }
        found[arm]["seconds"] = {"whole": statistics.median(whole[arm]), "update": statistics.median(update[arm])}
        words = ", ".join(f"{name} {m:.3f} ({low:.3f}-{high:.3f})" for name, (m, low, high) in ratios.items())
        print(f"  {arm:5s} of trl: {words}; {found[arm]['seconds']['whole']:.2f} s a step")
    batch = [row for row in rows[: arguments.prompts] for _ in range(GENERATIONS)]
    found["counted"] = count(trainers, batch, arguments.device)
    return found


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=model_there, default=SMOLLM2, help=ABOUT_MODEL)
    parser.add_argument("--pass_rates", type=float, nargs="+", default=[0.1, 0.5, 0.9])
    parser.add_argument("--prompts", type=int, default=4, help="in a step, each in a batch of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--completion_tokens", type=int, default=128)
    parser.add_argument("--more_words", type=int, default=0, help="in each prompt, which has some 120 tokens")
    parser.add_argument("--beta", type=float, default=0.0, help="weight of the KL, which is over all completions")
    parser.add_argument("--mixed", action="store_true", help="weights as they are, computing in bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    add_device(parser)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    if arguments.model in NAMES:
        arguments.model = random_model(tempfile.mkdtemp(), arguments.model, 0)
    found = {}
    for rate in arguments.pass_rates:
        print(f"pass rate {rate}")
        found[str(rate)] = measure(arguments, rate)
    write_numbers(arguments.json, {"torch": torch.__version__, "prompts": arguments.prompts, "rates": found})


if __name__ == "__main__":
    main()
