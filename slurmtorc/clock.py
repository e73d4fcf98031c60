"""Time as a port: the system's clock, and one that a test moves by hand."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Rest, and come back no earlier."""
        time.sleep(seconds)


class ManualClock:
    """A clock that stands still until somebody sleeps on it. No test waits."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Epoch seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        self._now += seconds
