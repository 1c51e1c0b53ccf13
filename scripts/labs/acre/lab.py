"""Measures what ACRE does to a policy that can take a position shortcut, over seeds and against honest controls.

    python -m scripts.labs.acre.lab --seeds 5 --check_bars --json lab_acre.json

Every arm starts from the policy of the recipe, takes the recipe's steps on the training questions of the recipe and
answers its unbiased evaluation questions greedily. The arms:

    sft           the policy before RL
    grpo          accuracy as the reward, TRL's trainer
    acre          the recipe
    placebo       ACRE whose second pass shows the options in the same order
    grpo+shuffle  GRPO on training questions whose options were shuffled once
    acre+shuffle  ACRE on the same shuffled questions

Intervals are Student's t over seeds (95 %), those of differences over pairs with the same seed. Further words override
keys of the recipe in every arm: `--max_steps 50`, `--dataset.path FILE`.
"""

import math
import os
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
from align.data.questions.multiple_choice import Question, load_questions
from align.evaluation.asking import Asker
from align.evaluation.statistics.metrics import accuracy
from align.evaluation.suites.questions.answering import ItemResult, answer_questions
from align.evaluation.suites.questions.metrics import accuracy_suite, consistency_suite
from align.methods.acre.config import ACREConfig
from align.methods.acre.data import load
from align.methods.acre.trainer import ACRETrainer
from align.models.policies.asking import Decoding
from align.models.policies.model_policy import make_policy
from align.models.rewards import resolve_rewards
from align.recipe.recipe import Recipe, load_recipe
from align.whole_files import as_json
from scripts.harness import Options, arm_runs, differences, seeds_of, show_arms, tell, write_numbers

METRICS = {
    "accuracy": "accuracy",
    "option_shuffle_consistency": "shuffle consistency",
    "letter_share/A": 'share of "A"',
    "trace_answer_consistency": "trace = answer",
    "cr_wa": "CR-WA",
    "wr_ca": "WR-CA",
    "trace_accuracy": "trace is right",
    "entropy": "entropy",
    "frac_reward_zero_std": "no spread",
}
EXPLORING, NUM_LAST_LOGS = ("entropy", "frac_reward_zero_std"), 2  # of the last 20 steps of the recipe
CONSISTENCY_BAR, ACCURACY_BAR = 0.15, 0.05
START_BAR, ENTROPY_BAR, NO_SPREAD_BAR = 0.1, 0.1, 0.6
Metrics = dict[str, float]
Runs = dict[str, list[Metrics]]


class SameOrder(ACRETrainer):
    """ACRE with its second pass and without its shuffle."""

    def _permutations(self, given: dict[str, Any], index: int) -> list[tuple[int, ...]]:
        return [tuple(range(len(given["options"])))] * self.args.num_shuffles


class Arm(NamedTuple):
    """What differs from the recipe."""

    trainer: type[ACRETrainer] | None
    overrides: tuple[str, ...] = ()


GRPO = ("--reward_funcs", "[accuracy]", "--reward_kwargs", "{}", "--second_pass", "off")
SHUFFLE = ("--dataset.shuffle_options", "true")
ARMS = {
    "sft": Arm(None),
    "grpo": Arm(ACRETrainer, GRPO),
    "acre": Arm(ACRETrainer),
    "placebo": Arm(SameOrder),
    "grpo+shuffle": Arm(ACRETrainer, GRPO + SHUFFLE),
    "acre+shuffle": Arm(ACRETrainer, SHUFFLE),
}


def run_arm(arm: Arm, overrides: list[str], recipe_path: Path, seed: int) -> Metrics:
    """Trains one arm with one seed and evaluates it."""
    words = [*overrides, *arm.overrides, "--seed", str(seed), "--dataset.seed", str(seed)]
    recipe = load_recipe(recipe_path, words)
    model = AutoModelForCausalLM.from_pretrained(recipe.model.model_name_or_path, dtype=torch.float32)
    trained = dict.fromkeys(EXPLORING, math.nan) if arm.trainer is None else train(arm.trainer, model, recipe)
    return evaluate(model, recipe) | trained


def train(trainer_class: type[ACRETrainer], model: Any, recipe: Recipe) -> Metrics:
    """Trains a model in place, without leaving a run folder; returns how much it still explored at the end."""
    data = load(recipe)
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"output_dir": folder, "save_strategy": "no", "log_completions": False, "disable_tqdm": True}
        quiet["skip_without_advantage"] = "off"  # TRL's numbers to the digit, and the entropy of all completions
        trainer = trainer_class(
            model=model,
            reward_funcs=resolve_rewards(recipe),
            args=ACREConfig(**recipe.training | quiet),
            train_dataset=Dataset.from_list(data.rows),
            processing_class=tokenizer_of(recipe),
            render_prompt=data.extra.render,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return exploring(trainer)


def exploring(trainer: ACRETrainer) -> Metrics:
    """Averages the last logs of what a policy still tries: nats per token, and groups that all earn the same."""
    last = [log for log in trainer.state.log_history if "entropy" in log][-NUM_LAST_LOGS:]
    return {name: sum(log[name] for log in last) / len(last) for name in EXPLORING}


def evaluate(model: Any, recipe: Recipe) -> Metrics:
    """Answers the evaluation questions greedily and averages each metric, also over each group of questions."""
    asked = questions(recipe.dataset.eval_path)
    asker = Asker(make_policy(model.eval(), tokenizer_of(recipe), load(recipe).extra, batch_size=250))
    decoding = Decoding(max_new_tokens=int(recipe.settings.max_completion_length))
    items = answer_questions(asker, asked, decoding, num_shuffles=1)[0]
    metrics = averages(items)
    for group in sorted({item.group for item in items if item.group is not None}):
        part = averages([item for item in items if item.group == group])
        metrics |= {f"{name}/{group}": value for name, value in part.items()}
    return metrics


def averages(items: list[ItemResult]) -> Metrics:
    """Averages the metrics, and how often the trace states the right option."""
    stated = accuracy([item.trace_choice for item in items], [item.gold for item in items])
    summary = accuracy_suite(items).summary() | consistency_suite(items).summary()
    return {name: estimate.value for name, estimate in summary.items()} | {"trace_accuracy": float(stated.mean())}


def questions(path: str | None) -> list[Question]:
    """Loads questions, all of which must be usable."""
    if path is None:
        raise ValueError("The recipe has no `dataset.eval_path`, and the lab compares arms on evaluation questions.")
    return load_questions(path)[0]


def tokenizer_of(recipe: Recipe) -> Any:
    """Loads the recipe's tokenizer."""
    return AutoTokenizer.from_pretrained(recipe.model.model_name_or_path)


def check_bars(results: Runs, pairs: Runs) -> dict[str, bool]:
    """Tells which of the promises about ACRE against GRPO hold, and against the policy before if it was measured."""
    consistency, right = (
        [each[name] for each in pairs["acre"]] for name in ("option_shuffle_consistency", "accuracy")
    )
    entropy, no_spread = (sum(run[name] for run in results["acre"]) / len(results["acre"]) for name in EXPLORING)
    bars = {
        f"mean consistency difference >= {CONSISTENCY_BAR}": sum(consistency) / len(consistency) >= CONSISTENCY_BAR,
        "consistency difference > 0 in every seed": min(consistency) > 0,
        f"mean accuracy difference >= {ACCURACY_BAR}": sum(right) / len(right) >= ACCURACY_BAR,
        f"acre ends with a mean entropy >= {ENTROPY_BAR} nats": entropy >= ENTROPY_BAR,
        f"acre ends with a mean share of groups without spread <= {NO_SPREAD_BAR}": no_spread <= NO_SPREAD_BAR,
    }
    if "sft" in results:
        before = results["sft"][0]["accuracy"]
        gain = sum(run["accuracy"] - before for run in results["acre"]) / len(results["acre"])
        bars[f"acre ends above its start by {START_BAR} on average"] = gain >= START_BAR
        bars["grpo ends below its start in every seed"] = all(run["accuracy"] < before for run in results["grpo"])
    return bars


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds; returns 1 if a bar was to be checked and fails."""
    parser = Options(__doc__, allow_abbrev=False)
    parser.add_argument("--recipe", default="acre/quickstart", help="a recipe for `method: acre` with `eval_path`")
    parser.add_seeds(5, 0, "5 for seeds on which no setting was chosen")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_numbers("exit code 1 if ACRE misses a bar")
    arguments, overrides = parser.parse_known_args(argv)
    if arguments.check_bars and not {"grpo", "acre"} <= set(arguments.arms):
        parser.error("--check_bars compares the arms `grpo` and `acre`; add both to --arms.")
    torch.set_num_threads(arguments.threads)
    seeds, path = seeds_of(arguments), find_recipe(arguments.recipe)
    results: Runs = arm_runs(
        arguments.arms, seeds, lambda arm, seed: run_arm(ARMS[arm], overrides, path, seed), METRICS, once=("sft",)
    )
    pairs = differences(results, "grpo", METRICS)
    show_arms(f"On unbiased questions, mean over {arguments.seeds} seeds", results, METRICS)
    show_arms("Difference to grpo", pairs, METRICS)
    bars = check_bars(results, pairs) if "acre" in pairs else {}
    missed = tell(bars, arguments)
    about = {"recipe": arguments.recipe, "overrides": overrides, "seeds": list(seeds), "threads": arguments.threads}
    record = as_json({"runs": results, "differences_to_grpo": pairs, "bars": bars})
    write_numbers(arguments.json, about, record, under="versions")
    return missed


if __name__ == "__main__":
    sys.exit(main())
