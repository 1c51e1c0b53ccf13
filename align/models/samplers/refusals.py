"""How long a call is tried on when the server refuses a key that it accepted before."""

import asyncio
import time

REFUSED = (401, 403)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; each is twice the one before
TRIES_OF_ONE = 5  # of a call that is refused while others are answered


class RefusedCall:
    """A call between its refusals.

    Args:
        limit: Seconds after the first refusal in which it is tried on.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._first = 0.0
        self._num_pauses = 0

    def is_alone(self, accepted: float) -> bool:
        """Tells whether the server refuses this call and not the key.

        Args:
            accepted: When the last call was sent that was answered, by `time.monotonic`.
        """
        return self._num_pauses > 0 and accepted > self._first

    async def pause(self, accepted: float) -> bool:
        """Waits until the call may be sent again; returns False if it was tried for long enough."""
        now = time.monotonic()
        if self._num_pauses == 0:
            self._first = now
        left = self._first + self._limit - now
        if left <= 0 or (self.is_alone(accepted) and self._num_pauses >= TRIES_OF_ONE):
            return False
        await asyncio.sleep(min(FIRST_PAUSE * 2**self._num_pauses, LONGEST_PAUSE, left))
        self._num_pauses += 1
        return True
