"""Says how many rows of a large file were read."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class ReadingProgress:
    """A line on a terminal that appears with the first count; only the first process writes it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def advance(self, count: int) -> None:
        """Counts rows."""
        if self._progress is None:
            self._progress = _start()
        self._progress.advance(self._progress.task_ids[0], count)

    def stop(self) -> None:
        """Takes the line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _start() -> "Progress":
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from align.console import make_console

    columns = TextColumn("Read {task.completed:,.0f} rows"), TimeElapsedColumn()
    console = make_console(stderr=True)
    is_first = os.environ.get("RANK", "0") == "0"
    progress = Progress(*columns, console=console, transient=True, disable=not (console.is_terminal and is_first))
    progress.add_task("")
    progress.start()
    return progress
