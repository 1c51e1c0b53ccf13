"""What a set is: its arms, the commands of each, the numbers that they leave, and what the paper says."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from align.evaluation.record import EVALUATION_FILE
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
        launch: Words that start a training in several processes.
    """

    out: Path
    seeds: range
    arms: Sequence[str]
    data: Path
    tiny: bool
    oracle: tuple[str, ...] = ()
    launch: tuple[str, ...] = ()


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


def trained(
    recipe: str,
    arms: Mapping[str, Sequence[str]],
    asked: Asked,
    overrides: Mapping[str, str],
    measured: Callable[[Path], Sequence[Stage]],
    read: Callable[[Path], dict[str, float]],
) -> Iterator[Job]:
    """Yields the job of each seed and arm of a recipe: a training, and what is measured of its folder.

    Args:
        recipe: As `align train` takes it.
        arms: Overrides of the recipe by arm.
        asked: What is run.
        overrides: Those that all arms share.
        measured: `(folder) -> commands` behind the training.
        read: `(folder) -> numbers`, once they are done.
    """
    shared = [word for key, value in overrides.items() for word in (f"--{key}", value)]
    for seed in asked.seeds:
        for arm in asked.arms:
            folder = asked.out / f"{arm}-{seed}"
            words = ("train", recipe, *arms[arm], *shared, "--seed", str(seed))
            training = Stage("train", (*words, "--output_dir", str(folder), "--resume", "auto"), launch=asked.launch)

            def numbers(arm: str = arm, folder: Path = folder) -> Numbers:
                return {arm: read(folder)}

            yield Job(folder.name, [training, *measured(folder)], numbers)


def summary_of(folder: Path) -> dict[str, float]:
    """Reads the metrics of the only model of an evaluation of reward models."""
    record = json.loads((folder / EVALUATION_FILE).read_text(encoding="utf-8"))
    (model,) = (entry for name, entry in record.items() if name != "format")
    return {name: cell[0] for name, cell in model["summary"].items()}
