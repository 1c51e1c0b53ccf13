"""Asks whether RRPO on a real model's own mistakes makes it right more often, and whether DPO does.

    align train sft/smollm2-135m --max_steps 120 --save_steps 20 --save_total_limit 10
    python -m scripts.labs.facts.own_mistakes --start outputs/sft-smollm2-135m/checkpoint-80 --seeds 0 1 2

The model answers the 200 questions of `acre/smollm2-135m-after-sft` four times each; where a wrong option stands in an
answer, the right one takes its place, and its letter (`align augment --method rrpo --wording swap`). RRPO and DPO
learn from the same pairs, and both are evaluated on the 200 held-out questions beside the start. The same command goes
on where it was stopped; `own_mistakes.md` in `--out` has the table and the commands.
"""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository, or made by a script

from align.assets import asset_dir
from align.data.questions.templates import PromptTemplate
from align.recipe.recipe import load_recipe
from align.versions import installed_versions
from align.whole_files import write_whole
from rewards.reading.options import LETTERS
from scripts.harness import Options
from scripts.labs.walk.page import SHOWN, cells, differences, markdown, metrics_of, over_seeds, verdict, write_numbers
from scripts.stages import Stage, run_stages

RECIPE = "acre/smollm2-135m-after-sft"  # how the start was taught to be asked
SHORT = ("--max_new_tokens", "40")
ARMS = {"dpo": ("--spans", "whole", "--kl_coef", "0"), "rrpo": ()}


def write_rows(path: Path) -> int:
    """Writes the questions as rows to make pairs of, and returns their number."""
    template = load_recipe(asset_dir("recipes") / f"{RECIPE}.yaml").dataset.prompt_template  # type: ignore[attr-defined]
    render = PromptTemplate(template, None, conversational=False).render
    lines = (asset_dir("recipes") / "sft/assets/facts/questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = []
    for question in map(json.loads, lines):
        options = question["options"]
        right = options[LETTERS.index(question["answer"])]
        prompt = render(question["question"], options)
        rows.append({"id": question["id"], "prompt": prompt, "reference": right, "options": options})
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def stages(start: str, out: Path, seeds: Sequence[int], max_steps: int, more: Sequence[str] = ()) -> list[Stage]:
    """Lists the commands in their order."""
    pairs = out / "pairs"
    asks = (
        "--model",
        start,
        "--wording",
        "swap",
        "--perturbation",
        "none",
        "--num_samples",
        "4",
        "--temperature",
        "1",
    )
    words = ("augment", str(out / "questions.jsonl"), "--method", "rrpo", *asks, *SHORT, "--no-conversational")
    found = [Stage(pairs.name, (*words, "--batch_size", "32", "--out", str(pairs)))]
    learns = (
        "train",
        "rrpo/smollm2-135m",
        "--model_name_or_path",
        start,
        "--dataset.path",
        str(pairs / "pairs.jsonl"),
    )
    learns += ("--dataset.eval_path", "null", "--eval_strategy", "no", "--max_steps", str(max_steps), *more)
    held_out = str(asset_dir("recipes") / "sft/assets/facts/held_out.jsonl")
    for seed in seeds:
        trained = [str(out / f"{arm}-{seed}") for arm in ARMS]
        for folder, own in zip(trained, ARMS.values(), strict=True):
            words = (*learns, *own, "--seed", str(seed), "--output_dir", folder, "--resume", "auto")
            found.append(Stage(Path(folder).name, words))
        *others, last = trained
        place = out / f"evaluation-{seed}"
        asked = ("--recipe", RECIPE, "--data", held_out, "--suite", "accuracy", "consistency", "--batch_size", "16")
        found.append(
            Stage(place.name, ("eval", "--model", last, "--baseline", start, *others, *asked, "--out", str(place)))
        )
    return found


def page(start: str, out: Path, seeds: Sequence[int], commands: Sequence[Stage], numbers: Path | None = None) -> str:
    """Writes what each arm is worth, and what of it can be told from nothing; the numbers also to a file."""
    before, measured, compared = Path(start).name, {}, {}
    for seed in seeds:
        folder = out / f"evaluation-{seed}"
        order = [before, *(f"{arm}-{seed}" for arm in ARMS)]
        worth = metrics_of(folder)
        measured |= {name: worth[name] for name in order if seed == seeds[0] or name != before}
        compared[seed] = differences(folder, order)
    if numbers is not None:
        write_numbers(numbers, seeds, measured, compared)
    rows = [(name, *cells(metrics)) for name, metrics in measured.items()]
    said = over_seeds(compared) if len(seeds) > 1 else compared[seeds[0]]
    card = json.loads((out / "pairs" / "card.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {value}" for name, value in installed_versions().items())
    counts = f"{card['counts']['pairs']} pairs of {card['counts']['samples']} answers; left out: {card['left_out']}."
    lines = [f"# RRPO and DPO on own mistakes, seeds {list(seeds)}", "", versions, "", counts, ""]
    lines += [*markdown(("model", *SHOWN.values()), rows), "", *(f"- {verdict(each)}" for each in said), "", "```bash"]
    return "\n".join([*lines, *(f"align {shlex.join(words)}" for _, words in commands), "```"]) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Runs what is not finished yet, and writes the page."""
    parser = Options(__doc__)
    parser.add_argument("--start", required=True, help="a model that SFT has taught to answer")
    parser.add_argument("--out", type=Path, default=Path("outputs/own-mistakes"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max_steps", type=int, default=40)
    parser.add_argument(
        "--bf16", action="store_true", help="trains in less than half the time on CPUs with bf16 units"
    )
    parser.add_argument("--json", type=Path, help="the numbers of the page, with machine, versions and seeds")
    arguments = parser.parse_args(argv)
    write_rows(arguments.out / "questions.jsonl")
    more = ("--bf16", "true") if arguments.bf16 else ()
    commands = stages(arguments.start, arguments.out, arguments.seeds, arguments.max_steps, more)
    if code := run_stages(commands, arguments.out / "stages"):
        return code
    text = page(arguments.start, arguments.out, arguments.seeds, commands, arguments.json)
    write_whole(arguments.out / "own_mistakes.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
