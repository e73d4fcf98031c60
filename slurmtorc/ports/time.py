"""Who knows what time it is."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Who knows what time it is."""

    def now(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float) -> None:
        """Rest."""
