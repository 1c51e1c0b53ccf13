"""What a set is: its arms, the commands of each, the numbers that they leave, and what the paper says."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from align.assets import asset_dir, find_recipe
from align.errors import UserError
from align.evaluation.record import EVALUATION_FILE, read_record
from align.recipe.recipe import load_recipe
from align.report.charts.drawing import Chart
from scripts.stages import Stage

Numbers = dict[str, dict[str, float]]  # by arm and column


class Job(NamedTuple):
    """Commands in their order, and what is read when the last one is done."""

    name: str
    stages: Sequence[Stage]
    read: Callable[[], Numbers]


class Column(NamedTuple):
    """One number of an arm."""

    name: str
    meaning: str
    places: int = 3


class Published(NamedTuple):
    """A table of a paper, by arm and column, and where it stands."""

    source: str
    numbers: Mapping[str, Mapping[str, float]]


class Asked(NamedTuple):
    """What of a set is run, and where.

    Attributes:
        out: The folder of the set.
        seeds: Seeds of the runs.
        arms: Names of arms, the first of which is the one that others are compared with.
        data: Folder with the data that the set's page names, or the one that `make_tiny` filled.
        tiny: Whether it is the small form.
        oracle: Words of `align augment` that name the model which edits.
        gpus: How many processes train, under ZeRO-3, and measure; one is started without a launcher.
    """

    out: Path
    seeds: range
    arms: Sequence[str]
    data: Path
    tiny: bool
    oracle: tuple[str, ...] = ()
    gpus: int = 1

    def launch(self, *how: str) -> tuple[str, ...]:
        """Returns the words that start a process on each GPU."""
        return () if self.gpus == 1 else ("accelerate", "launch", *how, "--num_processes", str(self.gpus))

    def training(self, name: str, recipe: str, words: Sequence[str], folder: Path, seed: int, batch: int) -> Stage:
        """Returns the training of one arm, whose steps have `batch` rows on any number of GPUs; a small form its own.

        Raises:
            UserError: If so many GPUs cannot share a step.
        """
        words = (*(() if self.tiny else shared_step(recipe, batch, self.gpus)), *words, "--seed", str(seed))
        launch = self.launch("--config_file", os.path.relpath(asset_dir("ds_configs") / "zero3.yaml"))
        out = ("--output_dir", str(folder), "--resume", "auto")
        return Stage(name, ("train", recipe, *words, *out), launch=launch)


class PaperSet(NamedTuple):
    """One table of a paper.

    Attributes:
        title: What is trained and what is measured.
        paper: Name and number of the paper.
        arms: What is compared, the first with all others; each with its overrides of the recipe.
        columns: The numbers of an arm; the first is drawn.
        seeds: How many, unless told otherwise.
        jobs: `(asked) -> jobs`, those of a seed one after the other.
        unlike: What is unlike the paper, a sentence each.
        published: The table as the paper has it, as far as it was found.
        said: Claims of the paper beside which our numbers are put: `(means by arm and column) -> sentences`.
        files: What must be in the folder of the data, with where it is had.
        make_tiny: `(folder, seed)`: writes the small data and model.
        drawn: `(out, seeds)`: draws what is not a number of an arm, such as a curve.
        batch: Rows, of GRPO completions, of one step of a training.
        batch_of: Who has this batch.
        rows: Rows that a training reads, as the paper has them.
        calls: Of the oracle for each of the rows.
        hours: What the paper says that its trainings took.
    """

    title: str
    paper: str
    arms: Mapping[str, Sequence[str]]
    columns: Sequence[Column]
    seeds: int
    jobs: Callable[[Asked], Iterator[Job]]
    unlike: Sequence[str] = ()
    published: Published | None = None
    said: Callable[[Numbers], list[str]] = lambda means: []
    files: Mapping[str, str] = {}
    make_tiny: Callable[[Path, int], None] | None = None
    drawn: Callable[[Path, Sequence[int]], Sequence[Chart]] = lambda out, seeds: ()
    batch: int = 0
    batch_of: str = ""
    rows: int | None = None
    calls: int = 0
    hours: str = "not found"


def shared_step(recipe: str, batch: int, gpus: int) -> tuple[str, ...]:
    """Returns the overrides by which a step has `batch` rows on so many GPUs, none with more at once than the recipe.

    Raises:
        UserError: If they cannot share it.
    """
    if batch % gpus:
        good = ", ".join(str(n) for n in range(1, batch + 1) if batch % n == 0)
        raise UserError(
            f"`--gpus`: {gpus} GPUs cannot share the {batch} rows of a step of {recipe}. Give one of {good}."
        )
    most = load_recipe(find_recipe(recipe)).settings.per_device_train_batch_size
    at_once = max(n for n in range(1, most + 1) if batch // gpus % n == 0)
    accumulated = batch // gpus // at_once
    return ("--per_device_train_batch_size", str(at_once), "--gradient_accumulation_steps", str(accumulated))


def trained(
    recipe: str,
    arms: Mapping[str, Sequence[str]],
    asked: Asked,
    overrides: Mapping[str, str],
    measured: Callable[[Path], Sequence[Stage]],
    read: Callable[[Path], dict[str, float]],
    batch: int,
) -> Iterator[Job]:
    """Yields the job of each seed and arm of a recipe: a training, and what is measured of its folder.

    Args:
        recipe: As `align train` takes it.
        arms: Overrides of the recipe by arm.
        asked: What is run.
        overrides: Those that all arms share.
        measured: `(folder) -> commands` behind the training.
        read: `(folder) -> numbers`, once they are done.
        batch: Rows of a step.
    """
    shared = [word for key, value in overrides.items() for word in (f"--{key}", value)]
    for seed in asked.seeds:
        for arm in asked.arms:
            folder = asked.out / f"{arm}-{seed}"
            training = asked.training("train", recipe, (*arms[arm], *shared), folder, seed, batch)

            def numbers(arm: str = arm, folder: Path = folder) -> Numbers:
                return {arm: read(folder)}

            yield Job(folder.name, [training, *measured(folder)], numbers)


def summary_of(folder: Path) -> dict[str, float]:
    """Reads the metrics of the only model of an evaluation of reward models."""
    record = read_record(folder / EVALUATION_FILE)
    (model,) = record.names
    return {name: cell.value for name, cell in record.summary(model).items()}
