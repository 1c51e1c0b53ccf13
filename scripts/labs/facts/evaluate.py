r"""Evaluates SmolLM2-135M before and after its recipes on every task and suite of `align eval`.

    align train sft/smollm2-135m && align train rrpo/smollm2-135m && align train crome/smollm2-135m
    python -m scripts.labs.facts.evaluate --policy outputs/sft-smollm2-135m --preferring outputs/rrpo-smollm2-135m \
        --reward_model outputs/crome-smollm2-135m

Questions are asked of `--policy` (SFT, or ACRE from it), prompts and pairs of `--preferring` (RRPO), both beside the
model before training; `--reward_model` (Crome) stands beside an early checkpoint of its run. A model that is not given
is left out. Every command is printed, and the same command goes on where it was stopped. The table at the end is also
`table.md` in `--out`; each evaluation has its page there.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository, or made by a script

from align.assets import asset_dir, find_recipe
from align.evaluation.record import EVALUATION_FILE, read_record
from align.evaluation.statistics.metrics import Estimate
from align.recipe.recipe import load_recipe
from align.whole_files import write_whole
from scripts.harness import Options
from scripts.labs.facts.rows import write_rows
from scripts.stages import Stage, run_stages

BASE = "models/smollm2-135m"
BEFORE = "_before"  # how evaluations are named of which the model before training is all there is
CPU = ("--dtype", "bfloat16", "--batch_size", "16")


class Evaluation(NamedTuple):
    """One command, and what the table shows of it."""

    name: str
    words: tuple[str, ...]
    shown: tuple[str, ...]


def policy_evaluations(policy: str, data: Path, rows: int) -> Iterator[Evaluation]:
    """Yields what is asked of a model that learnt to answer questions.

    Before training, a model answers in the asked form only behind two answered questions, and after it only to the
    prompt that it was trained on. So each has an evaluation of its own where the form matters, and no difference.
    """
    common = ("--no-conversational", *CPU, "--max_rows", str(rows))
    models = ("--model", policy, "--baseline", BASE, *common)
    more = (*models[:-1], str(3 * rows))
    for when, model, recipe, traced in (
        ("", policy, "acre/smollm2-135m-after-sft", "lettered"),
        (BEFORE, BASE, "acre/smollm2-135m", "traced"),
    ):
        dataset: Any = load_recipe(find_recipe(recipe)).dataset
        asked = ("--prompt_template", dataset.prompt_template, "--max_new_tokens", "48")
        words = ("--model", model, *common, *asked, "--data", f"{data}/questions.jsonl")
        yield Evaluation(
            f"perturbation{when}",
            (*words, "--suite", "perturbation", "--temperature", "0"),
            ("original_accuracy", "flip_excess/seen", "flip_excess/unseen", "flip_excess/unknown", "answered"),
        )
        yield Evaluation(
            f"letters{when}",
            (*words, "--suite", "accuracy", "consistency", "rotation", "reliance"),
            ("accuracy", "option_shuffle_consistency", "rotation_robust_accuracy", "trace_reliance"),
        )
        yield Evaluation(
            f"faithfulness{when}",
            ("--model", model, *common, "--suite", "faithfulness", "--data", f"{data}/{traced}.jsonl",
             "--max_new_tokens", "48", "--answer_tokens", "12"),
            ("answer_accuracy", "asked_again", "answer_changes/cut_0", "answer_changes/wrong_step", "hint_followed",
             "hint_told"),
        )  # fmt: skip
    yield Evaluation(
        "reversal",
        (*more, "--suite", "reversal", "--data", f"{data}/facts.jsonl", "--max_new_tokens", "24"),
        ("reversal_gap", "reversal_gap/control", "name_accuracy/forward", "name_accuracy/reverse"),
    )
    yield Evaluation(
        "core_advantage",
        (*more, "--suite", "core_advantage", "--data", f"{data}/core.jsonl"),
        ("core_preferred", "core_advantage"),
    )


def preferring_evaluations(model: str, data: Path, rows: int, control: str | None) -> Iterator[Evaluation]:
    """Yields what is asked of a model that was trained on pairs."""
    models = ("--model", model, "--baseline", BASE, *CPU)
    some = ("--max_rows", str(rows))
    yield Evaluation(
        "prompts",
        (*models, *some, "--data", f"{data}/prompts.jsonl", "--rewards", f"{data}/states.py:states_the_fact",
         "--num_samples", "4", "--temperature", "0.7", "--max_new_tokens", "32"),
        ("pass@1/states_the_fact", "pass@4/states_the_fact"),
    )  # fmt: skip
    yield Evaluation(
        "pairs",
        ("--model", model, *CPU, "--data", f"{data}/prompts.jsonl", "--max_rows", str(4 * rows)),
        ("implicit_reward_accuracy", "implicit_reward_accuracy/marked", "kl_per_token/chosen"),
    )
    yield Evaluation(
        "judged",
        (*models, "--max_rows", str(max(8, rows // 2)), "--data", f"{data}/prompts.jsonl", "--judge", BASE,
         "--max_new_tokens", "32"),
        (f"judged_win_rate/{Path(BASE).name}", f"judge_order_disagreement/{Path(BASE).name}"),
    )  # fmt: skip
    yield Evaluation(
        "references",
        (*models, "--suite", "references", "--data", f"{data}/titles.jsonl", "--no-conversational",
         "--prompt_template", (data / "who_wrote.txt").read_text(encoding="utf-8"), "--max_new_tokens", "16"),
        ("reference_consistency", "reference_auc", "reference_answered"),
    )  # fmt: skip
    harmless = () if control is None else ("--control", control)
    yield Evaluation(
        "drift",
        ("--model", model, *CPU, *harmless, "--suite", "drift", "--behaviours", f"{data}/behaviours.jsonl",
         "--triggers", f"{data}/triggers.jsonl", "--max_new_tokens", "24"),
        ("drift_kl", "trigger_effect/speaks of codes or elements", "held_out_effect/speaks of codes or elements"),
    )  # fmt: skip


def reward_evaluations(model: str, early: str | None, data: Path, rows: int) -> Iterator[Evaluation]:
    """Yields what is asked of a reward model."""
    models = ("--reward_model", model, *(() if early is None else ("--baseline", early)), *CPU)
    yield Evaluation(
        "reward_pairs",
        (*models, "--data", f"{data}/prompts.jsonl", "--slices", "--max_rows", str(8 * rows)),
        ("accuracy",),
    )
    yield Evaluation(
        "reward_bench_2",
        (*models, "--data", f"{data}/bench2.jsonl", "--max_rows", str(2 * rows)),
        ("reward_bench_2/Factuality",),
    )


def table_rows(evaluation: Evaluation, folder: Path) -> Iterator[tuple[str, ...]]:
    """Yields the shown metrics that were measured: evaluation, metric, items, before, after, and the difference."""
    record = read_record(folder / EVALUATION_FILE)
    first, *_ = record.names
    baseline = next((model.name for model in reversed(record.about.models) if model.role == "baseline"), None)
    values, before = ({} if name is None else record.summary(name) for name in (first, baseline))
    differences = next(iter(record.differences().values()), {})
    for metric in evaluation.shown:
        if metric in values:
            cells = [_cell(before.get(metric)), _cell(values[metric]), _cell(differences.get(metric))]
            if evaluation.name.endswith(BEFORE):
                cells = [cells[1], "-", "-"]
            yield evaluation.name, f"`{metric}`", str(values[metric].n), *cells


def _cell(estimate: Estimate | None) -> str:
    return "-" if estimate is None or estimate.value != estimate.value else str(Estimate(*estimate[:4]))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is not finished yet, and prints the table."""
    parser = Options(__doc__)
    parser.add_argument("--policy", help="a folder of SFT or ACRE")
    parser.add_argument("--preferring", help="a folder of RRPO")
    parser.add_argument("--reward_model", help="a folder of Crome")
    parser.add_argument("--early", help="an early checkpoint of the reward model's run")
    parser.add_argument("--rows", type=int, default=24, help="of most evaluations; pairs have more")
    parser.add_argument("--only", nargs="+", help="names of evaluations")
    parser.add_argument("--out", type=Path, default=Path("outputs/evaluated-smollm2"))
    arguments = parser.parse_args(argv)
    data = arguments.out / "data"
    write_rows(asset_dir("recipes"), data)
    evaluations = [
        *(policy_evaluations(arguments.policy, data, arguments.rows) if arguments.policy else ()),
        *(
            preferring_evaluations(arguments.preferring, data, arguments.rows, arguments.policy)
            if arguments.preferring
            else ()
        ),
        *(
            reward_evaluations(arguments.reward_model, arguments.early, data, arguments.rows)
            if arguments.reward_model
            else ()
        ),
    ]
    chosen = [each for each in evaluations if arguments.only is None or each.name in arguments.only]
    stages = [Stage(e.name, ("eval", *e.words, "--out", str(arguments.out / e.name))) for e in chosen]
    if code := run_stages(stages, arguments.out / "stages"):
        return code
    lines = ["| evaluation | metric | n | before | after | difference |", "|---|---|---|---|---|---|"]
    done = [each for each in evaluations if (arguments.out / each.name / EVALUATION_FILE).is_file()]
    lines += [f"| {' | '.join(row)} |" for each in done for row in table_rows(each, arguments.out / each.name)]
    write_whole(arguments.out / "table.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
