"""What a reward writes: kept up to a limit, and a flood of it ends the call."""

import io
import os
import sys
import threading

from rewards.running.contract.problem import RewardProblem

MOST_OF_A_CALL = 1_000_000  # characters to standard output; an honest print of each completion has fewer
MOST_PAST_PYTHON = 10_000_000  # bytes to the file descriptors, of a whole trial
PASSED_ON = 16_384  # bytes of them, such as the last words of native code


class Flood(BaseException):
    """A reward that writes without end; no `except Exception` of its own may catch it."""


class Printed(io.StringIO):
    """Standard output during a call; the write that is too much raises `Flood`."""

    def write(self, text: str) -> int:
        """Keeps a text."""
        if self.tell() + len(text) > MOST_OF_A_CALL:
            raise Flood
        return super().write(text)


class Drain:
    """A pipe for what a process writes to its file descriptors, read at once and thrown away after its beginning."""

    def __init__(self) -> None:
        self.size = self.left = 0
        self.outlet, self.inlet = os.pipe()
        self.thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Drain":
        self.start()
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.inlet)
        self.thread.join(timeout=1.0)

    def start(self) -> None:
        """Counts from here, for the next reward."""
        self.size, self.left = 0, PASSED_ON

    def problems(self, name: str) -> list[RewardProblem]:
        """Lists a flood of the reward that was tried last."""
        if self.size <= MOST_PAST_PYTHON:
            return []
        return [RewardProblem.of(name, "floods/past_python", megabytes=self.size / 1e6)]

    def _read(self) -> None:
        while part := os.read(self.outlet, 1 << 20):
            self.size += len(part)
            shown, self.left = part[: self.left], self.left - len(part[: self.left])
            if shown:
                sys.stderr.write(shown.decode("utf-8", "backslashreplace"))
        os.close(self.outlet)
