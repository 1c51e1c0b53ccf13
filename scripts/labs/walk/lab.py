r"""Walks from a warm start to a merged model by the commands that a user would give.

    python -m scripts.labs.walk.lab --model tiny --out outputs/walk-tiny          # the quickstart's model, two minutes
    python -m scripts.labs.walk.lab --model smollm2 --out outputs/walk-smollm2    # SmolLM2-135M, hours on one CPU core
    python -m scripts.labs.walk.lab --model smollm2 --bf16 --sft_steps 160 --max_steps 24
    python -m scripts.labs.walk.lab --model smollm2 --start outputs/sft-smollm2-135m/checkpoint-80 \
        --arms grpo shuffled acre --seeds 0 1 2 --skip_merging --bf16 --vllm

The stages are SFT, GRPO and ACRE from it, an evaluation of each, and each merged with the warm start. Every command
is printed before it runs. The same command goes on where it was stopped: what is finished is skipped, a run
that was killed continues from its newest checkpoint, and an evaluation with the answers it has. At the end stands one
table; `walk_through.md` in `--out` repeats it with the commands, and says what helped and what did not.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository, or made by a script

from align.assets import asset_dir
from align.evaluation.record import EVALUATION_FILE, read_record
from scripts.harness import Options
from scripts.labs.walk.page import read_evaluations, write_page
from scripts.stages import Stage, run_stages

GRPO = ("--reward_funcs", "[accuracy]", "--reward_kwargs", "{}", "--second_pass", "off")
ARMS = {
    "grpo": GRPO,
    "shuffled": (*GRPO, "--dataset.shuffle_options", "every_visit"),
    "acre": (),
}


class Walk(NamedTuple):
    """What a walk trains, on which questions it evaluates, and how the model is asked that nothing was trained of."""

    base: str
    sft: tuple[str, ...]
    rl: tuple[str, ...]
    max_steps: int
    held_out: str
    asked_before: tuple[str, ...]
    suites: tuple[str, ...]
    more: tuple[str, ...]


def walks() -> dict[str, Walk]:
    """Returns the two walks; recipes are named shortly, as on the command line."""
    recipes = Path(os.path.relpath(asset_dir("recipes")))
    return {
        "tiny": Walk(
            str(recipes / "acre/assets/lab/model"),
            ("sft/quickstart", "--max_steps", "20", "--learning_rate", "2e-4"),
            ("acre/quickstart",),
            60,
            str(recipes / "acre/assets/lab/eval.jsonl"),
            ("--recipe", "acre/quickstart"),
            ("accuracy", "consistency", "rotation", "reliance"),
            ("--batch_size", "250", "--max_rows", "500"),
        ),
        "smollm2": Walk(
            "models/smollm2-135m",
            ("sft/smollm2-135m",),
            ("acre/smollm2-135m-after-sft",),
            100,
            str(recipes / "sft/assets/facts/held_out.jsonl"),
            # What was not trained knows the form from two answered questions in its prompt only.
            ("--recipe", "acre/smollm2-135m"),
            ("accuracy", "consistency"),  # the others read every answer ten times more
            ("--batch_size", "16"),
        ),
    }


def stages(
    walk: Walk,
    out: Path,
    arms: Sequence[str],
    seeds: Sequence[int],
    max_steps: int | None = None,
    sft_steps: int | None = None,
    bf16: bool = False,
    start: str | None = None,
    merging: bool = True,
    vllm: bool = False,
) -> list[Stage]:
    """Lists the commands of a walk in their order; one that has a start needs no warm start."""
    warm = start or str(out / "sft")
    fewer = ("--max_steps", str(sft_steps)) if sft_steps else ()
    faster = ("--bf16", "true") if bf16 else ()
    found = (
        []
        if start
        else [Stage("sft", ("train", *walk.sft, *fewer, *faster, "--output_dir", warm, "--resume", "auto"))]
    )
    engine = ("--use_vllm", "true", "--vllm_mode", "colocate") if vllm else ()
    steps = str(max_steps or walk.max_steps)
    asked = ("--data", walk.held_out, *walk.more)
    suites = ("--suite", *walk.suites)
    before = out / "evaluation-before"
    asks = ("eval", "--model", walk.base, *walk.asked_before, *suites, *asked)
    found.append(Stage(before.name, (*asks, "--out", str(before))))
    for seed in seeds:
        trained = {arm: str(out / f"{arm}-{seed}") for arm in arms}
        for arm, folder in trained.items():
            starts = ("--model_name_or_path", warm, "--max_steps", steps, "--seed", str(seed), *faster, *engine)
            words = ("train", *walk.rl, *ARMS[arm], *starts, "--output_dir", folder, "--resume", "auto")
            found.append(Stage(Path(folder).name, words))
        found += evaluations(warm, trained, seed, out, (*suites, *asked))
        for arm, folder in trained.items() if merging else ():
            place = out / f"merged-{arm}-{seed}"
            words = ("merge", "--base", warm, "--tuned", folder, "--alpha", "0:1:0.25", *asked, "--out", str(place))
            found.append(Stage(place.name, words))
    return found


def evaluations(start: str, trained: dict[str, str], seed: int, out: Path, asked: Sequence[str]) -> list[Stage]:
    """Lists the evaluation of each arm, beside what it starts from and the arms before it."""
    found, before = [], [start]
    for arm, folder in trained.items():
        place = out / f"evaluation-{arm}-{seed}"
        words = ("eval", "--model", folder, "--baseline", *before, *asked, "--out", str(place))
        found.append(Stage(place.name, words))
        before.append(folder)
    return found


def share_answers(stage: Stage, out: Path) -> None:
    """Keeps the answers of all evaluations of policies in one folder, so that a start answers once for all seeds."""
    if stage.words[0] == "eval" and "--model" in stage.words:
        place = Path(stage.words[stage.words.index("--out") + 1])
        place.mkdir(parents=True, exist_ok=True)
        (out / "answers").mkdir(exist_ok=True)
        if not (place / "cache").exists():
            (place / "cache").symlink_to(Path("..") / "answers")


def main(argv: list[str] | None = None) -> int:
    """Runs what is not finished yet, and prints the table."""
    parser = Options(__doc__)
    known = walks()
    parser.add_argument("--model", choices=list(known), required=True)
    parser.add_argument("--out", type=Path, help="outputs/walk-MODEL if not given")
    parser.add_argument(
        "--arms", nargs="+", choices=list(ARMS), default=["grpo", "acre"], help="each is compared with those before"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of reinforcement learning")
    parser.add_argument("--max_steps", type=int, help="of reinforcement learning; 60 of tiny and 100 of smollm2")
    parser.add_argument("--sft_steps", type=int, help="of the warm start; those of its recipe if not given")
    parser.add_argument("--start", help="a model to go on from in place of SFT, such as one of its checkpoints")
    parser.add_argument("--skip_merging", action="store_true", help="leaves out merging with the warm start")
    parser.add_argument("--bf16", action="store_true", help="less than half the time on CPUs with bf16 units")
    parser.add_argument("--vllm", action="store_true", help="has reinforcement learning draw its answers by vLLM")
    arguments = parser.parse_args(argv)
    walk, out = known[arguments.model], arguments.out or Path("outputs") / f"walk-{arguments.model}"
    if not Path(walk.base).is_dir():
        print(
            f"error: {walk.base} is missing. Make it: python -m scripts.models.smollm2 --out {walk.base}",
            file=sys.stderr,
        )
        return 1
    found = stages(
        walk,
        out,
        arguments.arms,
        arguments.seeds,
        arguments.max_steps,
        arguments.sft_steps,
        arguments.bf16,
        arguments.start,
        not arguments.skip_merging,
        arguments.vllm,
    )
    if code := run_stages(found, out / "stages", lambda stage: share_answers(stage, out)):
        return code
    warm = Path(arguments.start).name if arguments.start else "sft"
    untrained = read_record(out / "evaluation-before" / EVALUATION_FILE)
    measured, compared = read_evaluations(out, warm, arguments.arms, arguments.seeds)
    measured = {"before": untrained.summary(untrained.names[0])} | measured
    write_page(out / "walk_through.md", measured, compared, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
