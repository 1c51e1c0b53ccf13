"""A step of GRPO and of ACRE that leaves out what teaches nothing, against TRL's GRPO, in one process.

    python -m scripts.models.smollm2 --out models/smollm2-135m
    python -m scripts.benches.zero_advantage --model models/smollm2-135m --pass_rates 0.1 0.5 0.9 --json bench.json
    python -m scripts.benches.zero_advantage --model random --rounds 0
    python -m scripts.benches.zero_advantage --model random-wide --rounds 0 --arms trl grpo --even --pass_rates 0.5 \
        --prompts 1 --prompt_tokens 1000 --completion_tokens 200 --beta 0.04 --mixed

A step is `--prompts` prompts with 8 completions each, in batches of 8. All arms really generate, and what was written
is then replaced by the same responses, whose lengths are drawn (log-normal, a median of four tenths of the longest)
and of which each is right with the pass rate, independently: the data are no easier or harder by prompt, which leaves
more groups with a spread than most data do. The arms are `trl` (TRL's `GRPOTrainer`), `grpo` (ours with
`skip_without_advantage: auto`) and `acre` (the same, with its second pass).

Reported are medians over rounds of the ratio to TRL's step of the same round, of the whole step and of the update
alone. One more step of each arm is counted, which no machine changes: operations without generation, over those of TRL
and over their floor (each distinct token of completions with an advantage once, forward and backward, and once more
by the reference; a token looks at what is before it only), tokens of the update over that floor, and the most bytes at
once. With `--even` all completions have full length and all prompts `--prompt_tokens`; `--mixed` is `bf16: true` on
weights in single precision.
"""

import argparse
import random
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
from scripts.benches.acre import fixed_response, make_rows, render
from scripts.benches.counted import Cost, cost_of, least
from scripts.benches.device import add_turns, clock, in_turns, model_of, on_device, told_costs, told_ratio, weights
from scripts.benches.random_model import ABOUT_MODEL, SMOLLM2, WORDS, model_there
from scripts.harness import Options, write_numbers

ARMS = ("trl", "grpo", "acre")
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
        lengths = [longest if self.even else min(longest, max(SHORTEST, length)) for length in lengths]  # type: ignore[attr-defined]
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
        "logging_steps": 10**9,  # what is logged is read here
    } | on_device(arguments)
    settings |= {"bf16": True} if arguments.mixed else {}
    own = {} if arm == "trl" else {"skip_without_advantage": "auto"}
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
    trainer.even = arguments.even
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
    """Counts the operations of reading each distinct token of completions that are needed once, and its way back."""
    rows = [(batch, row) for batch in batches for row in range(len(batch["advantages"]))]
    taught = [(batch, row) for batch, row in rows if trainer.beta or batch["advantages"][row]]
    prompts, written = (
        [batch[f"{part}_ids"][row][batch[f"{part}_mask"][row].bool()].tolist() for batch, row in taught]
        for part in ("prompt", "completion")
    )
    sequences = [prompt + text for prompt, text in zip(prompts, written, strict=True)]
    flops, _ = least(trainer.model.base_model, sequences, list(map(str, prompts)))
    flops += 2 * trainer.model.get_output_embeddings().weight.numel() * sum(map(len, written))
    return flops * (4 if trainer.beta else 3)


def count(trainers: dict[str, Any], rows: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Counts a step of every arm without generation, and what the update of TRL's needs at least."""
    costs: dict[str, Cost] = {}
    tokens: dict[str, float] = {}
    for arm, trainer in trainers.items():
        trainer.generates = False
        trainer._metrics["train"].clear()
        costs[arm] = cost_of(trainer.model, partial(take_step, trainer, rows, 0), device)
        logged = trainer._metrics["train"]
        if arm != "trl":
            tokens[arm] = logged["rollouts/read_tokens"][0] / logged["rollouts/floor_tokens"][0]
    floor = floor_of(trainers["trl"], trainers["trl"]._buffered_inputs)
    for trainer in trainers.values():
        trainer.generates = True
    found: dict[str, Any] = told_costs(costs, lambda arm: "trl")
    for arm, cost in costs.items():
        found[arm] |= {"over_floor": cost.flops / floor, "tokens_over_floor": tokens.get(arm)}
        read = f", its update {tokens[arm]:.3f} of the least tokens" if arm in tokens else ""
        print(f"{arm:11s} {cost.flops / floor:.3f} of the floor{read}")
    return found | {"floor_flops": floor}


def measure(arguments: argparse.Namespace, rate: float) -> dict[str, Any]:
    """Times and counts every arm at one pass rate."""
    rng = random.Random(f"rate/{rate}")
    rows = make_rows(arguments.prompts * max(1, arguments.rounds), rng)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    for row in rows:
        row["right"] = [float(rng.random() < rate) for _ in range(GENERATIONS)]
        if arguments.even:  # and all teach
            row["right"] = [float(place % 2) for place in range(GENERATIONS)]
        if missing := arguments.prompt_tokens - len(tokenizer(row["prompt"])["input_ids"]):
            row["prompt"] = " ".join(rng.choices(WORDS, k=max(0, missing // 2))) + row["prompt"]
    taught = sum(GENERATIONS for row in rows if 0 < sum(row["right"]) < GENERATIONS) / (GENERATIONS * len(rows))
    print(f"{taught:.0%} of the completions teach")
    trainers = {arm: make_trainer(arm, arguments, rows) for arm in arguments.arms}
    now = clock(arguments, arguments.clock)
    update: dict[str, list[float]] = {arm: [] for arm in trainers}

    def take(arm: str, number: int) -> float:
        asked = rows[number * arguments.prompts :][: arguments.prompts]
        started = now()
        take_step(trainers[arm], [row for row in asked for _ in range(GENERATIONS)], number)
        taken = now() - started
        update[arm].append(taken - trainers[arm].scored)
        return taken

    whole = in_turns(list(trainers), arguments.rounds, take)
    found: dict[str, Any] = {
        arm: {
            "whole": told_ratio(arm, whole[arm], whole["trl"]),
            "update": told_ratio(f"{arm} update", update[arm], update["trl"]),
        }
        for arm in (trainers if arguments.rounds else ())
    }
    batch = [row for row in rows[: arguments.prompts] for _ in range(GENERATIONS)]
    return found | {"taught_share": taught, "counted": count(trainers, batch, arguments.device)}


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=model_there, default=SMOLLM2, help=ABOUT_MODEL)
    parser.add_argument("--pass_rates", type=float, nargs="+", default=[0.1, 0.5, 0.9])
    parser.add_argument("--prompts", type=int, default=4, help="in a step, each in a batch of its own")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--completion_tokens", type=int, default=128)
    parser.add_argument("--even", action="store_true", help="completions of full length, all of which teach")
    parser.add_argument("--prompt_tokens", type=int, default=0, help="at least; by default 194 with random models")
    parser.add_argument("--beta", type=float, default=0.0)
    parser.add_argument("--mixed", action="store_true", help="bf16: true")
    add_turns(parser, 5)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    arguments.model = model_of(arguments)
    found = {}
    for rate in arguments.pass_rates:
        print(f"pass rate {rate}")
        found[str(rate)] = measure(arguments, rate)
    write_numbers(arguments.json, {"torch": torch.__version__, "prompts": arguments.prompts, "rates": found})


if __name__ == "__main__":
    main()
