"""Claimed jobs that are kept ready, so that a place that becomes free is filled at once.

They are `pending` in the store: nothing of them has run, and whoever ends this worker, they go
back as they are. Each is started in the store only when it has a place, in the transaction that
reports what ended there. So keeping some ready promises no CPU twice; it only saves asking for
each by itself.

What is here cannot run elsewhere. So no more is kept than will have begun in a few hundredths of
a second, as long as jobs are as short as the last ones were: none at all where jobs take long.
What was not begun a little later goes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurmtorc.model import Claim

AHEAD_S = 0.02
"""So much work is kept ready."""
MOST = 100
PATIENCE_S = 0.25
"""What has waited here so long goes back."""
_WEIGHT = 0.1
"""How much each job's time counts in the mean of the last ones."""


class Shelf:
    """The jobs that one worker keeps ready."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self._since = 0.0
        self._mean_s: float | None = None

    def learn(self, seconds: float) -> None:
        """A job has ended that took so long."""
        before = seconds if self._mean_s is None else self._mean_s
        self._mean_s = before + _WEIGHT * (seconds - before)

    def ahead(self, at_once: int) -> int:
        """How many jobs to keep ready while so many run at once."""
        if self._mean_s is None:
            return 0
        return int(min(MOST, at_once * AHEAD_S / max(self._mean_s, AHEAD_S / MOST)))

    def put(self, claims: list[Claim], now: float, *, fresh: bool) -> None:
        """Keep these ready, and no others; `fresh`: all were claimed just now."""
        self.claims = claims
        self._since = now if fresh else self._since

    def due(self) -> float | None:
        """When what is here goes back; None if nothing is."""
        return self._since + PATIENCE_S if self.claims else None
