"""A worker's lease: as long as it lasts, nobody else may have the worker's jobs.

Whoever has something to tell the store renews it with that, in the same transaction; only a
worker with nothing to say writes for its own sake. A renewal that may have come to nothing has
not been one: it is tried again at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurmtorc.ports import Store

LEASE_S = 120.0
HEARTBEAT_S = 15.0
"""Between two renewals, at most."""
ALONG_S = 5.0
"""The same while the worker writes anyway."""


class Lease:
    """The lease of one worker."""

    def __init__(self, store: Store, compute_node_id: int) -> None:
        self._store = store
        self._compute_node_id = compute_node_id
        self._renewed_at = -math.inf
        self.is_lost = False
        """The worker was given up: its jobs belong to others now."""

    def renew(self, now: float, *, along: bool = False) -> None:
        """Renew it when that is due; `along` with something else."""
        if now < self._renewed_at + (ALONG_S if along else HEARTBEAT_S):
            return
        self.is_lost = not self._store.heartbeat(self._compute_node_id, now + LEASE_S)
        self._renewed_at = now

    def doubt(self) -> None:
        """The store has not answered: what was renewed last may not have been."""
        self._renewed_at = -math.inf
