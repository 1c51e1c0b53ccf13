"""Says how many videos were decoded, from the first one on: thousands of them take hours, once."""

import os
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class FrameProgress:
    """A line that appears with the first video whose frames are taken; only the first process writes it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def advance(self) -> None:
        """Counts a video."""
        if self._progress is None:
            self._progress = _start()
        self._progress.advance(self._progress.task_ids[0])

    def __enter__(self) -> "FrameProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _start() -> "Progress":
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from align.console import make_console

    columns = TextColumn("Frames taken of {task.completed:.0f} videos"), TimeElapsedColumn()
    progress = Progress(*columns, console=make_console(stderr=True), disable=os.environ.get("RANK", "0") != "0")
    progress.add_task("")
    progress.start()
    return progress
