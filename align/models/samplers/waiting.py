"""How long requests were held back, by a rate or because nobody answered."""

import time
from types import TracebackType


class Waiting:
    """Counts the seconds in which at least one request waits; enter it for each that does.

    Attributes:
        seconds: All of them so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._num_waiting, self._since = 0, 0.0

    def __enter__(self) -> None:
        if self._num_waiting == 0:
            self._since = time.monotonic()
        self._num_waiting += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._num_waiting -= 1
        if self._num_waiting == 0:
            self.seconds += time.monotonic() - self._since
