"""Checks every training of sets as `align check` does, for a launch of so many GPUs under ZeRO-3.

Rows are the set's own where its folder of data has them, and else made ones in the same schema; recipe, model and
overrides are those of the set. A model that is not on this machine is known by its name: its size is then the one in
the name, and nothing counts tokens. What `align check` says of room is about this machine and printed beside.

Hours are not of `align check`, but of `scripts/papers/cost.py`.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.assets import asset_dir, find_recipe
from align.recipe.recipe import Recipe, load_recipe
from align.services.check import CheckResult, check_words
from align.whole_files import write_whole
from scripts.harness import print_table
from scripts.papers.cost import ROWS, hours_in_words
from scripts.papers.plan import Asked, PaperSet

GIB = 1 << 30
COLUMNS = ("ready", "GiB a GPU", "GiB of disk", f"hours for {ROWS:,} rows, at most", "one step")


def check_sets(sets: Mapping[str, PaperSet], gpus: int, data: Path) -> int:
    """Prints the trainings of each set, those alike on one line; returns how many are not ready."""
    rows: dict[tuple[str, ...], list[str]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        launch = Path(scratch) / "zero3.yaml"
        shipped = (asset_dir("ds_configs") / "zero3.yaml").read_text(encoding="utf-8")
        write_whole(launch, shipped.replace("num_processes: 4", f"num_processes: {gpus}"))
        for name, paper in sets.items():
            for training, words in trainings(paper, Path(scratch), data, gpus).items():
                recipe, overrides = words[0], list(words[1:])
                found = check_words(recipe, overrides, launch)
                errors = [each.text for each in found.errors if each.check != "room"]
                wrong += [f"{name}, {training}: {text}" for text in errors[:1]]
                parsed = load_recipe(find_recipe(recipe), overrides)
                cells = (name, "no" if errors else "yes", *_cells(found, parsed, gpus))
                rows.setdefault(cells, []).append(training)
    if not rows:
        print(f"{', '.join(sets)}: no model is trained, so there is nothing to check.")
        return 0
    table = {f"{name}: {', '.join(trainings)}": cells for (name, *cells), trainings in rows.items()}
    print_table(
        f"As `align check` has them for {gpus} GPU{'s' * (gpus > 1)} under ZeRO-3", COLUMNS, table, "training", 200
    )
    for sentence in wrong:
        print(f"error: {sentence}")
    return len(wrong)


def trainings(paper: PaperSet, scratch: Path, data: Path, gpus: int) -> dict[str, tuple[str, ...]]:
    """Lists recipe and overrides of each training of one seed, by name; files that are not there are made."""
    if any(not (data / name).exists() for name in paper.files) and paper.make_tiny is not None:
        data = scratch / "-".join(sorted(paper.files)).replace("/", "-")
        if not data.exists():
            paper.make_tiny(data, 0)
    asked = Asked(scratch / "out", range(1), list(paper.arms), data, False, ("--model", "oracle"), gpus)
    found = {}
    for job in paper.jobs(asked):
        for stage in job.stages:
            if stage.words[0] == "train":
                words = list(stage.words[1 : stage.words.index("--resume")])
                path = words.index("--dataset.path") + 1
                if not Path(words[path]).exists():  # what an earlier command of the set makes of the rows
                    words[path] = str(data / next(iter(paper.files)))
                found[job.name.removesuffix("-0") if stage.name == "train" else stage.name] = tuple(words)
    return found


def _cells(found: CheckResult, recipe: Recipe, gpus: int) -> list[str]:
    numbers: dict[str, Any] = {each.check: each.numbers for each in found.findings if each.numbers}
    step = next((each.text for each in found.findings if each.check == "batch"), "")
    memory, room = numbers.get("memory"), numbers.get("room")
    disk = None
    if room is not None:
        disk = room["model_bytes"] + room["checkpoint_bytes"] * (room["checkpoints"] or 1)
    size = None if memory is None else int(memory["parameters"])
    return [
        "unknown" if memory is None else f"{memory['total_bytes'] / GIB:.1f}",
        "unknown" if disk is None else f"{disk / GIB:.0f}",
        hours_in_words(recipe, size, gpus),
        step.removeprefix("One step: ").partition(". ")[0].partition("; ")[0].rstrip("."),
    ]
