"""Jobs that are about to begin: each is launched the moment that a place for it becomes free.

The store knows them as started, since a job must be `running` there before its process is. So
whatever kills this worker, nobody believes that one of them had not been started; one that never
began then comes back like every job of a dead worker, with an attempt that counts for nothing.

That is the price, and it must stay small: no more are here than will have begun in a few
hundredths of a second, as long as jobs are as short as the last ones were; none at all where
jobs take long. What could not begin in time goes back, as if it had never been taken. And nothing
that is older than that may begin: a worker that has slept may have been given up by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slurmtorc.model import Claim

AHEAD_S = 0.05
"""So much work is started ahead."""
MOST = 100
PATIENCE_S = 0.25
"""What has not begun after so long goes back."""
_WEIGHT = 0.1
"""How much each job's time counts in the mean of the last ones."""


class Shelf:
    """The jobs that one worker is about to begin."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self._since = 0.0
        self._mean_s: float | None = None

    def learn(self, seconds: float) -> None:
        """A job has ended that took so long."""
        before = seconds if self._mean_s is None else self._mean_s
        self._mean_s = before + _WEIGHT * (seconds - before)

    def ahead(self, at_once: int) -> int:
        """How many jobs to start ahead while so many run at once."""
        if self._mean_s is None:
            return 0
        most = min(MOST, at_once * AHEAD_S / max(self._mean_s, AHEAD_S / MOST))
        return max(0, int(most) - len(self.claims))

    def add(self, claims: Iterable[Claim], now: float) -> None:
        """They are started."""
        if not self.claims:
            self._since = now
        self.claims += claims

    def due(self) -> float | None:
        """When what is here goes back; None if nothing is."""
        return self._since + PATIENCE_S if self.claims else None
