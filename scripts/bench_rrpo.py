"""Time and peak memory of RRPO against TRL's DPO on the same batch of the same model.

    python scripts/make_smollm2.py --out models/smollm2-135m
    python scripts/bench_rrpo.py --model models/smollm2-135m --tokens 512 1024 --rounds 5 --json bench.json

A batch is two pairs; a quarter of each sequence is the prompt, and one response token in ten is marked. Time is that
of one forward and backward pass, of both arms in turn in one process; reported is the median of the ratios. It is
counted in seconds of the CPU, which other work on the machine hardly changes. Memory is the peak above both loaded
models of such a pass, gradients included, of each arm in a process of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from align.versions import installed_versions

ARMS = ("dpo", "rrpo")
PAIRS, PROMPT_SHARE, MARKED_EVERY = 2, 4, 10
GB = 1e9


def make_trainer(arm: str, arguments: argparse.Namespace) -> DPOTrainer:
    """Builds one arm with its own policy and reference, and takes one short step to warm up."""
    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": 1,
        "per_device_train_batch_size": 1,
        "gradient_checkpointing": arguments.gradient_checkpointing,
        "bf16": False,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    policy, reference = (AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32) for _ in ARMS)
    trainer_class, config = (DPOTrainer, DPOConfig) if arm == "dpo" else (RRPOTrainer, RRPOConfig)
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


def run_pass(trainer: DPOTrainer, batch: dict[str, torch.Tensor]) -> float:
    """Runs one forward and backward pass and returns its seconds of the CPU."""
    inputs = {name: value for name, value in batch.items() if name != "span_mask" or isinstance(trainer, RRPOTrainer)}
    trainer.model.train()
    trainer.model.zero_grad()
    started = time.process_time()
    trainer.compute_loss(trainer.model, inputs).backward()
    return time.process_time() - started


def resident(field: str) -> float:
    """Reads the resident set now (`VmRSS`) or its highest value (`VmHWM`), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def peak_memory(arm: str, arguments: argparse.Namespace, num_tokens: int) -> float:
    """Measures the peak above the loaded models of one pass in this process, in bytes."""
    trainer = make_trainer(arm, arguments)
    trainer.model.zero_grad(set_to_none=True)
    trainer.optimizer = trainer.lr_scheduler = None  # the step of the warm-up left its moments
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest value is counted from here
    run_pass(trainer, make_batch(num_tokens, len(trainer.processing_class), 0))
    return resident("VmHWM") - before


def peak_in_a_process(arm: str, words: list[str], num_tokens: int) -> float:
    """Measures an arm's peak in a fresh process."""
    command = [sys.executable, __file__, *words, "--peak_of", arm, "--tokens", str(num_tokens)]
    # glibc keeps freed memory in one pool per thread otherwise, and the peak would be that of the pools
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def compare(arguments: argparse.Namespace, words: list[str], num_tokens: int) -> dict[str, Any]:
    """Compares both arms at one length and prints what came out."""
    peaks = {arm: peak_in_a_process(arm, words, num_tokens) for arm in ARMS}
    trainers = {arm: make_trainer(arm, arguments) for arm in ARMS}
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(arguments.rounds):
        batch = make_batch(num_tokens, len(trainers["dpo"].processing_class), number)
        for arm in ARMS if number % 2 else reversed(ARMS):
            seconds[arm].append(run_pass(trainers[arm], batch))
    ratios = [rrpo / dpo for rrpo, dpo in zip(seconds["rrpo"], seconds["dpo"], strict=True)]
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    memory = peaks["rrpo"] / peaks["dpo"]
    for arm in ARMS:
        print(f"{num_tokens:5d} tokens  {arm:5s} {statistics.median(seconds[arm]):7.2f} s  {peaks[arm] / GB:6.2f} GB")
    print(
        f"{num_tokens:5d} tokens  ratio {statistics.median(ratios):.3f} of the time (quartiles {quartiles[0]:.3f}-"
        f"{quartiles[2]:.3f}), {memory:.3f} of the peak above the models",
        flush=True,
    )
    return {
        "seconds": seconds,
        "time_ratio": statistics.median(ratios),
        "time_ratio_quartiles": quartiles,
        "peak_bytes_above_models": peaks,
        "memory_ratio": memory,
    }


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024], help="Length of a sequence.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gradient_checkpointing", action="store_true", help="TRL's default.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak_of", choices=ARMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print(peak_memory(arguments.peak_of, arguments, arguments.tokens[0]))
        return
    words = ["--model", arguments.model, "--threads", str(arguments.threads)]
    words += ["--gradient_checkpointing"] if arguments.gradient_checkpointing else []
    results = {num_tokens: compare(arguments, words, num_tokens) for num_tokens in arguments.tokens}
    if arguments.json:
        record = {"rounds": arguments.rounds, "gradient_checkpointing": arguments.gradient_checkpointing}
        arguments.json.write_text(json.dumps(installed_versions() | record | {"tokens": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
