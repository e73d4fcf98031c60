"""Why does Slurm end this allocation? Asked once, by its first worker, for all of them.

A TERM does not say why it was sent. Accounting has the answer at the moment of the signal, and
the workers have a few seconds left to hear it. So the first node's worker asks, in a thread, as
nothing else may wait for the answer; it writes it into the allocation's row, where the workers
of the other nodes find it. An allocation with a thousand nodes makes one question.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError, StoreUnavailable
from slurmtorc.model import Allocation
from slurmtorc.rules.endings import TELLING

if TYPE_CHECKING:
    from slurmtorc.model import SlurmState
    from slurmtorc.ports import Clock, Slurm, Store

log = logging.getLogger(__name__)

PAUSES = (0.2, 0.5, 0.5, 1.0, 1.0, 2.0, 4.0, 8.0, 8.0)
"""Seconds between looks, as long as accounting still has it running."""


class Inquest:
    """Answers at once: with what is known by now, or with None."""

    def __init__(
        self,
        store: Store,
        slurm: Slurm,
        clock: Clock,
        allocation: Allocation,
        slurm_job_id: int | None,
    ) -> None:
        """`slurm_job_id`: given to the one worker that asks."""
        self._store = store
        self._slurm = slurm
        self._clock = clock
        self._allocation = allocation
        self._slurm_job_id = slurm_job_id
        self._thread: threading.Thread | None = None
        self._heard: SlurmState | None = None
        self._known: SlurmState | None = None

    def __call__(self) -> SlurmState | None:
        """Why the allocation ends, once it is known. Called as soon as there is a reason to."""
        if self._known is None:
            try:
                self._known = self._from_store() if self._slurm_job_id is None else self._told()
            except StoreUnavailable:  # the worker's own matter; there is no time to wait for it
                return None
        return self._known

    def _from_store(self) -> SlurmState | None:
        state = self._store.get(Allocation, self._allocation.id).final_state
        return state if state in TELLING else None

    def _told(self) -> SlurmState | None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask, name="inquest", daemon=True)
            self._thread.start()
        if self._heard is not None:
            row = self._store.get(Allocation, self._allocation.id)
            end = self._clock.now()
            self._store.observe([replace(row, final_state=self._heard, final_at=end)])
            log.warning("Slurm ends the allocation: %s", self._heard.value)
        return self._heard

    def _ask(self) -> None:
        for pause in PAUSES:
            state = self._account()
            if state in TELLING:
                self._heard = state
                return
            time.sleep(pause)

    def _account(self) -> SlurmState | None:
        number = self._slurm_job_id or 0
        try:
            entry = self._slurm.account([number], self._allocation.created_at).get(number)
        except SlurmError as error:
            log.warning("Accounting does not say why the allocation ends: %s", error)
            return None
        return None if entry is None else entry.state
