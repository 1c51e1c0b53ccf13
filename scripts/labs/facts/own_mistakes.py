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
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository, or made by a script

from align.assets import asset_dir
from align.data.questions.templates import PromptTemplate
from align.recipe.recipe import load_recipe
from align.whole_files import write_whole
from rewards.reading.options import LETTERS
from scripts.harness import Options
from scripts.labs.walk.lab import evaluations, share_answers
from scripts.labs.walk.page import read_evaluations, write_page
from scripts.stages import Stage, run_stages

RECIPE = "acre/smollm2-135m-after-sft"  # how the start was taught to be asked
ASKED = (
    "--wording swap --perturbation none --num_samples 4 --temperature 1 --max_new_tokens 40 --batch_size 32 "
    "--no-conversational"
)
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
    words = ("augment", str(out / "questions.jsonl"), "--method", "rrpo", "--model", start, *ASKED.split())
    found = [Stage(pairs.name, (*words, "--out", str(pairs)))]
    learns = ("train", "rrpo/smollm2-135m", "--model_name_or_path", start, "--max_steps", str(max_steps), *more)
    learns += ("--dataset.path", str(pairs / "pairs.jsonl"), "--dataset.eval_path", "null", "--eval_strategy", "no")
    held_out = str(asset_dir("recipes") / "sft/assets/facts/held_out.jsonl")
    for seed in seeds:
        trained = {arm: str(out / f"{arm}-{seed}") for arm in ARMS}
        for arm, folder in trained.items():
            words = (*learns, *ARMS[arm], "--seed", str(seed), "--output_dir", folder, "--resume", "auto")
            found.append(Stage(Path(folder).name, words))
        asked = ("--recipe", RECIPE, "--data", held_out, "--suite", "accuracy", "consistency", "--batch_size", "16")
        found += evaluations(start, trained, seed, out, asked)
    return found


def main(argv: list[str] | None = None) -> int:
    """Runs what is not finished yet, and writes the page."""
    parser = Options(__doc__)
    parser.add_argument("--start", required=True, help="a model that SFT has taught to answer")
    parser.add_argument("--out", type=Path, default=Path("outputs/own-mistakes"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max_steps", type=int, default=40)
    parser.add_argument("--bf16", action="store_true", help="less than half the time on CPUs with bf16 units")
    arguments = parser.parse_args(argv)
    write_rows(arguments.out / "questions.jsonl")
    more = ("--bf16", "true") if arguments.bf16 else ()
    commands = stages(arguments.start, arguments.out, arguments.seeds, arguments.max_steps, more)
    if code := run_stages(commands, arguments.out / "stages", lambda stage: share_answers(stage, arguments.out)):
        return code
    card = json.loads((arguments.out / "pairs" / "card.json").read_text(encoding="utf-8"))
    about = f"{card['counts']['pairs']} pairs of {card['counts']['samples']} answers; left out: {card['left_out']}."
    measured, compared = read_evaluations(arguments.out, Path(arguments.start).name, list(ARMS), arguments.seeds)
    path = arguments.out / "own_mistakes.md"
    write_page(path, measured, compared, commands, about=about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
