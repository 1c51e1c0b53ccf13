"""Measures ACRE and RRPO on images: which planted shortcuts a tiny vision-language policy takes, and does it look?

    python -m scripts.labs.vision.lab --only questions --arms sft grpo acre grpo+shuffle --seeds 5 --json lab.json
    python -m scripts.labs.vision.lab --world notes
    python -m scripts.labs.vision.lab --only captions --seeds 6

Every arm starts from a warm-started policy (`world.py`, `make.py`).

Questions: `grpo` rewards accuracy, `acre` is the recipe, `sft` the policy before, `placebo` is ACRE whose second pass
shows the options in the same order, `+shuffle` means that the options of the training questions were shuffled once,
`blind` is GRPO of a policy to which all images are the same, which shows what reliance says of one that only reads. In
the world `place`, the recipe's, the training questions have the right option at A in 75 %, and the policy misreads
half of the kinds and can learn to look. In the world `notes` half of them name it in a note, too, and the policy sees
from the start; evaluation questions are then `clean` (letters balanced, no note) or `counter` (A is never right, and
the note names a wrong option). Reliance is the accuracy with the own images minus that with another question's, with
blank ones, or with none.

Captions: `dpo` is TRL's loss, `rrpo` rewards the differing attribute and keeps the rest by a KL. Chosen captions say
"surely" in 75 %, rejected ones in 25 %. Arms are compared where P(attribute), the probability of a right colour or
shape in captions of new scenes, first reaches 0.7. Reliance is P(attribute) minus that beside an image of another
colour and shape. Reward accuracy is measured on `clean` pairs worded alike and on `counter` pairs of which only the
rejected caption says "surely", by each arm's own implicit reward: that of `rrpo` reads the attributes alone.

Further words override keys of the recipe in every arm on questions: `--beta 0.2`. Intervals are Student's t over seeds
(95 %), those of differences and ratios over pairs with the same seed.
"""

import argparse
import math
import os
import sys
import time
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch

from align.assets import find_recipe
from align.recipe.recipe import load_recipe
from align.whole_files import as_json
from scripts.harness import Options, arm_runs, differences, quiet, seeds_of, show_arms, tell, write_numbers
from scripts.labs.acre.lab import ENTROPY_BAR, NO_SPREAD_BAR, START_BAR
from scripts.labs.rrpo.lab import ratio
from scripts.labs.rrpo.measure import Metrics, at_target
from scripts.labs.vision.arms import ANSWER_ARMS, CAPTION_ARMS, TARGET, WORLDS, run_answers, run_captions

RECIPE = "acre/quickstart-vision"
GROUPS = ("clean", "counter")
ANSWERS = {
    "accuracy/clean": "accuracy, clean",
    "accuracy/counter": "accuracy, counter",
    "option_shuffle_consistency": "shuffle consistency",
    "share_A": 'share of "A"',
    "trace_answer_consistency": "trace = answer",
    "modality_reliance/other_images/clean": "reliance, clean",
    "modality_reliance/other_images/counter": "reliance, counter",
    "entropy": "entropy",
    "frac_reward_zero_std": "no spread",
}
CHANGES = {
    f"modality_reliance/{change}/{group}": f"{label}, {group}"
    for group in GROUPS
    for change, label in (("other_images", "other"), ("blank_images", "blank"), ("no_images", "none"))
}
CAPTIONS = {
    "step": "step",
    "kl_shared": "shared KL",
    "kl_total": "total KL",
    "odd_words": 'P("surely")',
    "reliance": "reliance",
    "reward_accuracy/clean": "reward acc., clean",
    "reward_accuracy/counter": "reward acc., counter",
}
SEES_BAR, CONSISTENCY_BAR, ACCURACY_BAR, SHARED_BAR = 0.5, 0.15, 0.05, 0.75
Runs = dict[str, list[Metrics]]


def caption_runs(arguments: argparse.Namespace, seeds: range) -> tuple[Runs, Runs]:
    """Runs both arms on captions with every seed and prints each result at the target.

    Returns:
        The metrics at the target, and before training.
    """
    recipe = load_recipe(find_recipe(arguments.recipe), WORLDS["notes"])  # the policy that sees
    paths: dict[str, list[list[Metrics]]] = {arm: [] for arm in CAPTION_ARMS}

    def run(arm: str, seed: int) -> Metrics:
        paths[arm].append(run_captions(arm, recipe, seed))
        return at_target(paths[arm][-1], TARGET)

    runs: Runs = arm_runs(list(CAPTION_ARMS), seeds, run, CAPTIONS)
    return runs, {"sft": [path[0] for path in paths["rrpo"]]}


def check_answers(runs: Runs, *, learnable: bool = False) -> dict[str, bool]:
    """Tells which of the promises about questions hold; a policy that can learn to look has four more."""
    bars: dict[str, bool] = {}
    if "sft" in runs:
        sees = runs["sft"][0]["accuracy/clean"] >= SEES_BAR
        bars[f"sft: accuracy on clean questions >= {SEES_BAR}, chance is 0.25"] = sees
    if {"sft", "grpo", "acre"} <= runs.keys() and learnable:
        before = runs["sft"][0]["accuracy/clean"]
        entropy, no_spread = (
            sum(run[name] for run in runs["acre"]) / len(runs["acre"]) for name in ("entropy", "frac_reward_zero_std")
        )
        bars |= {
            f"acre: above its start by {START_BAR} in every seed": all(
                run["accuracy/clean"] >= before + START_BAR for run in runs["acre"]
            ),
            "grpo: below its start in every seed": all(run["accuracy/clean"] < before for run in runs["grpo"]),
            f"acre: ends with a mean entropy >= {ENTROPY_BAR} nats": entropy >= ENTROPY_BAR,
            f"acre: ends with a mean share of groups without spread <= {NO_SPREAD_BAR}": no_spread <= NO_SPREAD_BAR,
        }
    if {"grpo", "acre"} <= runs.keys():
        names = {name: name for name in ("option_shuffle_consistency", "accuracy/clean")}
        gains = differences({arm: runs[arm] for arm in ("grpo", "acre")}, "grpo", names)["acre"]
        consistency = [gain["option_shuffle_consistency"] for gain in gains]
        right = [gain["accuracy/clean"] for gain in gains]
        bars |= {
            f"acre: mean consistency above grpo by {CONSISTENCY_BAR}": sum(consistency) / len(gains)
            >= CONSISTENCY_BAR,
            "acre: consistency above grpo in every seed": min(consistency) > 0,
            f"acre: mean accuracy on clean questions above grpo by {ACCURACY_BAR}": sum(right) / len(gains)
            >= ACCURACY_BAR,
        }
    if "blind" in runs:
        measured = [f"modality_reliance/other_images/{group}" for group in GROUPS]
        drops = [run[name] for run in runs["blind"] for name in measured if name in run]
        bars["blind: reliance is 0 in every seed and group"] = all(abs(drop) < 1e-9 for drop in drops)
    return bars


def check_captions(runs: Runs) -> dict[str, bool]:
    """Tells which of the promises about captions hold; a ratio without data holds nothing."""
    shared = ratio(runs["rrpo"], runs["dpo"], "kl_shared").value
    counter = [run["reward_accuracy/counter"] for run in runs["rrpo"]]
    plain = [run["reward_accuracy/counter"] for run in runs["dpo"]]
    return {
        f"rrpo: mean ratio of shared-token KL to dpo <= {SHARED_BAR}": shared <= SHARED_BAR,
        "rrpo: reward accuracy on counter pairs above dpo in every seed": all(
            a > b for a, b in zip(counter, plain, strict=True)
        ),
        f"both at P(attribute) {TARGET} in every seed": not any(
            math.isnan(run["step"]) for of_arm in runs.values() for run in of_arm
        ),
    }


def read_arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Parses the command line; what it does not know overrides keys of the recipe."""
    parser = Options(__doc__, allow_abbrev=False)
    parser.add_argument("--recipe", default=RECIPE, help="a recipe for `method: acre` with `eval_path`")
    parser.add_argument("--world", choices=WORLDS, default="place", help="of the questions")
    parser.add_argument("--only", choices=("questions", "captions"), help="leave out the other half")
    parser.add_argument("--arms", nargs="+", choices=ANSWER_ARMS, default=list(ANSWER_ARMS), help="on questions")
    parser.add_seeds(3, 0, "settings were chosen on 100")
    parser.add_argument("--threads", type=int, default=1, help="more do not help a model this small")
    parser.add_numbers("exit code 1 if a bar is missed")
    return parser.parse_known_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds; returns 1 if a bar was to be checked and fails."""
    arguments, overrides = read_arguments(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    started = time.perf_counter()
    seeds = seeds_of(arguments)
    record: dict[str, Any] = {}
    bars: dict[str, bool] = {}
    if arguments.only != "captions":
        path, words = find_recipe(arguments.recipe), [*WORLDS[arguments.world], *overrides]
        runs: Runs = arm_runs(
            arguments.arms, seeds, lambda arm, seed: run_answers(arm, path, words, seed), ANSWERS, once=("sft",)
        )
        record["questions"] = runs
        measured = next(iter(runs.values()))[0].keys()
        answers, changes = ({name: each[name] for name in each if name in measured} for each in (ANSWERS, CHANGES))
        show_arms(f"Questions about images, mean over {len(seeds)} seeds", runs, answers)
        show_arms("Accuracy lost with other images, blank ones, none", runs, changes)
        if "grpo" in runs:
            show_arms("Difference to grpo", differences(runs, "grpo", answers), answers)
        bars |= check_answers(runs, learnable=arguments.world == "place")
    if arguments.only != "questions":
        runs, before = caption_runs(arguments, seeds)
        record["captions"] = before | runs
        show_arms(f"Captions at P(attribute) {TARGET}, mean over {len(seeds)} seeds", before | runs, CAPTIONS)
        for name in ("kl_shared", "kl_total"):
            print(f"{CAPTIONS[name]}: rrpo / dpo {ratio(runs['rrpo'], runs['dpo'], name)}")
        bars |= check_captions(runs)
    missed = tell(bars, arguments)
    seconds = time.perf_counter() - started
    print(f"{seconds / 60:.1f} minutes")
    given = {name: str(value) for name, value in vars(arguments).items()} | {"overrides": overrides}
    about = {"arguments": given, "seeds": list(seeds), "seconds": seconds, "bars": bars}
    write_numbers(arguments.json, about, as_json(record), under="versions")
    return missed


if __name__ == "__main__":
    sys.exit(main())
