"""Checks every training of sets as `align check` does, for a launch of so many GPUs under ZeRO-3.

Rows are the set's own where its folder of data has them, and else made ones in the same schema; recipe, model and
overrides are those of the set. A model that is not on this machine is known by its name: its size is then the one in
the name, and nothing counts tokens. What `align check` says of room is about this machine and printed beside.

Hours are not of `align check`. They are arithmetic: 6 operations for a weight and a token (4 with LoRA), 2 more for
gradient checkpointing and 2 for a reference, every sequence as long as `max_length`, at 40 % of the 312 TFLOPS of an
A100. So they are a bound where rows are shorter. Where a method generates they are of generation alone: a token of
every completion takes as long as the weights take to be read, at the 2.04 TB/s of an A100, and every completion is as
long as it may be. Prompts, caches and learning are not in them, as how long prompts are is not known before.
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
from scripts.papers.plan import Asked, PaperSet

ROWS = 100_000
SPEED = 0.4 * 312e12  # operations a second of one GPU
BANDWIDTH = 2.039e12  # bytes a second of one GPU
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
            for training, words in trainings(paper, Path(scratch), data).items():
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


def trainings(paper: PaperSet, scratch: Path, data: Path) -> dict[str, tuple[str, ...]]:
    """Lists recipe and overrides of each training of one seed, by name; files that are not there are made."""
    if any(not (data / name).exists() for name in paper.files) and paper.make_tiny is not None:
        data = scratch / "-".join(sorted(paper.files)).replace("/", "-")
        if not data.exists():
            paper.make_tiny(data, 0)
    asked = Asked(scratch / "out", range(1), list(paper.arms), data, tiny=False, oracle=("--model", "oracle"))
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
        _hours(recipe, size, gpus),
        step.removeprefix("One step: ").partition(". ")[0].partition("; ")[0].rstrip("."),
    ]


def _hours(recipe: Recipe, parameters: int | None, gpus: int) -> str:
    if parameters is None:
        return "unknown"
    if (hours := hours_of(recipe, parameters, gpus)) is not None:
        return f"{hours:.1f}"
    return f"{hours_to_generate(recipe, parameters, gpus):.1f} to generate"


def hours_to_generate(recipe: Recipe, parameters: int, gpus: int) -> float:
    """Returns the hours in which weights in 16 bits are read once for each token of completions of `ROWS` rows.

    Each GPU writes the completions of one step of its own side by side.

    Example:
        >>> from types import SimpleNamespace as N
        >>> settings = N(num_generations=8, max_completion_length=1000, per_device_train_batch_size=2,
        ...              gradient_accumulation_steps=4)
        >>> round(hours_to_generate(N(settings=settings), 10**9, 1), 1)  # 1e8 readings of 2e9 bytes
        27.2
    """
    settings = recipe.settings
    beside = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    rounds = ROWS * settings.num_generations / (gpus * beside)
    return float(rounds * settings.max_completion_length * 2 * parameters / BANDWIDTH / 3600)


def hours_of(recipe: Recipe, parameters: int, gpus: int) -> float | None:
    """Bounds the hours of a pass over `ROWS` rows by the operations of full sequences; None where tokens are unknown.

    Example:
        >>> from types import SimpleNamespace as N
        >>> settings = N(max_length=1000, gradient_checkpointing=False)
        >>> recipe = N(settings=settings, method="sft", model=N(use_peft=False))
        >>> round(hours_of(recipe, 10**9, 1), 3)  # 6e17 operations at 124.8e12
        1.335
    """
    settings = recipe.settings
    length = getattr(settings, "max_length", None)
    if not length:
        return None
    operations = 4 if recipe.model.use_peft else 6
    operations += 2 * bool(settings.gradient_checkpointing) + 2 * (recipe.method == "rrpo")
    sequences = 2 if recipe.method in ("rrpo", "crome") else 1
    return operations * parameters * sequences * length * ROWS / (SPEED * gpus) / 3600
