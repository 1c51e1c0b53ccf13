"""Trains the lab model with plain GRPO and with ACRE, evaluates both on unbiased questions, and shows the difference.

    bash scripts/quickstart.sh

The model reads half of the questions right and can learn the others. The training questions have a planted shortcut:
the right option stands at A far too often. The evaluation questions do not. Run folders, `evaluation.json` and
`report.html` go to `--out`. On a GPU: `--device cuda`.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository
os.environ.setdefault("OMP_NUM_THREADS", "1")  # more are no faster with so small a model, and spin beside other work

from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.assets import find_recipe
from align.data.questions.multiple_choice import load_questions
from align.data.questions.templates import PromptTemplate
from align.evaluation.record import EVALUATION_FILE, Record, write_record
from align.evaluation.suites.questions.answering import ItemResult
from align.recipe.recipe import Recipe, load_recipe
from align.report import build_comparison
from align.services.train import run as train
from scripts.policies import evaluate_policy, evaluation_record

RECIPE = "acre/quickstart"
ARMS: dict[str, list[str]] = {
    "GRPO": ["--reward_funcs", "[accuracy]", "--reward_kwargs", "{}", "--second_pass", "off"],
    "ACRE": [],
}
BEFORE = "before"
SHOWN = {
    "accuracy": "accuracy",
    "option_shuffle_consistency": "shuffle consistency",
    "share_A": 'share of "A"',
}


def evaluate(recipe: Recipe, model: Path | str, max_rows: int | None, device: str) -> list[ItemResult]:
    """Evaluates a checkpoint on the recipe's evaluation questions, with greedy decoding."""
    if recipe.dataset.eval_path is None:
        raise ValueError("The quickstart recipe has no `dataset.eval_path`.")
    questions, _ = load_questions(recipe.dataset.eval_path, max_rows=max_rows)
    data = recipe.dataset
    return evaluate_policy(
        AutoModelForCausalLM.from_pretrained(model, dtype="float32").to(device),
        AutoTokenizer.from_pretrained(model),
        questions,
        template=PromptTemplate(data.prompt_template, data.system_prompt, data.conversational),
        max_new_tokens=int(recipe.settings.max_completion_length),
        batch_size=250,
    )


def show(policies: dict[str, list[ItemResult]], record: Record) -> None:
    """Prints the table; intervals are over the evaluation questions of this one run."""
    table = Table(box=None, pad_edge=False)
    columns = [label for metric, label in SHOWN.items() if metric != "accuracy"]
    for column in ("on unbiased questions", "accuracy", f"- {BEFORE}", *columns):
        table.add_column(column, justify="left" if column.startswith("on") else "right")
    for name in policies:
        summary = record.summary(name)
        cells = {metric: str(summary[metric]) for metric in SHOWN}
        difference = record.differences()[name, BEFORE]["accuracy"] if name in ARMS else ""
        table.add_row(name, cells.pop("accuracy"), str(difference), *cells.values())
    Console(width=110).print(table)


def main(argv: list[str] | None = None) -> None:
    """Runs both arms and compares them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/quickstart"))
    parser.add_argument("--max_steps", type=int, help="fewer steps, for a look at the mechanics")
    parser.add_argument("--max_eval", type=int, help="fewer evaluation questions")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="where accuracies go as numbers, too")
    arguments = parser.parse_args(argv)
    if arguments.out.exists():
        shutil.move(
            arguments.out, arguments.out.with_name(f"{arguments.out.name}-{int(arguments.out.stat().st_mtime)}")
        )
    steps = ["--max_steps", str(arguments.max_steps)] if arguments.max_steps else []
    place = ["--use_cpu", "false"] if arguments.device == "cuda" else []
    recipe = load_recipe(find_recipe(RECIPE))
    policies = {BEFORE: evaluate(recipe, recipe.model.model_name_or_path, arguments.max_eval, arguments.device)}
    folders = {}
    for arm, overrides in ARMS.items():
        print(f"\n{arm}: {recipe.settings.max_steps if not steps else arguments.max_steps} steps")
        folders[arm] = arguments.out / arm.lower()
        train(RECIPE, [*overrides, *steps, *place, "--output_dir", str(folders[arm])], None)
        policies[arm] = evaluate(recipe, folders[arm], arguments.max_eval, arguments.device)
    record = evaluation_record(policies, baseline=BEFORE)
    write_record(arguments.out / EVALUATION_FILE, record)
    if arguments.json:
        accuracies = {name: record.summary(name)["accuracy"].value for name in policies}
        accuracies["gain"] = accuracies["ACRE"] - accuracies["GRPO"]
        arguments.json.write_text(json.dumps(accuracies, indent=1) + "\n", encoding="utf-8")
    report = arguments.out / "report.html"
    build_comparison(folders, record, report)
    print(f"\nOne run of each, {len(policies['ACRE'])} evaluation questions, greedy decoding, 95 % intervals:")
    show(policies, record)
    print(
        f"\nThe report is {report}. For several seeds and honest controls: python -m scripts.labs.acre.lab --seeds 5"
    )


if __name__ == "__main__":
    main()
