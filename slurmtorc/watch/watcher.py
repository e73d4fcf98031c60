"""One watch of one workflow: each tick is a look, a decision by rules/watching.py, and an act."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError
from slurmtorc.model import Allocation, AllocationStatus, ComputeNode, Workflow
from slurmtorc.rules.watching import Sighting, Stop, Wait, decide
from slurmtorc.schedule.submit import end_surplus, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slurmtorc.model import QueueEntry
    from slurmtorc.ports import Clock, Slurm, Store
    from slurmtorc.schedule.submit import Submitter

log = logging.getLogger(__name__)

LIVE = [status for status in AllocationStatus if status is not AllocationStatus.COMPLETE]


@dataclass(frozen=True, slots=True)
class View:
    """What a display is told after each tick."""

    seen: Sighting
    decision: Wait | Stop
    allocations: list[Allocation]
    queue: Mapping[int, QueueEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a watch acts through."""

    store: Store
    slurm: Slurm
    clock: Clock
    submitter: Submitter


class Watcher:
    """Follows one workflow until nothing more will happen."""

    def __init__(
        self,
        ports: Ports,
        workflow: Workflow,
        show: Callable[[View], None],
        *,
        poll_s: float,
        output_dir: str,
    ) -> None:
        self.ports = ports
        self.workflow = workflow
        self.show = show
        self.poll_s = poll_s
        self.output_dir = output_dir
        self.ended: Stop | None = None
        self._gone_since: float | None = None

    def tick(self) -> float | None:
        """Look, decide, act; seconds to rest, or None when the watch is over."""
        self._ask_for_nodes()
        view = self._look()
        self.show(view)
        if isinstance(view.decision, Stop):
            self._finish(view.decision)
            return None
        return self.poll_s

    def _ask_for_nodes(self) -> None:
        """Execute pending actions here too: compute nodes may not be allowed to submit."""
        outcome = self.ports.submitter.act(self.workflow, self.output_dir)
        tell(outcome)

    def _look(self) -> View:
        now = self.ports.clock.now()
        progress = self.ports.store.progress(self.workflow.id)
        live = self.ports.store.rows(Allocation, workflow_id=self.workflow.id, status=LIVE).items
        queue = self._queue(live)
        in_slurm = None if queue is None else sum(e.state.alive for e in queue.values())
        if in_slurm is not None:
            first = self._gone_since is None
            self._gone_since = None if in_slurm else (now if first else self._gone_since)
        seen = Sighting(
            now=now,
            progress=progress,
            on_record=len(live),
            in_slurm=in_slurm,
            gone_since=self._gone_since,
            workers=self._workers(now),
        )
        return View(seen, decide(seen), live, queue or {})

    def _queue(self, live: list[Allocation]) -> Mapping[int, QueueEntry] | None:
        """What Slurm's queue says of the allocations; None if it says nothing."""
        ids = [one.scheduler_id for one in live if one.scheduler_id is not None]
        if not ids:
            return {}
        try:
            return self.ports.slurm.look(ids)
        except SlurmError as error:
            log.warning("Slurm's queue could not be read: %s", error)
            return None

    def _workers(self, now: float) -> int:
        active = self.ports.store.rows(ComputeNode, workflow_id=self.workflow.id, is_active=True)
        return sum(node.lease_until > now for node in active.items)

    def _finish(self, decision: Stop) -> None:
        self.ended = decision
        log.info("Watch ends: %s", decision.reason)
        try:
            surplus = end_surplus(self.ports.store, self.ports.slurm, self.workflow.id)
        except SlurmError as error:
            log.warning("Queued allocations could not be canceled: %s", error)
            return
        if surplus:
            log.info("%d queued allocations were canceled: nothing is left to run", len(surplus))
