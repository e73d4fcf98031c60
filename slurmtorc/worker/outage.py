"""What a worker knows of a store that does not answer: since when, why, and when to ask again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from slurmtorc.errors import StoreBusy

if TYPE_CHECKING:
    from slurmtorc.errors import StoreUnavailable

log = logging.getLogger(__name__)

FIRST_REST_S = 0.1
LONGEST_REST_S = 10.0
"""Seconds between two questions, doubled at each failure."""


class Outage:
    """The troubles of one worker with its store."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        """Why it has not answered lately; another writer in the way is no trouble."""
        self.failures = 0
        """In a row."""
        self.retry_at = 0.0

    def failed(self, error: StoreUnavailable, now: float) -> None:
        """It did not answer."""
        self.failures += 1
        self.retry_at = now + min(FIRST_REST_S * 2 ** min(self.failures, 10), LONGEST_REST_S)
        if isinstance(error, StoreBusy):
            return
        if self.trouble is None:
            log.warning("The store does not answer, jobs go on: %s", error)
        self.trouble = str(error)

    def over(self) -> None:
        """It answered."""
        if self.trouble is not None:
            log.warning("The store answers again")
        self.failures, self.retry_at, self.trouble = 0, 0.0, None
