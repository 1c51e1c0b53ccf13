"""How far the losses and gradients of every method in bfloat16 are from those in float32, on the same batch.

    python -m scripts.checks.numerics --model random-large --device cuda --json numerics.json

A step (forward and backward, as the trainer makes it) is taken with weights that bfloat16 can hold, computed in
float32, and once more with the same weights in bfloat16. Reported is the relative error of the loss and that of the
gradient, the norm of the difference over the norm. bfloat16 rounds by up to 2^-8 = 0.004. A loss is a mean over
tokens, whose errors cancel: 0.01 is more than rounding explains. A gradient of L layers has passed some 12 L such
roundings, which add like independent ones, 2^-9 sqrt(12 L): 0.016 for 6 layers, 0.03 for 16; hence 0.05. Some
gradients are differences of nearly equal terms, of which less is right: GRPO's, whose advantages add to 0, may be 0.25
off, which leaves a cosine of 0.97. GRPO's first loss is 0 in any type, and left out. For ACRE it is the largest
difference of a letter's log-probability, in nats.
"""

import gc
import random
import tempfile
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from align.data.tables.outcome_rows import Scale
from align.methods.deconfound.config import DeconfoundConfig
from align.methods.deconfound.trainer import DeconfoundTrainer
from align.models.second_pass.forward import SecondPassRow
from rewards.correction import NoCorrection
from scripts.benches import acre as bench_acre
from scripts.benches import crome as bench_crome
from scripts.benches import rrpo as bench_rrpo
from scripts.benches.random_model import NAMES, random_model
from scripts.harness import Options, quiet, write_numbers

TOKENS = 96
Taken = tuple[float, list[torch.Tensor]]


def rounded(model: nn.Module) -> None:
    """Rounds weights to what bfloat16 can hold."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16())


def taken(model: nn.Module, step: Callable[[], torch.Tensor]) -> Taken:
    """Takes a step; returns its loss and the gradient of every weight."""
    model.zero_grad(set_to_none=True)
    loss = float(step())
    return loss, [weight.grad.float() for weight in model.parameters() if weight.grad is not None]


def apart(right: Taken, found: Taken) -> dict[str, float]:
    """Returns the relative errors."""
    difference = sum(float((one - other).square().sum()) for one, other in zip(right[1], found[1], strict=True))
    length = sum(float(one.square().sum()) for one in right[1])
    return {"loss": abs(found[0] - right[0]) / max(abs(right[0]), 1e-12), "gradient": (difference / length) ** 0.5}


def errors(models: list[nn.Module], step: Callable[[], torch.Tensor]) -> dict[str, float]:
    """Takes a step with weights in both types; the first of the models is the one that learns."""
    for each in models:
        rounded(each)
    right = taken(models[0], step)
    for each in models:
        each.to(torch.bfloat16)
    return apart(right, taken(models[0], step))


def of_rrpo(arguments: Namespace) -> dict[str, float]:
    """Compares RRPO, with a reference that differs from the policy."""
    trainer = bench_rrpo.make_trainer("rrpo", arguments)
    batch = bench_rrpo.make_batch(TOKENS, len(trainer.processing_class), 0)
    with torch.no_grad():
        for weight in trainer.ref_model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1 * float(weight.std()) if weight.dim() > 1 else 0.0)
    return errors([trainer.model, trainer.ref_model], lambda: trainer.training_step(trainer.model, dict(batch)))


def of_crome(arguments: Namespace) -> dict[str, float]:
    """Compares Crome, ties included."""
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=1, dtype=torch.float32)
    rows = [
        {"prompt": f"Question {i}: ", "chosen": f"the river {i}", "rejected": f"north of stone {i} {i}",
         "tie": i % 2 == 1, "source": "preference"}
        for i in range(arguments.pairs)
    ]  # fmt: skip
    trainer = bench_crome.make_trainer("crome", model, tokenizer, rows, arguments)
    batch = trainer.data_collator([trainer.train_dataset[number] for number in range(len(rows))])
    return errors([trainer.model], lambda: trainer.training_step(trainer.model, dict(batch)))


def of_deconfound(arguments: Namespace) -> dict[str, float]:
    """Compares the regression on corrected outcomes."""
    rng = random.Random(0)
    rows = [
        {"prompt": "Question: ", "text": f"the river {i}", "label": rng.gauss(0, 1), "outcome": float(i),
         "confounders": [i % 5]}
        for i in range(arguments.pairs)
    ]  # fmt: skip
    fitted = NoCorrection().fit(range(40), {"age": [number % 5 for number in range(40)]})
    config = DeconfoundConfig(
        output_dir=tempfile.mkdtemp(), max_steps=1, per_device_train_batch_size=len(rows), bf16=False,
        report_to="none", use_cpu=arguments.device == "cpu", save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = DeconfoundTrainer(
        AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=1, dtype=torch.float32),
        config, Dataset.from_list(rows), correction=fitted.correction_, scale=Scale("clicks", 0.0, 1.0),
        processing_class=AutoTokenizer.from_pretrained(arguments.model),
    )  # fmt: skip
    trainer.train()
    batch = next(iter(trainer.get_train_dataloader()))
    return errors([trainer.model], lambda: trainer.training_step(trainer.model, dict(batch)))


def _rollouts(arm: str, arguments: Namespace) -> tuple[Any, Callable[[], torch.Tensor]]:
    rows = bench_acre.make_rows(8, random.Random(0))
    trainer = bench_acre.make_trainer(arm, arguments, rows)

    def step() -> torch.Tensor:
        trainer.model.train()
        trainer._step, trainer._buffered_inputs = 0, None  # the same responses again
        return trainer.training_step(trainer.model, [rows[0]] * 8, None)

    return trainer, step


def of_grpo(arguments: Namespace) -> dict[str, float]:
    """Compares GRPO, whose first loss is 0."""
    trainer, step = _rollouts("grpo", arguments)
    return {"gradient": errors([trainer.model], step)["gradient"]}


def of_acre(arguments: Namespace) -> dict[str, float]:
    """Compares the letters of second answers."""
    trainer, _ = _rollouts("acre", arguments)
    rng, letters = random.Random(1), trainer._tokenizer.convert_tokens_to_ids(list("ABCD"))
    prompt = [rng.randrange(3, 100) for _ in range(TOKENS)]
    rows = [SecondPassRow(prompt, [rng.randrange(3, 100) for _ in range(n)], letters) for n in range(1, 25)]
    rounded(trainer.model)
    trainer.model.eval()
    right = torch.tensor(trainer._score(rows))
    trainer.model.to(torch.bfloat16)
    return {"letters": float((torch.tensor(trainer._score(rows)) - right).abs().max())}


METHODS = {
    "rrpo": of_rrpo, "crome": of_crome, "deconfound": of_deconfound, "grpo": of_grpo, "acre": of_acre,
}  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Compares every method."""
    parser = Options(__doc__)
    parser.add_argument("--model", choices=NAMES, default="random")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    quiet()
    folder = random_model(tempfile.mkdtemp(), arguments.model)
    given = Namespace(
        model=folder, device=arguments.device, dtype="float32", completion_tokens=32,
        pairs=8,
    )  # fmt: skip
    found = {}
    for method in arguments.methods:
        found[method] = METHODS[method](given)
        print(f"{method:12s} " + ", ".join(f"{name} {value:.4f}" for name, value in found[method].items()), flush=True)
        gc.collect()
    write_numbers(arguments.json, {"model": arguments.model, "device": arguments.device}, found)


if __name__ == "__main__":
    main()
