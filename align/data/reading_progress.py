"""Says with how many rows of a large file something was done."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class ReadingProgress:
    """A line on a terminal that appears with the first count; only the first process writes it.

    Args:
        done: What was done with the rows.
    """

    def __init__(self, done: str = "Read") -> None:
        self._done = done
        self._progress: Progress | None = None

    def advance(self, count: int) -> None:
        """Counts rows."""
        if self._progress is None:
            self._progress = _start(self._done)
        self._progress.advance(self._progress.task_ids[0], count)

    def __enter__(self) -> "ReadingProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Takes the line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _start(done: str) -> "Progress":
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from align.console import make_console

    columns = TextColumn(f"{done} {{task.completed:,.0f}} rows"), TimeElapsedColumn()
    console = make_console(stderr=True)
    is_first = os.environ.get("RANK", "0") == "0"
    progress = Progress(*columns, console=console, transient=True, disable=not (console.is_terminal and is_first))
    progress.add_task("")
    progress.start()
    return progress
