"""Time and peak memory of RRPO against TRL's DPO on the same batch of the same model.

    python -m scripts.models.smollm2 --out models/smollm2-135m
    python -m scripts.benches.rrpo --model models/smollm2-135m --tokens 512 1024 --rounds 5 --json bench.json

    python -m scripts.benches.rrpo --model random-large --device cuda --dtype bfloat16

A batch is two pairs; a quarter of each sequence is the prompt, and one response token in ten is marked. Time is that
of one forward and backward pass, of both arms in turn in one process; reported is the median of the ratios. It is
counted in seconds of the CPU, which other work on the machine hardly changes, on a GPU in those of the wall. Another
pass of each is counted: operations, and the peak of bytes above both loaded models, gradients included, of tensors on
a CPU and of the allocator on a GPU. The floor of RRPO is what policy and reference do on the rows, see `floor_flops`.
"""

import argparse
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from trl.kernels.chunked_logprob import _use_triton

from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from scripts.benches.counted import Cost, cost_of, counting
from scripts.benches.device import add_turns, clock, in_turns, model_of, on_device, told_costs, told_ratio, weights
from scripts.benches.random_model import ABOUT_MODEL, SMOLLM2, model_there
from scripts.harness import Options, write_numbers

ARMS = ("dpo", "rrpo")
PAIRS, PROMPT_SHARE, MARKED_EVERY = 2, 4, 10
FLOOR_BAR = 1.05


def make_trainer(arm: str, arguments: argparse.Namespace) -> DPOTrainer:
    """Builds one arm with its own policy and reference, and takes one short step to warm up."""
    settings: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": 1,
        "gradient_checkpointing": False,
    } | on_device(arguments)
    policy, reference = (AutoModelForCausalLM.from_pretrained(arguments.model, **weights(arguments)) for _ in ARMS)
    trainer_class, config = (DPOTrainer, DPOConfig) if arm == "dpo" else (RRPOTrainer, RRPOConfig)
    if arm == "rrpo":  # what is measured is the loss; `shared_prompts` measures the rest
        settings["share_prompts"] = "off"
    trainer = trainer_class(
        policy,
        reference,
        args=config(**settings),
        train_dataset=Dataset.from_list([{"prompt": "Say it.", "chosen": "It is so.", "rejected": "It is not."}]),
        processing_class=AutoTokenizer.from_pretrained(arguments.model),
    )
    trainer.train()
    return trainer


def make_batch(num_tokens: int, vocabulary: int, number: int) -> dict[str, torch.Tensor]:
    """Draws two pairs whose responses share all tokens but the marked ones; `(4, num_tokens)` each."""
    generator = torch.Generator().manual_seed(number)
    shape = (PAIRS, num_tokens)
    chosen, rejected = (torch.randint(10, vocabulary, shape, generator=generator) for _ in range(2))
    completion = (torch.arange(num_tokens) >= num_tokens // PROMPT_SHARE).expand(shape).long()
    spans = completion * (torch.arange(num_tokens) % MARKED_EVERY == 0)
    rejected = torch.where(spans.bool(), rejected, chosen)
    return {
        "input_ids": torch.cat([chosen, rejected]),
        "attention_mask": torch.ones(2 * PAIRS, num_tokens, dtype=torch.long),
        "completion_mask": torch.cat([completion, completion]),
        "span_mask": torch.cat([spans, spans]),
    }


def run_pass(trainer: DPOTrainer, batch: dict[str, torch.Tensor]) -> None:
    """Runs one forward and backward pass, as TRL prepares a batch."""
    inputs = {name: value for name, value in batch.items() if name != "span_mask" or isinstance(trainer, RRPOTrainer)}
    inputs = {name: value.to(trainer.accelerator.device) for name, value in inputs.items()}
    trainer.model.train()
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, inputs).backward()


def floor_flops(trainer: RRPOTrainer, batch: dict[str, torch.Tensor]) -> int:
    """Counts a reading of the rows by policy and reference and a backward pass, and the head where it is needed.

    Needed are the tokens of the chosen response and the marked ones of the rejected: by the policy forward and twice
    backward, by the reference once. The other tokens of the rejected response are read forward by the policy alone,
    for the metrics that DPO logs of them.
    """
    inputs = {name: batch[name].to(trainer.accelerator.device) for name in ("input_ids", "attention_mask")}
    cost, trainer_model = Cost(), trainer.model
    trainer_model.zero_grad()
    with counting(trainer_model, cost):
        trainer_model.model(**inputs, use_cache=False)[0].sum().backward()
        with torch.no_grad():
            trainer.ref_model.model(**inputs, use_cache=False)
    needed = int(batch["completion_mask"][:PAIRS, 1:].sum() + batch["span_mask"][PAIRS:, 1:].sum())
    logged = int(batch["completion_mask"][:, 1:].sum()) - needed
    return cost.flops + 2 * ((1 + 2 + 1) * needed + logged) * trainer_model.get_output_embeddings().weight.numel()


def count(trainers: dict[str, DPOTrainer], batch: dict[str, torch.Tensor], device: str) -> dict[str, Any]:
    """Counts a pass of both arms, and how much more than the floor RRPO does."""
    for trainer in trainers.values():
        trainer.optimizer = trainer.lr_scheduler = None  # the step of the warm-up left its moments
        trainer.model.zero_grad(set_to_none=True)
    costs = {arm: cost_of(each.model, partial(run_pass, each, batch), device) for arm, each in trainers.items()}
    costs["rrpo"].floor_flops = floor_flops(trainers["rrpo"], batch)
    found: dict[str, Any] = told_costs(costs, lambda arm: "dpo")
    over = costs["rrpo"].flops / costs["rrpo"].floor_flops
    print(f"rrpo: {over:.3f} of the floor's FLOPs (bar {FLOOR_BAR})", flush=True)
    return found | {"flops_over_floor": over}


def compare(arguments: argparse.Namespace, num_tokens: int) -> dict[str, Any]:
    """Compares both arms at one length and prints what came out."""
    print(f"{num_tokens} tokens")
    trainers, now = {arm: make_trainer(arm, arguments) for arm in ARMS}, clock(arguments, "cpu")
    vocabulary = len(trainers["dpo"].processing_class)

    def take(arm: str, number: int) -> float:
        batch = make_batch(num_tokens, vocabulary, number)
        started = now()
        run_pass(trainers[arm], batch)
        return now() - started

    seconds = in_turns(ARMS, arguments.rounds, take)
    told = {arm: told_ratio(arm, seconds[arm], seconds["dpo"]) for arm in ARMS if arguments.rounds}
    return told | {"counted": count(trainers, make_batch(num_tokens, vocabulary, 0), arguments.device)}


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=model_there, default=SMOLLM2, help=ABOUT_MODEL)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024], help="Length of a sequence.")
    add_turns(parser, 5, threads=1, clock=None)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    arguments.model = model_of(arguments, vocabulary=32_000)  # as real models have: the loss is about it
    results = {num_tokens: compare(arguments, num_tokens) for num_tokens in arguments.tokens}
    about = {name: getattr(arguments, name) for name in ("rounds", "device", "dtype")}
    about["triton"] = int(_use_triton(torch.device(arguments.device)))  # what TRL asks itself
    write_numbers(arguments.json, about, {"tokens": results})


if __name__ == "__main__":
    main()
