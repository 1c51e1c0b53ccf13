"""Bars on a terminal; elsewhere a line about each half minute, so that nobody waits before a silent log."""

import time
from collections.abc import Callable
from typing import Any

from rich.progress import Progress, ProgressColumn, TaskID

from align.console import make_console, say

EVERY_SECONDS = 30.0


def words_of_time(seconds: float) -> str:
    """Writes a time as people say it.

    Example:
        >>> words_of_time(0.034), words_of_time(7.24), words_of_time(200), words_of_time(7_500)
        ('0.034 s', '7.2 s', '3 min 20 s', '2 h 5 min')
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    whole = round(seconds) if seconds < 3600 else 60 * round(seconds / 60)
    parts = {"d": whole // 86400, "h": whole // 3600 % 24, "min": whole // 60 % 60, "s": whole % 60}
    return " ".join([f"{count} {unit}" for unit, count in parts.items() if count][:2])


class Bars(Progress):
    """Bars on stderr; without a terminal a line about each half minute, unless it is `silent`."""

    def __init__(
        self, *columns: ProgressColumn, silent: bool = False, clock: Callable[[], float] = time.monotonic, **how: Any
    ) -> None:
        """Takes what rich's `Progress` takes, which gets no console."""
        console = make_console(stderr=True)
        self.tells = not (silent or console.is_terminal)
        self._told = clock()
        super().__init__(*columns, console=console, disable=silent or self.tells, get_time=clock, **how)

    def update(self, task_id: TaskID, **given: Any) -> None:
        """Moves a bar, or says where it is."""
        super().update(task_id, **given)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Moves a bar, or says where it is."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        now = self.get_time()
        if not self.tells or now - self._told < EVERY_SECONDS:
            return
        self._told, task = now, self.tasks[self.task_ids.index(task_id)]
        of = "" if task.total is None else f" of {task.total:,.0f}"
        pace = task.elapsed / task.completed if task.elapsed and task.completed else 0.0
        left = f", about {words_of_time(pace * ((task.total or 0) - task.completed))} left" if of and pace else ""
        say(f"{task.description}: {task.completed:,.0f}{of}{left}.")
