"""Does LfU hold hidden states under a step of ascent, and does that keep what a model knew or help it generalise?

    python -m scripts.labs.sft.lab --seeds 5 --check_bars --json lab.json

The model of the ACRE lab knows to read the digit at an index: `03203[2]`. Few demonstrations (48) teach it another
task, `03203(2)`, where the index counts from the end. Every arm starts from the same model and takes the same steps on
the same rows; `sft_half` takes half of them. Then, for each arm:

- `drift`: the model is moved by alpha = 0.1 along the gradient of its loss on held-out demonstrations, and hidden
  states at their answers are compared before and after: mean square of the change over mean square, over all layers.
  This is what LfU trains for, on rows that it was not trained on.
- `rise`: by how many nats per token the loss on these rows rises under that step.
- `new`, `known`: held-out questions of both tasks that are answered right throughout, trace and letter.

Under a minute for each seed on one core. The bar is about `drift` of the arm `lfu` alone: the rest did not hold.
"""

import argparse
import random
import sys
import tempfile
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from align.assets import asset_dir
from align.evaluation.statistics.metrics import mean_over_seeds
from align.experimental.lfu.config import LfUConfig
from align.experimental.lfu.trainer import LfUTrainer
from rewards.reading.options import LETTERS, render_options
from scripts.harness import ON_A_CPU, Options, quiet, seeds_of, tell, with_interval, write_numbers
from scripts.labs.acre.make import DIGITS, read_digit, split_texts

MODEL = asset_dir("recipes") / "acre/assets/lab/model"
NUM_SHOWN, NUM_HELD_OUT = 48, 200
ALPHA = 0.1
ARMS: dict[str, dict[str, Any]] = {
    "sft": {},
    "sft_half": {"max_steps": 0.5},
    "lfu": {"lfu_coef": 5.0, "lfu_alpha": ALPHA},
    "lfu_aux_lora": {"lfu_coef": 5.0, "lfu_alpha": ALPHA, "lfu_mode": "aux_lora"},
}
METRICS = ("drift", "rise", "loss", "new", "known")
Rows = list[dict[str, str]]


def make_rows(texts: list[str], rng: random.Random, *, new: bool) -> Rows:
    """Makes demonstrations of one of the two tasks."""
    rows = []
    for text in texts:
        options = rng.sample(DIGITS, len(DIGITS))
        digit = text[4 - int(text[-2])] if new else read_digit(text)
        question = text.replace("[", "(").replace("]", ")") if new else text
        answer = f"<think>{digit}</think><answer>{LETTERS[options.index(digit)]}</answer>"
        rows.append({"prompt": f"{question}\n{render_options(options)}", "completion": answer})
    return rows


def tokenise(tokenizer: Any, rows: Rows) -> tuple[Tensor, Tensor]:
    """Tokenises rows, which all have one length, into ids and labels, `(N, T)` each."""
    ids = tokenizer([row["prompt"] + row["completion"] + tokenizer.eos_token for row in rows], return_tensors="pt")
    labels = ids["input_ids"].clone()
    labels[:, : len(tokenizer(rows[0]["prompt"])["input_ids"])] = -100
    return ids["input_ids"], labels


def train(arm: str, seed: int, rows: Rows, arguments: argparse.Namespace) -> Any:
    """Trains one arm from the lab's model and returns it."""
    settings = dict(ARMS[arm])
    steps = round(arguments.steps * settings.pop("max_steps", 1.0))
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    trainer = LfUTrainer(
        AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32),
        args=LfUConfig(
            output_dir=tempfile.mkdtemp(), max_steps=steps, per_device_train_batch_size=16, learning_rate=1e-3,
            lr_scheduler_type="cosine", seed=seed, **ON_A_CPU, **settings,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.model.eval()


def accuracy(model: Any, ids: Tensor, labels: Tensor) -> float:
    """Returns the share of rows whose learnt tokens are all the likeliest: what greedy decoding would write."""
    with torch.no_grad():
        likeliest = model(ids).logits[:, :-1].argmax(-1)
    return ((likeliest == labels[:, 1:]) | (labels[:, 1:] == -100)).all(-1).float().mean().item()


def ascend(model: Any, ids: Tensor, labels: Tensor) -> dict[str, float]:
    """Moves the model by a fixed step of ascent, measures what that changes, and takes it back."""
    weights = list(model.parameters())
    outputs = model(ids, labels=labels, output_hidden_states=True)
    gradients = torch.autograd.grad(outputs.loss, weights)
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    saved = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.add_(ALPHA * gradient / norm)
        moved = model(ids, labels=labels, output_hidden_states=True)
        for weight, before in zip(weights, saved, strict=True):
            weight.copy_(before)
    learnt = labels != -100
    shares = [
        (after[learnt] - before[learnt]).square().mean() / before[learnt].square().mean()
        for before, after in zip(outputs.hidden_states[1:], moved.hidden_states[1:], strict=True)
    ]
    drift = torch.stack(shares).mean().item()
    return {"drift": drift, "rise": (moved.loss - outputs.loss).item(), "loss": outputs.loss.item()}


def run_seed(seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Trains and measures every arm on the demonstrations of one seed."""
    rng = random.Random(seed)
    shown, held_out = split_texts(rng)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    rows = make_rows(shown[:NUM_SHOWN], rng, new=True)
    new, known = (tokenise(tokenizer, make_rows(held_out[:NUM_HELD_OUT], rng, new=task)) for task in (True, False))
    found = {}
    for arm in ARMS:
        model = train(arm, seed, rows, arguments)
        found[arm] = ascend(model, *new) | {"new": accuracy(model, *new), "known": accuracy(model, *known)}
        print(f"seed {seed}  {arm:12s} " + "  ".join(f"{name} {found[arm][name]:.4f}" for name in METRICS), flush=True)
    return found


def main(argv: list[str] | None = None) -> int:
    """Runs the lab; returns 1 if the bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_seeds(5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_numbers("exit code 1 if `lfu` drifts more in some seed")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    seeds = seeds_of(arguments)
    runs = {seed: run_seed(seed, arguments) for seed in seeds}
    for arm in ARMS:
        means = {
            name: with_interval(mean_over_seeds([run[arm][name] for run in runs.values()]), 4) for name in METRICS
        }
        print(f"{arm:12s} " + "  ".join(f"{name} {means[name]}" for name in METRICS))
    ratios = {arm: [run[arm]["drift"] / run["sft"]["drift"] for run in runs.values()] for arm in ARMS}
    for arm in list(ARMS)[1:]:
        mean = with_interval(mean_over_seeds(ratios[arm]), 2)
        print(f"drift of {arm} over that of sft: {mean}, highest {max(ratios[arm]):.2f}")
    missed = tell({"`lfu` drifts less than `sft` in every seed": max(ratios["lfu"]) < 1}, arguments)
    record = {"steps": arguments.steps, "threads": arguments.threads, "runs": runs, "drift_ratios": ratios}
    write_numbers(arguments.json, record)
    return missed


if __name__ == "__main__":
    sys.exit(main())
