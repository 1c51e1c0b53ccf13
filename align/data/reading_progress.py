import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class ReadingProgress(AbstractContextManager["ReadingProgress"]):
    """Shows a count in a line of the first process; one that `stays` is left there, and shown without a terminal."""

    def __init__(self, done: str = "Read", things: str = "rows", *, stays: bool = False) -> None:
        self._text, self._stays = f"{done} {{task.completed:,.0f}} {things}", stays
        self._progress: Progress | None = None

    def advance(self, count: int = 1) -> None:
        """Counts some more."""
        if self._progress is None:
            from rich.progress import Progress, TextColumn, TimeElapsedColumn

            from align.console import make_console

            console = make_console(stderr=True)
            is_shown = os.environ.get("RANK", "0") == "0" and (self._stays or console.is_terminal)
            columns = TextColumn(self._text), TimeElapsedColumn()
            progress = Progress(*columns, console=console, transient=not self._stays, disable=not is_shown)
            progress.add_task("")
            progress.start()
            self._progress = progress
        self._progress.advance(self._progress.task_ids[0], count)

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the line."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
