"""What a command prints into: work goes on where nobody reads it any more."""

import os
import sys
from typing import Any


def outlast_readers() -> None:
    """Has stdout and stderr write into nothing once they are closed: by the shell (`>&-`), or by `| head`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        setattr(sys, name, open(os.devnull, "w") if stream is None else _Lasting(stream))  # noqa: SIM115


class _Lasting:
    """A stream whose reader may leave."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes while somebody reads."""
        try:
            return int(self._stream.write(text))
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        """Flushes while somebody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        """Puts nothing in the place of the pipe, for what is buffered, for libraries and for processes to come."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        """Looks up everything else on the stream."""
        return getattr(self._stream, name)
