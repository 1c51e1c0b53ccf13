"""The page of a run, written anew while it trains."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from align.console import say
from align.recipe.problems import one_line

EVERY_SECONDS = 30.0
SHARE = 0.01  # of the time that a run has trained


class LivePage(TrainerCallback):
    """Writes the page every half minute at most, and less often where that would take more than 1 % of the time.

    A page is no reason to end a run: what goes wrong with it is said once.

    Args:
        write: Writes the page.
        clock: Gives seconds.
    """

    def __init__(self, write: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.write, self.clock = write, clock
        self.began = self.ended = clock()
        self.spent = self.last = 0.0
        self.has_failed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self.began = self.ended = self.clock()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes if it is time."""
        started = self.clock()
        if not state.is_world_process_zero or not self._is_due(started):
            return
        try:
            self.write()
        except Exception as error:  # whatever a table of this run holds, its training matters more
            if not self.has_failed:
                say(f"The page cannot be written while training: {one_line(error).rstrip('.')}. Training goes on.")
            self.has_failed = True
        self.ended = self.clock()
        self.last = self.ended - started
        self.spent += self.last

    def _is_due(self, now: float) -> bool:
        return now - self.ended >= EVERY_SECONDS and self.spent + self.last <= SHARE * (now - self.began)
