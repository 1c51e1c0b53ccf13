"""ACRE with vLLM in the trainer's process, asleep between rollouts: both ways of second answers, and the weights.

    python -m scripts.checks.engine --model random-large --device cuda --dtype bfloat16 --json engine.json

Two steps with second answers by the engine, two by a forward pass of the policy. `asked` is the least share of rows
asked again in a step. Then the weights are moved by more than a step would and exchanged once: `letters` is the mean
difference between both kinds of second answers, in nats, `sampled` that of the log-probabilities of sampled tokens, of
the engine against the policy. `freed` is how much of what the engine may hold it gives back in its sleep (GPUs only).
"""

import os
import random
import socket
import tempfile
from argparse import Namespace
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer

from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.models.second_pass.forward import SecondPassRow
from rewards import AnswerConsistency
from scripts.benches import acre as bench_acre
from scripts.benches.device import add_device, on_device, weights
from scripts.benches.random_model import NAMES, random_model
from scripts.harness import Options, quiet, write_numbers
from scripts.labs.tiny_models import TAGS

TOKENS, SHARE, MOVED = 16, 0.3, 0.3  # of a completion; of a GPU's memory; a step on weights, of their deviation


class Answered(ACRETrainer):
    """Samples for real, then puts the sampled tokens into a response that has an answer."""

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        sampled, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        start, end = (self._tokenizer.encode(text) for text in ("<think>", "</think><answer>B</answer>"))
        marks = {*self._tokenizer.convert_tokens_to_ids(list(TAGS)), 0, 1, 2}
        ids = [start + [token for token in tokens if token not in marks] + end for tokens in sampled]
        return ids, logps and [[0.0] * len(tokens) for tokens in ids]


def make_trainer(folder: str, arguments: Namespace, **settings: Any) -> Answered:
    """Builds ACRE with an engine."""
    rows = bench_acre.make_rows(16, random.Random(0))
    config = ACREConfig(
        use_vllm=True, max_steps=2, learning_rate=1e-4, logging_steps=1, per_device_train_batch_size=8,
        num_generations=8, max_completion_length=TOKENS, vllm_importance_sampling_correction=False,
        second_pass="vllm", second_pass_rows="all",
        model_init_kwargs=weights(arguments), vllm_max_model_length=1024, **on_device(arguments), **settings,
    )  # fmt: skip
    return Answered(
        folder, [AnswerConsistency()], config, Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"), render_prompt=bench_acre.render,
    )  # fmt: skip


def second_rows(trainer: Any, count: int = 24) -> list[SecondPassRow]:
    """Draws questions of the second pass."""
    rng, letters = random.Random(1), trainer._tokenizer.convert_tokens_to_ids(list("ABCD"))
    prompt = [rng.randrange(3, 100) for _ in range(60)]
    return [SecondPassRow(prompt, [rng.randrange(3, 100) for _ in range(1 + n)], letters) for n in range(count)]


def mean_difference(one: list[list[float]], other: list[list[float]]) -> float:
    """Averages over all letters of all rows."""
    return float((torch.tensor(one) - torch.tensor(other)).abs().mean())


def trained_in_both_ways(trainer: Answered) -> dict[str, Any]:
    """Takes two steps with second answers by the engine, and two by the policy."""
    found: dict[str, Any] = {"asked": 1.0, "steps": 0, "seconds": {}}
    for backend in ("vllm", "forward"):
        trainer.args.second_pass = backend
        trainer.train()
        steps = [entry for entry in trainer.state.log_history if "acre/asked_again" in entry]
        found["steps"] += len(steps)
        found["asked"] = min(found["asked"], *(entry["acre/asked_again"] for entry in steps))
        found["seconds"][backend] = steps[-1]["acre/second_pass_seconds"]
    return found


def after_an_update(trainer: Answered) -> dict[str, float]:
    """Moves the weights, exchanges them, and asks engine and policy the same."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trainer.model.parameters():
            if weight.dim() > 1:
                weight.add_(torch.randn_like(weight), alpha=MOVED * float(weight.std()))
    trainer._last_loaded_step = -1  # as after an optimizer step
    prompt = trainer._tokenizer.encode("Question: the river of stone?")
    sampled, logps = ACRETrainer._generate_single_turn(trainer, [prompt] * 8, None, {}, 8)
    differences = []
    trainer.model.eval()
    for tokens, own in zip(sampled, logps, strict=True):
        ids = torch.tensor([prompt + tokens], device=trainer.model.device)
        with torch.no_grad():
            found = trainer.model(ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        right = found.gather(1, ids[0, len(prompt) :, None])[:, 0]
        differences.append((torch.tensor([_number(each) for each in own], device=right.device) - right).abs().mean())
    scores = {}
    for backend in ("vllm", "forward"):
        trainer.args.second_pass = backend
        scores[backend] = trainer._score(second_rows(trainer))
    letters = mean_difference(scores["vllm"], scores["forward"])
    return {"sampled": float(torch.stack(differences).mean()), "letters": letters}


def freed(trainer: Answered) -> float:
    """Measures what a sleeping engine gives back, as a share of what it may hold."""
    generation = trainer.vllm_generation
    asleep, total = torch.cuda.mem_get_info()
    generation.llm.wake_up()
    awake, _ = torch.cuda.mem_get_info()
    generation.llm.sleep(level=2)
    generation._llm_weights_sleeping = True
    return (asleep - awake) / (SHARE * total)


def main(argv: list[str] | None = None) -> None:
    """Runs the engine."""
    parser = Options(__doc__)
    parser.add_argument("--model", choices=NAMES, default="random")
    add_device(parser)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    quiet()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ["MASTER_PORT"] = str(free.getsockname()[1])
    folder = random_model(tempfile.mkdtemp(), arguments.model, dtype=arguments.dtype)
    sleeps = arguments.device == "cuda"
    settings = {"vllm_gpu_memory_utilization": SHARE, "vllm_enable_sleep_mode": sleeps}
    trainer = make_trainer(folder, arguments, vllm_mode="colocate", **settings)
    found = trained_in_both_ways(trainer)
    if sleeps:
        found["freed"] = freed(trainer)
    found |= after_an_update(trainer)
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    write_numbers(arguments.json, found)
    trainer.vllm_generation.llm.llm_engine.engine_core.shutdown()


def _number(value: Any) -> float:
    return float(value[0] if isinstance(value, list | tuple) else value)


if __name__ == "__main__":
    main()
