"""How `lab.py` makes a start policy, trains an arm, and measures it."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, repeat
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from rewards import AnswerConsistency, accuracy, text_accuracy
from rewards.reading.options import parse_choice
from rewards.reading.responses import parse_response
from scripts.harness import ON_A_CPU, share
from scripts.labs.acre.lab import SameOrder
from scripts.labs.regime.worlds import World, demonstration, draw_options, render
from scripts.labs.tiny_models import IGNORED, Batch, make_model, make_tokenizer, save, teach

# The settings below were chosen in the world `sums` with two options, on seed 100 and its own start, and frozen before
# any other seed, world or number of options was run. Nothing of them was chosen on seeds 0 to 4.
BATCH = 64


class Phase(NamedTuple):
    """A phase of the warm start; `lookups` is the share of demonstrations that teach only the letter of an option."""

    steps: int
    learning_rate: float
    lookups: float


LOOKUP = {2: Phase(900, 4e-3, 1.0), 4: Phase(800, 4e-3, 1.0)}
TASK = Phase(1200, 3e-3, 0.3)
SETTINGS: dict[str, Any] = {
    "max_steps": 80,
    "per_device_train_batch_size": 64,
    "num_generations": 8,
    "max_completion_length": 11,
    "learning_rate": 5e-4,
    "lr_scheduler_type": "constant",
    "beta": 0.0,
    "max_grad_norm": 1.0,
    "temperature": 1.0,
    "scale_rewards": "group",
    "bf16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "second_pass_batch_size": 64,
}
FROZEN: dict[str, Any] = {"settings": SETTINGS, "batch": BATCH, "lookup": LOOKUP, "task": TASK}
QUIET = ON_A_CPU | {"log_completions": False, "logging_strategy": "no", "skip_without_advantage": "off"}
LATE = 10  # steps at the end, over which sampled traces are averaged
REACHED, WINDOW = 0.6, 5  # a share of right traces, and the steps that it is averaged over


class Arm(NamedTuple):
    """What differs from GRPO: the coefficients of ACRE, its trainer, and settings."""

    coefficients: tuple[float, ...] | None = None
    trainer: type[ACRETrainer] = ACRETrainer
    settings: dict[str, Any] = {}  # noqa: RUF012
    has_options: bool = True


ARMS: dict[str, Arm | None] = {
    "start": None,
    "grpo": Arm(),
    "grpo, 2.5e-4": Arm(settings={"learning_rate": 2.5e-4}),
    "grpo, 1e-3": Arm(settings={"learning_rate": 1e-3}),
    "grpo, 16 generations": Arm(settings={"num_generations": 16}),
    "acre": Arm((1.0, 0.0, 0.0)),
    "acre (1, .5, .2)": Arm((1.0, 0.5, 0.2)),
    "acre, sampled": Arm((1.0, 0.0, 0.0), settings={"second_answer_temperature": 1.0}),
    "placebo": Arm((1.0, 0.0, 0.0), trainer=SameOrder),
    "text": Arm(has_options=False),
}
Metrics = dict[str, float]
Row = dict[str, Any]


class Place(NamedTuple):
    """A world with its number of options."""

    world: World
    num_options: int


def start_policy(place: Place, number: int, folder: Path) -> Path:
    """Makes the start policy of a place, unless the folder has it; returns where it is."""
    world, options = place.world.name, place.num_options
    path = folder / f"{world}-{options}-{number}"
    if not (path / "tokenizer.json").is_file():
        model = AutoModelForCausalLM.from_pretrained(lookup_policy(options, folder), dtype=torch.float32)
        rng = random.Random(f"start {world} {options} {number}")
        forms = ((options, options, 0)[step % 3] for step in count())  # one form in a batch: no padding
        fit(model, TASK, (partial(demonstration, place.world, form, rng) for form in forms))
        save(model, make_tokenizer(), path)
    return path


def lookup_policy(options: int, folder: Path) -> Path:
    """Makes the policy from which all starts come, unless the folder has it: it finds the letter of a trace's end."""
    path = folder / f"lookup-{options}"
    if not (path / "tokenizer.json").is_file():
        torch.manual_seed(0)
        if options == 2:
            model = make_model(make_tokenizer(), tie_word_embeddings=True)  # they find letters of more options sooner
        else:  # by way of two options, which are learnt sooner
            model = AutoModelForCausalLM.from_pretrained(lookup_policy(2, folder), dtype=torch.float32)
        fit(model, LOOKUP[options], repeat(partial(demonstration, World.draw("sums", -1), options, random.Random(0))))
        save(model, make_tokenizer(), path)
    return path


def fit(model: Any, phase: Phase, demonstrate: Iterator[Callable[..., tuple[str, str, bool]]]) -> None:
    """Teaches a model the demonstrations of a phase."""
    tokenizer = make_tokenizer()
    drawn = ([make(lookups=phase.lookups) for _ in range(BATCH)] for make in demonstrate)
    teach(model, (make_batch(tokenizer, made) for made in drawn), phase.steps, phase.learning_rate)


def make_batch(tokenizer: Any, made: list[tuple[str, str, bool]]) -> Batch:
    """Tokenises demonstrations of one form; from some only the answer is learnt."""
    ids = tokenizer([prompt + response + tokenizer.eos_token for prompt, response, _ in made], return_tensors="pt")
    labels = ids["input_ids"].clone()
    behind = len(tokenizer(made[0][0])["input_ids"])
    labels[:, :behind] = IGNORED
    answer = labels.shape[1] - 4  # <answer>, what it is, </answer>, and the end
    labels[[not learnt for _, _, learnt in made], behind + 1 : answer] = IGNORED
    return ids["input_ids"], None, labels


def training_rows(place: Place, arm: Arm, seed: int) -> list[Row]:
    """Makes a row of each training question, in an order of the seed; its options are drawn once."""
    rng = random.Random(f"rows {seed}")
    rows = []
    for question in rng.sample(place.world.train, len(place.world.train)):
        right = place.world.right(question)
        options = draw_options(right, place.num_options, rng)
        row = {"id": question, "question": question, "right": right}
        if arm.has_options:
            row |= {"options": options, "answer": options.index(right), "prompt": render(question, options)}
        else:
            row |= {"answer": right, "prompt": render(question, [])}
        rows.append(row)
    return rows


class Draws:
    """Notes what is sampled in each step."""

    def __init__(self) -> None:
        self.right: dict[int, float] = {}  # by step: the share of right traces
        self.tokens: dict[int, int] = {}

    def trace_is_right(
        self, completions: list[str], completion_ids: list[list[int]], right: list[str], trainer_state: Any, **_: Any
    ) -> list[float]:
        """Scores traces, as a reward that weighs nothing."""
        found = [float(trace_end(text) == gold) for text, gold in zip(completions, right, strict=True)]
        step = trainer_state.global_step
        self.right[step], self.tokens[step] = sum(found) / len(found), sum(map(len, completion_ids))
        return found


def train(arm: Arm, place: Place, model: Any, tokenizer: Any, seed: int, overrides: dict[str, Any]) -> Metrics:
    """Trains a model in place; returns how often its sampled traces were right meanwhile."""
    settings = SETTINGS | QUIET | overrides | arm.settings
    draws = Draws()
    with tempfile.TemporaryDirectory() as folder:
        settings |= {"output_dir": folder, "seed": seed, "shuffle_dataset": False, "reward_weights": [1.0, 0.0]}
        given: dict[str, Any] = {
            "model": model,
            "train_dataset": Dataset.from_list(training_rows(place, arm, seed)),
            "processing_class": tokenizer,
        }
        trainer: Any
        if arm.has_options:
            reward = accuracy if arm.coefficients is None else AnswerConsistency(*arm.coefficients)
            args = ACREConfig(second_pass="off" if arm.coefficients is None else "forward", **settings)
            own = {"render_prompt": render, "shuffle_seed": seed}
            trainer = arm.trainer(reward_funcs=[reward, draws.trace_is_right], args=args, **given, **own)
        else:
            settings.pop("second_pass_batch_size")
            rewards = [text_accuracy, draws.trace_is_right]
            trainer = GuardedGRPOTrainer(reward_funcs=rewards, args=GRPOConfig(**settings), **given)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    seen = list(draws.right.values())
    return {
        "trained_trace": sum(seen) / len(seen),
        "late_trace": sum(seen[-LATE:]) / len(seen[-LATE:]),
        "steps_to_reach": float(first_reached(seen)),
        "tokens": float(sum(draws.tokens.values())),
    }


def first_reached(shares: list[float]) -> int:
    """Returns the first step whose average over the last few steps is high enough; past the end if none is.

    Example:
        >>> first_reached([0.0, 0.9, 0.9, 0.9, 0.9]), first_reached([0.0] * 9)
        (5, 10)
    """
    averages = ((step, sum(shares[step - WINDOW : step]) / WINDOW) for step in range(WINDOW, len(shares) + 1))
    return next((step for step, average in averages if average >= REACHED), len(shares) + 1)


def trace_end(text: str) -> str | None:
    """Returns what the trace of a response ends in."""
    trace = parse_response(text).trace
    return None if trace is None else trace.rpartition(";")[2]


def measure(place: Place, model: Any, tokenizer: Any) -> Metrics:
    """Answers the held-out questions greedily, with options in two orders."""
    rng = random.Random("held out")
    golds, shown, turned = [], [], []
    for question in place.world.held_out:
        right = place.world.right(question)
        options = draw_options(right, place.num_options, rng)
        golds.append(right)
        shown.append(options)
        turned.append(rng.sample(options, len(options)))
    write = partial(answer, model, tokenizer)
    texts = write([render(question, options) for question, options in zip(place.world.held_out, shown, strict=True)])
    again = write([render(question, options) for question, options in zip(place.world.held_out, turned, strict=True)])
    named = [chosen(text, options) for text, options in zip(texts, shown, strict=True)]
    named_again = [chosen(text, options) for text, options in zip(again, turned, strict=True)]
    ends = [trace_end(text) for text in texts]
    off = [
        end not in options for end, options, gold in zip(ends, shown, golds, strict=True) if end != gold
    ]  # of the wrong traces
    return {
        "trace_accuracy": share(end == gold for end, gold in zip(ends, golds, strict=True)),
        "accuracy": share(name == gold for name, gold in zip(named, golds, strict=True)),
        "consistency": share(one == other for one, other in zip(named, named_again, strict=True)),
        "trace_is_answer": share(end == name for end, name in zip(ends, named, strict=True)),
        "wrong_names_none": share(off),
    }


def chosen(text: str, options: list[str]) -> str | None:
    """Returns the option that a response chooses."""
    choice = parse_choice(parse_response(text).answer, options)
    return None if choice is None else options[choice]


def answer(model: Any, tokenizer: Any, prompts: list[str], *, sample: bool = False) -> list[str]:
    """Writes a response to each prompt; all prompts have the same length."""
    model.eval()
    ids = tokenizer(prompts, return_tensors="pt")
    with torch.no_grad():
        written = model.generate(**ids, max_new_tokens=SETTINGS["max_completion_length"], do_sample=sample)
    texts: list[str] = tokenizer.batch_decode(written[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


def run_arm(name: str, place: Place, start: Path, seed: int, overrides: dict[str, Any]) -> Metrics:
    """Trains one arm with one seed from a start and measures it."""
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(start)
    arm, began = ARMS[name], time.process_time()
    found: Metrics = {}
    if arm is None:
        torch.manual_seed(seed)
        rows = training_rows(place, Arm(), seed)[:256]
        texts = answer(model, tokenizer, [row["prompt"] for row in rows], sample=True)
        right = share(trace_end(text) == row["right"] for text, row in zip(texts, rows, strict=True))
        found = {"trained_trace": right, "late_trace": right}
    else:
        found = train(arm, place, model, tokenizer, seed, overrides)
    return found | {"cpu_seconds": time.process_time() - began} | measure(place, model, tokenizer)
