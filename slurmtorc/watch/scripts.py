"""Recovery scripts of jobs whose worker died: run from here, before the job is released.

A script never holds the watch up: it is a process beside it, and its job stays with the dead
worker until it has ended. If this watch ends first, the next one runs the script again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from slurmtorc.rules.retrying import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Clock, Launcher, Order
    from slurmtorc.watch.sweep import Fate

log = logging.getLogger(__name__)

GRACE_S = 10.0
"""Between TERM and KILL for a script that took too long."""

Key = tuple[int, int]
"""Job and attempt."""


class Scripts:
    """The scripts of one watch."""

    def __init__(
        self, launcher: Launcher, clock: Clock, order: Callable[[Workflow, Fate], Order]
    ) -> None:
        self._launcher = launcher
        self._clock = clock
        self._order = order
        self._until: dict[int, float] = {}
        self._attempts: dict[int, int] = {}
        self._asked: set[int] = set()
        self._results: dict[Key, bool] = {}

    @property
    def running(self) -> int:
        """How many have not ended."""
        return len(self._until)

    def run(self, workflow: Workflow, fates: Sequence[Fate]) -> dict[int, bool] | None:
        """Job id -> whether its script succeeded; None while one of them runs."""
        wanted = [fate for fate in fates if isinstance(fate.next, Retry) and fate.next.script]
        for fate in wanted:
            if fate.job.id not in self._until and _key(fate) not in self._results:
                self._start(workflow, fate)
        if any(_key(fate) not in self._results for fate in wanted):
            return None
        return {fate.job.id: self._results.pop(_key(fate)) for fate in wanted}

    def _start(self, workflow: Workflow, fate: Fate) -> None:
        assert isinstance(fate.next, Retry)
        self._until[fate.job.id] = self._clock.now() + fate.next.timeout_s
        self._attempts[fate.job.id] = fate.job.attempt_id
        log.info("Recovery script started job_id=%d: %s", fate.job.id, fate.next.script)
        self._launcher.start(self._order(workflow, fate))

    def poll(self) -> bool:
        """Notice what has ended, end what takes too long; whether anything has ended."""
        ended = self._launcher.poll()
        for exit_ in ended:
            del self._until[exit_.key]
            self._asked.discard(exit_.key)
            self._results[exit_.key, self._attempts.pop(exit_.key)] = exit_.code == 0
            how = "succeeded" if exit_.code == 0 else f"failed ({exit_.code=} {exit_.signal=})"
            log.info("Recovery script %s job_id=%d", how, exit_.key)
        for job_id, until in self._until.items():
            asked = job_id in self._asked
            if self._clock.now() >= until + (GRACE_S if asked else 0):
                self._launcher.stop(job_id, hard=asked)
                self._asked.add(job_id)
        return bool(ended)

    def stop(self) -> None:
        """End them all; their jobs are not released."""
        for job_id in list(self._until):
            self._launcher.stop(job_id, hard=True)


def _key(fate: Fate) -> Key:
    return fate.job.id, fate.job.attempt_id
