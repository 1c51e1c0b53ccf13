"""Measures what ACRE does where answers are texts, over seeds and against augmentation alone.

    python -m scripts.labs.text.lab --first_seed 10 --seeds 5 --json lab_text_acre.json

In the world of `recipes/acre/quickstart-text.yaml` (see `world.py`) a cue in the prompt names the right answer in 75 %
of the training prompts, the trace can be bypassed, and no trace can be right on 40 % of them. The arms:

    sft                 the policy before RL
    grpo                the text reward alone
    acre                the recipe: a second answer behind the prompt without its cue
    grpo+changed        GRPO on prompts without their cue: augmentation alone
    grpo+both           GRPO on every prompt twice, with its cue and without
    grpo+consistency    the same with `perturbation_consistency`, which compares the answers to the two

Every policy answers 500 prompts with a wrong cue greedily, and again without it. Intervals are Student's t over seeds
(95 %), those of differences over pairs with the same seed.
"""

import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from align.assets import find_recipe
from align.methods.acre.config import ACREConfig
from align.methods.acre.text_trainer import TextACRETrainer
from align.recipe.recipe import Recipe, load_recipe
from rewards import AnswerConsistency, PerturbationConsistency, text_accuracy
from rewards.reading.responses import parse_response
from rewards.scoring.families import find_families
from rewards.scoring.text_accuracy import normalise_text
from scripts.harness import Options, arm_runs, differences, seeds_of, share, show_arms, write_numbers
from scripts.labs.acre.make import DIGITS, read_digit
from scripts.labs.text.world import CUE, WORDS

RECIPE = "acre/quickstart-text"
LABEL = "distractor"  # the name `perturbation_consistency` knows for prompts with less or more beside the question
METRICS = {
    "accuracy": "right under a wrong cue",
    "follows_cue": "answers that are the cue",
    "trace_accuracy": "trace is right",
    "trace_is_answer": "trace = answer",
    "accuracy_without_cue": "right without cue",
    "trained_trace": "trace right in training",
}
Row = dict[str, Any]
Metrics = dict[str, float]


class Arm(NamedTuple):
    """What a policy is trained on, and by which reward."""

    data: str = "plain"
    reward: str = "text"


ARMS = {
    "sft": None,
    "grpo": Arm(),
    "acre": Arm(reward="acre"),
    "grpo+changed": Arm(data="changed"),
    "grpo+both": Arm(data="both"),
    "grpo+consistency": Arm(data="both", reward="consistency"),
}
COEFFICIENTS = (1.0, 0.0, 0.2)


def training_rows(arm: Arm, rows: list[Row]) -> list[Row]:
    """Makes the rows of an arm; both versions of a prompt stand next to each other."""
    bare = [row | {"prompt": CUE.sub("", row["prompt"]), "family": LABEL} for row in rows]
    shown = [row | {"family": "original"} for row in rows]
    pairs = {"plain": [shown], "changed": [bare], "both": [shown, bare]}[arm.data]
    return [row | {"origin": row["id"]} for pair in zip(*pairs, strict=True) for row in pair]


def run_arm(name: str, recipe: Recipe, seed: int) -> Metrics:
    """Trains one arm with one seed and evaluates it."""
    model = AutoModelForCausalLM.from_pretrained(recipe.model.model_name_or_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(recipe.model.model_name_or_path)
    rows = read_rows(recipe.dataset.path)
    random.Random(seed).shuffle(rows)
    arm = ARMS[name]
    trained = train(arm, model, tokenizer, rows, recipe, seed) if arm is not None else {}
    return evaluate(model, tokenizer, recipe) | trained


def train(arm: Arm, model: Any, tokenizer: Any, rows: list[Row], recipe: Recipe, seed: int) -> Metrics:
    """Trains a model in place, without leaving a run folder; returns how often traces were right meanwhile."""
    family = f"{Path(recipe.dataset.path).parent}/families.py:without_cue"
    seen: list[float] = []

    def trace_is_right(completions: list[str], prompts: list[str], **columns: Any) -> list[float]:
        traces = [parse_response(text).trace for text in completions]
        right = [float(t == read_digit(p.partition("~")[0].strip())) for t, p in zip(traces, prompts, strict=True)]
        seen.append(sum(right) / len(right))
        return right

    reward = {
        "text": text_accuracy,
        "acre": AnswerConsistency(*COEFFICIENTS),
        "consistency": PerturbationConsistency(families=[LABEL]),
    }[arm.reward]
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"output_dir": folder, "save_strategy": "no", "log_completions": False, "disable_tqdm": True}
        quiet["skip_without_advantage"] = "off"  # TRL's numbers to the digit, and the entropy of all completions
        own = {"seed": seed, "shuffle_dataset": False, "second_pass": "auto" if arm.reward == "acre" else "off"}
        trainer = TextACRETrainer(
            model=model,
            reward_funcs=[reward, trace_is_right],
            args=ACREConfig(**recipe.training | quiet | own | {"reward_weights": [1.0, 0.0]}),
            train_dataset=Dataset.from_list(training_rows(arm, rows)),
            processing_class=tokenizer,
            families=find_families([family]),
            answer_reward=text_accuracy,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return {"trained_trace": sum(seen) / len(seen)}


def evaluate(model: Any, tokenizer: Any, recipe: Recipe) -> Metrics:
    """Answers the evaluation prompts greedily, with their wrong cues and without."""
    rows = read_rows(recipe.dataset.eval_path or "")
    shown = answer(model, tokenizer, [row["prompt"] for row in rows])
    bare = answer(model, tokenizer, [CUE.sub("", row["prompt"]) for row in rows])
    golds, cues = [row["answer"] for row in rows], [str(CUE.search(row["prompt"])[0][1:]) for row in rows]  # type: ignore[index]
    digits = [read_digit(row["prompt"].partition("~")[0]) for row in rows]
    return {
        "accuracy": share(words == gold for (_, words), gold in zip(shown, golds, strict=True)),
        "follows_cue": share(words == cue for (_, words), cue in zip(shown, cues, strict=True)),
        "trace_accuracy": share(trace == digit for (trace, _), digit in zip(shown, digits, strict=True)),
        "trace_is_answer": share(
            trace in (*DIGITS,) and WORDS[int(trace)] == words for trace, words in shown if trace is not None
        ),
        "accuracy_without_cue": share(words == gold for (_, words), gold in zip(bare, golds, strict=True)),
    }


def answer(model: Any, tokenizer: Any, prompts: list[str]) -> list[tuple[str | None, str]]:
    """Answers prompts greedily; returns traces and answers."""
    model.eval()
    ids = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    with torch.no_grad():
        written = model.generate(**ids, max_new_tokens=14, do_sample=False)[:, ids["input_ids"].shape[1] :]
    found = [parse_response(text) for text in tokenizer.batch_decode(written, skip_special_tokens=True)]
    return [(response.trace, normalise_text(response.answer or "")) for response in found]


def read_rows(path: str) -> list[Row]:
    """Reads the rows of a file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds."""
    parser = Options(__doc__, allow_abbrev=False)
    parser.add_seeds(5, 10, "no setting was chosen on 10 to 14")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_numbers()
    arguments, overrides = parser.parse_known_args(argv)
    torch.set_num_threads(arguments.threads)
    recipe = load_recipe(find_recipe(RECIPE), overrides)
    results = arm_runs(arguments.arms, seeds_of(arguments), lambda arm, seed: run_arm(arm, recipe, seed), METRICS)
    show_arms(f"{arguments.seeds} seeds", results, METRICS)
    names = [name for name in METRICS if name != "trained_trace" or "sft" not in results]
    pairs = differences(results, "acre", names)
    show_arms("Difference to acre", pairs, METRICS)
    about = {"overrides": overrides, "first_seed": arguments.first_seed}
    write_numbers(arguments.json, about, {"runs": results, "minus_acre": pairs}, under="versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
