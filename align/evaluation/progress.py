"""How far an evaluation is: one bar for each thing that a policy is asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from align.console import make_console
from align.evaluation.divided.division import current


class Stages:
    """Bars by model and stage.

    Args:
        progress: What draws them.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._model = ""
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def start(self, model: str) -> None:
        """Names the model that is asked from now on."""
        self._model = model

    def advance(self, stage: str, done: int, total: int) -> None:
        """Moves the bar of a stage."""
        key = (self._model, stage)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(f"{self._model}: {stage}", total=total)
        self._progress.update(self._tasks[key], completed=done, total=total)


@contextmanager
def show_stages(*, hidden: bool = False) -> Iterator[Stages]:
    """Draws the bars on stderr, if that is a terminal; of several processes one does."""
    console = make_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = hidden or not (console.is_terminal and current().is_main)
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield Stages(progress)
