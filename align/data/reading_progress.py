import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from align.console import say

if TYPE_CHECKING:
    from align.progress import Bars


class ReadingProgress(AbstractContextManager["ReadingProgress"]):
    """Shows a count in a line of the first process; one that `stays` is left there, and shown without a terminal."""

    def __init__(self, done: str = "Read", things: str = "rows", *, stays: bool = False) -> None:
        self._text, self._stays = f"{done} {{task.completed:,.0f}} {things}", stays
        self._name = f"{things.capitalize()} {done[:1].lower()}{done[1:]}"
        self._progress: Bars | None = None

    def advance(self, count: int = 1) -> None:
        """Counts some more."""
        if self._progress is None:
            from rich.progress import TextColumn, TimeElapsedColumn

            from align.progress import Bars

            is_first = os.environ.get("RANK", "0") == "0"
            columns = TextColumn(self._text), TimeElapsedColumn()
            progress = Bars(*columns, silent=not is_first, transient=not self._stays)
            progress.add_task(self._name)
            progress.start()
            self._progress = progress
        self._progress.advance(self._progress.task_ids[0], count)

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the line."""
        if self._progress is not None:
            self._progress.stop()
            if self._stays and self._progress.tells:
                say(self._text.format(task=self._progress.tasks[0]))
            self._progress = None
