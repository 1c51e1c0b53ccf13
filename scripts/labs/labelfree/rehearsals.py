"""Rehearses starts before a vote is trained from them: are disasters foretold, and the sign of what a vote gains?

    python -m scripts.labs.labelfree.rehearsals --starts chosen --kept rehearsals.jsonl
    python -m scripts.labs.labelfree.rehearsals --starts tested --kept rehearsals.jsonl --check_bars

`align rehearse` reads a recipe with `vote_agreement` over one order of the options, as questions stand, and 100
labelled rows. The limits of `align/methods/rollouts/foretold.py` were read off the starts `chosen`; `tested` has
twelve others. Then 100 steps of the vote are trained, as in `lab.py`, and both are compared on 1,000 evaluation
questions. A vote is a disaster where a letter wins: greedy answers lose 0.1, and more of them are A than were, or 90 %
are A. A start is healthy where neither greedy nor sampled answers lose 0.05.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch
import yaml

import align
from align.methods.rollouts.foretold import CHECKS
from scripts.harness import KeptRuns, Options, print_table, quiet, tell, write_numbers
from scripts.labs.labelfree.arms import ARMS, Metrics, run_arm, settings, start_measured
from scripts.labs.labelfree.starts import STARTS, Start, start_policy

NUM_LABELLED, FALL, ALL_A, LITTLE = 100, 0.1, 0.9, 0.05
SIGNS = 10  # of twelve
ENDS = ("", "_low", "_high")
CHOSEN = {
    "chosen 1": Start("biased", "quickstart", misread=0.3, bias=0.5),
    "chosen 2": Start("biased", misread=0.5, scattered=True, bias=0.1, unsure_bias=0.6),
    "chosen 3": Start("biased", misread=0.6, bias=0.35),
    "chosen 4": Start("biased", misread=0.5, bias=0.15),
    "chosen 5": Start("unbiased", "quickstart", misread=0.6, random_letters=0.4),
    "chosen 7": Start("unbiased", misread=0.7, random_letters=0.3),
    "chosen 8": Start("unbiased", misread=0.2, random_letters=0.3),
}
TESTED = {
    "tested 1": Start("biased", "quickstart", misread=0.2, bias=0.55),
    "tested 2": Start("biased", misread=0.4, bias=0.6),
    "tested 3": Start("biased", misread=0.65, scattered=True, bias=0.4),
    "tested 4": Start("biased", misread=0.4, scattered=True, bias=0.1, unsure_bias=0.7),
    "tested 5": Start("biased", "quickstart", misread=0.6, bias=0.4),
    "tested 6": Start("biased", misread=0.1, bias=0.7),
    "tested 7": Start("unbiased", "quickstart", misread=0.7, random_letters=0.3),
    "tested 8": Start("unbiased", misread=0.55, scattered=True, random_letters=0.4),
    "tested 9": Start("unbiased", misread=0.6, random_letters=0.2),
    "tested 10": Start("unbiased", misread=0.35, random_letters=0.4),
    "tested 11": Start("unbiased", "quickstart", misread=0.2, random_letters=0.3),
    "tested 12": Start("unbiased", misread=0.7, scattered=True, random_letters=0.2),
}


def rehearse(data: Path) -> Metrics:
    """Rehearses the vote over one order from a start; returns what was measured, and what was said of letters."""
    names = ("num_generations", "per_device_train_batch_size", "max_completion_length", "max_steps", "beta")
    with tempfile.TemporaryDirectory() as folder:
        rows = (data / "eval.jsonl").read_text().splitlines(keepends=True)[-NUM_LABELLED:]
        (Path(folder) / "probe.jsonl").write_text("".join(rows))
        block: dict[str, Any] = {
            "path": str(data / "train.jsonl"), "labels": "none", "max_rows": 160, "conversational": False,
            "prompt_template": "{question}\n{options}", "probe_path": f"{folder}/probe.jsonl",
        }  # fmt: skip
        content: dict[str, Any] = {"method": "grpo", "model_name_or_path": str(data), "output_dir": f"{folder}/run"}
        content |= {"dataset": block} | {name: settings()[name] for name in names}
        content |= {"reward_funcs": ["vote_agreement"], "reward_kwargs": {"vote_agreement": {"fixed_order": True}}}
        content |= {"bf16": False, "use_cpu": True, "report_to": "none", "eval_strategy": "no"}
        (Path(folder) / "recipe.yaml").write_text(yaml.safe_dump(content))
        found = align.rehearse(f"{folder}/recipe.yaml", out=f"{folder}/out", num_prompts=8)
    ends = {each.name: each.estimate for each in found.record.found.measures if each.name in CHECKS}
    return {f"{name}{end}": float(x) for name, of in ends.items() for end, x in zip(ENDS, of[:3], strict=True)}


def is_named(found: Metrics) -> bool:
    """Tells whether a rehearsal names a start, by the limits as they are now."""
    letter, orders = CHECKS["vote_letter"], CHECKS["orders_agree"]
    return found["vote_letter_low"] > letter.above or found["orders_agree_high"] < orders.below


def is_healthy(found: Metrics) -> bool:
    """Tells whether the vote took little from a start."""
    return min(found["right_gain"], found["sampled_gain"]) > -LITTLE


def run(name: str, folder: Path) -> Metrics:
    """Rehearses a start, trains the vote from it, and compares."""
    data = start_policy(name, folder)
    before, foretold, after = start_measured(data).metrics, rehearse(data), run_arm(ARMS["vote"], data, 0)
    gains = {f"{of}_gain": after[of] - before[of] for of in ("right", "sampled", "share_of_A")}
    is_disaster = after["share_of_A"] >= ALL_A or (gains["right_gain"] <= -FALL and gains["share_of_A_gain"] > 0)
    return foretold | gains | {"right": before["right"], "ends_A": after["share_of_A"], "disaster": float(is_disaster)}


def check_bars(found: dict[str, Metrics]) -> dict[str, bool]:
    """Tells whether disasters were named, others not, and the sign of the gain in sampled answers."""
    signs = sum((each["vote_agreement"] > 0) == (each["sampled_gain"] > 0) for each in found.values())
    sign = f"the sign of the vote's gain is right in {SIGNS} of 12 ({signs} of {len(found)})"
    return {
        "all disasters are named": all(is_named(each) for each in found.values() if each["disaster"]),
        "no healthy start is called one": not any(is_named(each) for each in found.values() if is_healthy(each)),
        sign: 12 * signs >= SIGNS * len(found),
    }


def main(argv: list[str] | None = None) -> int:
    """Rehearses and trains; returns 1 if a bar was to be checked and fails."""
    parser = Options(__doc__)
    parser.add_argument("--starts", nargs="+", default=["tested"], help="chosen, tested, or names of these")
    parser.add_argument("--folder", type=Path, default=Path("outputs/labelfree"), help="where starts are kept")
    parser.add_argument("--kept", type=Path, help="JSONL of what was run; a run that was cut goes on")
    parser.add_numbers("exit code 1 if a bar is missed")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    quiet()
    STARTS.update(CHOSEN | TESTED)
    kept, groups = KeptRuns(arguments.kept), {"chosen": [*CHOSEN, "where unsure", "weak traces"], "tested": [*TESTED]}
    names = [name for each in arguments.starts for name in groups.get(each, [each])]
    for name in names:
        if name not in kept:
            kept[name] = run(name, arguments.folder)
    found = {name: kept[name] for name in names}
    columns = ("right", "vote_letter", "vote_letter_low", "orders_agree", "orders_agree_high", "vote_agreement",
               "sampled_gain", "right_gain", "ends_A", "disaster")  # fmt: skip
    rows = {name: [f"{each[of]:.2f}" for of in columns] for name, each in found.items()}
    print_table("Starts", columns, rows, "start")
    write_numbers(arguments.json, {"starts": found}, under="versions")
    return tell(check_bars(found), arguments)


if __name__ == "__main__":
    raise SystemExit(main())
