"""How often this process may call Slurm's programs: a bucket of tokens, one for each call.

A controller answers everybody; a tool that asks too often is what administrators switch off.
Separate so that it is tested with a clock that stands still. Nothing may go round it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurmtorc.ports import Clock


class Bucket:
    """`burst` calls at once, `rate` calls a second in the long run; a rate of 0 is no limit."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._size = float(max(1, burst))
        self._clock = clock
        self._tokens = self._size
        self._at = clock.now()
        self._turn = threading.Lock()

    def take(self) -> None:
        """One token, now or after a rest; threads get theirs one after another."""
        if self._rate <= 0:
            return
        with self._turn:
            self._fill()
            if self._tokens < 1:
                self._clock.sleep((1 - self._tokens) / self._rate)
                self._fill()
            self._tokens -= 1

    def _fill(self) -> None:
        """A clock that was set back gives nothing and costs nothing."""
        now = self._clock.now()
        earned = max(0.0, now - self._at) * self._rate
        self._tokens = min(self._size, self._tokens + earned)
        self._at = now
