"""Asks whether Crome keeps a real reward model from following a planted phrase, and what taking it out is worth.

    align train sft/smollm2-135m --max_steps 120 --save_steps 20 --save_total_limit 10
    python -m scripts.labs.facts.cue --start outputs/sft-smollm2-135m/checkpoint-80 --seeds 0 1 2

Pairs of a right and a wrong fact (`recipes/rrpo/assets/facts`); in front of one of both stands "Certainly!", of the
right one in 75 %. The arms read equally many rows, once:

    bt        the pairs
    bt-clean  the pairs without the phrase, which nobody may know
    ties      half of the pairs, and as many ties: the same two answers, phrase included, under another question
    crome     a third of the pairs, as many ties, and as many causal pairs: one answer of each, phrase included, with
              its fact put right (upgrade) or wrong (degrade)

Each is a score head on the start, and is evaluated on pairs about other facts: without the phrase, and with it on the
wrong side. With `--policy_rows` it also picks the best of 32 answers of the start to so many held-out questions. The
same command goes on where it was stopped; `facts_cue.md` in `--out` has the table.
"""

import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository, or made by a script

from align.assets import asset_dir
from align.evaluation.record import EVALUATION_FILE, read_record
from align.whole_files import write_whole
from scripts.harness import Options
from scripts.labs.facts.reward_pairs import make_rows
from scripts.labs.walk.page import Difference, Measured, write_page
from scripts.stages import Stage, run_stages

PHRASE, SHARE = "Certainly! ", 0.75
ROWS = 320
ARMS = ("bt", "bt-clean", "ties", "crome")
BEST = "best-of-32"
FORMS = {"clean": "pairs without the phrase", "misleading": "pairs with the phrase on the wrong answer"}
LABELS = FORMS | {BEST: "right, best of 32 answers of the start"}
Row = dict[str, Any]


def with_phrase(pair: Row, side: str) -> Row:
    """Puts the phrase in front of one side of a pair."""
    (message,) = pair[side]
    return {**pair, side: [{**message, "content": PHRASE + message["content"]}]}


def causal(pair: Row) -> Row:
    """Changes the fact of the answer that has the phrase, and nothing else of it."""
    has_phrase = {side: pair[side][0]["content"].startswith(PHRASE) for side in ("chosen", "rejected")}
    (plain,) = (side for side, found in has_phrase.items() if not found)
    kind = "degrade" if plain == "rejected" else "upgrade"
    changed = with_phrase(pair, plain)
    row = {name: changed[name] for name in ("prompt", "chosen", "rejected")}
    about = {"tie": False, "source": kind, "attribute": "fact", "origin": pair["id"]}
    return {"id": f"{pair['id']}/{kind}", **row, **about}


def crome_rows(pairs: Sequence[Row], rng: random.Random) -> list[Row]:
    """Draws pairs, a tie and a causal pair of each, in random order."""
    rows = make_rows(pairs, ROWS // 3 + 1, rng)
    by_id = {pair["id"]: pair for pair in pairs}
    rows += [causal(by_id[row["id"]]) for row in rows if not row["tie"]]
    rng.shuffle(rows)
    return rows[:ROWS]


def write_data(folder: Path) -> None:
    """Writes what each arm trains on, and both forms of the evaluation pairs."""
    facts = asset_dir("recipes") / "rrpo/assets/facts"
    train, held_out = (
        [json.loads(line) for line in (facts / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("train", "eval")
    )
    rng = random.Random(0)
    drawn = rng.sample(train, ROWS)
    cued = [with_phrase(pair, "chosen" if rng.random() < SHARE else "rejected") for pair in drawn]
    ordered = [{name: pair[name] for name in ("id", "prompt", "chosen", "rejected")} for pair in cued]
    plain = [{name: pair[name] for name in ("id", "prompt", "chosen", "rejected")} for pair in drawn]
    files = {
        "bt": [row | {"tie": False} for row in ordered],
        "bt-clean": [row | {"tie": False} for row in plain],
        "ties": make_rows(cued, ROWS // 2, rng),
        "crome": crome_rows(cued, rng),
        "clean": held_out,
        "misleading": [with_phrase(pair, "rejected") for pair in held_out],
    }
    for name, rows in files.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(folder / f"{name}.jsonl", text)


def stages(
    start: str,
    out: Path,
    seeds: Sequence[int],
    max_steps: int,
    policy_rows: int,
    arms: Sequence[str] = ARMS,
    more: Sequence[str] = (),
) -> list[Stage]:
    """Lists the commands in their order."""
    found = []
    held_out = str(asset_dir("recipes") / "sft/assets/facts/held_out.jsonl")
    for seed in seeds:
        trained = {arm: str(out / f"{arm}-{seed}") for arm in arms}
        for arm, folder in trained.items():
            words = ("train", "crome/smollm2-135m", "--model_name_or_path", start, "--max_steps", str(max_steps))
            rows = ("--dataset.path", str(out / f"{arm}.jsonl"), "--dataset.eval_path", "null")
            rows += ("--eval_strategy", "no")
            ends = ("--seed", str(seed), "--output_dir", folder, "--resume", "auto")
            found.append(Stage(Path(folder).name, (*words, *rows, *more, *ends)))
        *others, last = trained.values()
        for form in FORMS:
            place = out / f"{form}-{seed}"
            asked = ("--data", str(out / f"{form}.jsonl"), "--batch_size", "16", "--out", str(place))
            found.append(Stage(place.name, ("eval", "--reward_model", last, "--baseline", *others, *asked)))
        for arm, folder in trained.items() if policy_rows else ():
            place = out / f"{BEST}-{arm}-{seed}"
            asked = ("--recipe", "acre/smollm2-135m-after-sft", "--data", held_out, "--max_rows", str(policy_rows))
            drawn = ("--suite", "best_of_n", "--num_samples", "32", "--temperature", "1", "--verifier", folder)
            found.append(Stage(place.name, ("eval", "--model", start, *asked, *drawn, "--out", str(place))))
    return found


def read_results(
    out: Path, seeds: Sequence[int], arms: Sequence[str] = ARMS
) -> tuple[Measured, dict[int, list[Difference]]]:
    """Reads the accuracies of every arm, and the differences of the last one to the others."""
    measured: Measured = {}
    compared: dict[int, list[Difference]] = {seed: [] for seed in seeds}
    for seed in seeds:
        for form in FORMS:
            record = read_record(out / f"{form}-{seed}" / EVALUATION_FILE)
            for name in record.names:
                measured.setdefault(name, {})[form] = record.summary(name)["accuracy"]
            compared[seed] += [
                Difference(model, other, form, metrics["accuracy"])
                for (model, other), metrics in record.differences().items()
            ]
        for arm in arms:
            if (best := out / f"{BEST}-{arm}-{seed}" / EVALUATION_FILE).is_file():
                record = read_record(best)
                measured[f"{arm}-{seed}"][BEST] = record.summary(record.names[0])["best_of_32"]
    return measured, compared


def main(argv: list[str] | None = None) -> int:
    """Runs what is not finished yet, and writes the page."""
    parser = Options(__doc__)
    parser.add_argument("--start", required=True, help="a model that knows some of the facts")
    parser.add_argument("--out", type=Path, default=Path("outputs/facts-cue"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS, help="at least two; the last is compared")
    parser.add_argument("--max_steps", type=int, default=40)
    parser.add_argument("--policy_rows", type=int, default=0, help="held-out questions for the best of 32")
    parser.add_argument("--bf16", action="store_true", help="less than half the time on CPUs with bf16 units")
    parser.add_argument(
        "--chat_template_path", help="of a start without a chat template, such as Gemma 3 270M: that of another model"
    )
    arguments = parser.parse_args(argv)
    if not 2 <= len(set(arguments.arms)) == len(arguments.arms):
        parser.error(
            f"--arms {' '.join(arguments.arms)}: an arm is compared with others, so name two or more, each once"
        )
    write_data(arguments.out)
    asked = arguments.start, arguments.out, arguments.seeds, arguments.max_steps, arguments.policy_rows
    more = ("--bf16", "true") if arguments.bf16 else ()
    if arguments.chat_template_path:
        more += ("--chat_template_path", arguments.chat_template_path)
    commands = stages(*asked, arguments.arms, more)
    if code := run_stages(commands, arguments.out / "stages"):
        return code
    measured, compared = read_results(arguments.out, arguments.seeds, arguments.arms)
    path, labels = arguments.out / "facts_cue.md", LABELS if arguments.policy_rows else FORMS
    write_page(path, measured, compared, commands, labels=labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
