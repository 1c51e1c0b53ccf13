"""Trains the lab model with plain GRPO and with ACRE, evaluates both on unbiased questions, and shows the difference.

    bash scripts/quickstart.sh

The model reads half of the questions right and can learn the others. The training questions have a planted shortcut:
the right option stands at A far too often. The evaluation questions do not. Run folders, `evaluation` and
`report.html` go to `--out`. On a GPU: `--device cuda`.
"""

import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository
os.environ.setdefault("OMP_NUM_THREADS", "1")  # more are no faster with so small a model, and spin beside other work

import align
from align.assets import find_recipe
from align.evaluation.record import Record
from align.recipe.recipe import load_recipe
from align.report import build_comparison
from align.services.train import run as train
from scripts.harness import Options, print_table

RECIPE = "acre/quickstart"
ARMS: dict[str, list[str]] = {
    "GRPO": ["--reward_funcs", "[accuracy]", "--reward_kwargs", "{}", "--second_pass", "off"],
    "ACRE": [],
}
SHOWN = {
    "accuracy": "accuracy",
    "option_shuffle_consistency": "shuffle consistency",
    "letter_share/A": 'share of "A"',
}


def show(record: Record) -> None:
    """Prints the table; intervals are over the evaluation questions of this one run."""
    acre, differences = record.names[0], record.differences()
    rows = {}
    for name in reversed(record.names):
        cells = [str(record.summary(name)[metric]) for metric in SHOWN]
        less = "" if name == acre else str(differences[acre, name]["accuracy"])
        rows[name.upper() if name.upper() in ARMS else "before"] = [cells[0], less, *cells[1:]]
    accuracy, *others = SHOWN.values()
    print_table("", (accuracy, "ACRE minus it", *others), rows, first="on unbiased questions", width=110)


def main(argv: list[str] | None = None) -> None:
    """Runs both arms and compares them."""
    parser = Options(__doc__)
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
    folders = {}
    for arm, overrides in ARMS.items():
        print(f"\n{arm}: {arguments.max_steps or recipe.settings.max_steps} steps")
        folders[arm] = arguments.out / arm.lower()
        train(RECIPE, [*overrides, *steps, *place, "--output_dir", str(folders[arm])], None)
    record = align.evaluate.questions(
        model=str(folders["ACRE"]),
        baseline=[str(folders["GRPO"]), str(recipe.model.model_name_or_path)],
        data=recipe.dataset.eval_path,
        suite=["accuracy", "consistency"],
        num_shuffles=1,
        max_rows=arguments.max_eval,
        device=arguments.device,
        batch_size=250,
        out=arguments.out / "evaluation",
    )
    if arguments.json:
        accuracies = {name: record.summary(name)["accuracy"].value for name in record.names}
        accuracies["gain"] = accuracies["acre"] - accuracies["grpo"]
        arguments.json.write_text(json.dumps(accuracies, indent=1) + "\n", encoding="utf-8")
    report = arguments.out / "report.html"
    build_comparison(folders, record, report)
    print(f"\nOne run of each, {record.about.data.questions} evaluation questions, greedy decoding, 95 % intervals:")
    show(record)
    print(
        f"\nThe report is {report}. For several seeds and honest controls: python -m scripts.labs.acre.lab --seeds 5"
    )


if __name__ == "__main__":
    main()
