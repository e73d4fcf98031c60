"""The worker: claim, launch, reap, report, one step at a time.

A tick reaps what ended, tells the store and asks it for more in one transaction, launches what
it was given, and says how long to rest. A job is `running` in the store before its process
starts, never after: so whatever kills this process, nobody can believe that a job which ran has
not been started.

When the store does not answer, jobs go on; what they came to is kept and told when it is back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.errors import StoreBusy, StoreUnavailable, TorcError
from slurmtorc.rules import packing
from slurmtorc.rules.endings import Stopped
from slurmtorc.rules.idling import Leave, Stay, decide
from slurmtorc.worker.attempts import attempt_of, order_for, report_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.model import Capacity, Claim, ComputeNode, Outlook, Report
    from slurmtorc.ports import Clock, Exit, Launcher, Store
    from slurmtorc.worker.attempts import Attempt, Surroundings

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
LEASE_S = 120.0
REST_S = 0.2
"""How long a worker with room rests before it looks whether others have freed jobs."""
BUSY_REST_S = 1.0
"""The same for one without room: it only has to notice that the workflow was canceled."""
OUTLOOK_S = 1.0
KILL_GRACE_S = 10.0
"""Between TERM and KILL, for jobs that are stopped but not by a deadline."""
LONGEST_OUTAGE_REST_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How one worker is to behave."""

    max_parallel_jobs: int | None = None
    """At most so many at a time; without an `end_time` (`torc run`), whatever they need."""
    idle_limit_s: float = 90.0
    patient: bool = False
    """Stays while other workers work."""
    end_time: float | None = None
    """When the allocation ends."""
    interrupt_means: Stopped = Stopped.INTERRUPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What a worker has been given: its row in the store, and what jobs may use."""

    node: ComputeNode
    whole: Capacity
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a worker acts through."""

    store: Store
    launcher: Launcher
    clock: Clock
    act: Callable[[], None] | None = None
    """Executes the workflow's pending actions, where this worker can."""


class Worker:
    """One worker of one workflow."""

    def __init__(
        self, ports: Ports, station: Station, around: Surroundings, conduct: Conduct
    ) -> None:
        self.ports = ports
        self.station = station
        self.around = around
        self.conduct = conduct
        self.running: dict[int, Attempt] = {}
        self.stopped: Stopped | None = None
        self.left: Leave | None = None
        self.trouble: str | None = None
        """Why the store has not answered lately."""
        self._free = station.whole
        self._free_gpus = list(station.gpus)
        self._reports: list[Report] = []
        self._stamp: object = None
        self._interrupts = 0
        self._killed = False
        self._stopped_at = 0.0
        self._idle_since = ports.clock.now()
        self._next_heartbeat = 0.0
        self._next_outlook = 0.0
        self._outages = 0
        self._retry_at = 0.0

    # ── the step ─────────────────────────────────────────────────────────────

    def tick(self) -> float | None:
        """One step; seconds to rest, or None when the worker has ended."""
        now = self.ports.clock.now()
        self._reap()
        self._watch_time(now)
        if now >= self._retry_at:
            try:
                self._talk(now)
                self._recovered()
            except StoreUnavailable as error:
                self._outage(error, now)
        if self.left is not None and not self.running and not self._reports:
            return None
        return self._rest(now)

    def interrupt(self) -> None:
        """Stop cleanly: jobs are asked to end, and no more are taken. Again: end them at once."""
        self._interrupts += 1

    def kill(self) -> None:
        """End all jobs now; for the case that this worker itself has failed."""
        self._signal(hard=True)

    def _rest(self, now: float) -> float:
        if now < self._retry_at:
            return min(self._retry_at - now, BUSY_REST_S)
        return REST_S if self._has_room() else BUSY_REST_S

    # ── processes ────────────────────────────────────────────────────────────

    def _reap(self) -> None:
        for exit_ in self.ports.launcher.poll():
            attempt = self.running.pop(exit_.key)
            self._free = packing.give_back(self._free, attempt.claim.requirement)
            self._free_gpus = sorted({*self._free_gpus, *attempt.gpus})
            self._reports.append(self._reported(attempt, exit_))
            self._idle_since = self.ports.clock.now()

    def _reported(self, attempt: Attempt, exit_: Exit) -> Report:
        report = report_of(attempt, exit_, self.around, self.stopped)
        log.info(
            "Job %s job_id=%d job_name=%s attempt_id=%d return_code=%d ending=%s",
            report.status.word,
            report.job_id,
            attempt.claim.name,
            report.attempt_id,
            report.return_code,
            report.ending.value,
        )
        return report

    def _launch(self, claims: list[Claim]) -> None:
        for claim in claims:
            count = claim.requirement.num_gpus
            gpus, self._free_gpus = tuple(self._free_gpus[:count]), self._free_gpus[count:]
            self._free = packing.take(self._free, claim.requirement)
            attempt = attempt_of(claim, self.around, gpus)
            self.running[claim.job_id] = attempt
            order = order_for(attempt, self.around, hide_gpus=bool(self.station.gpus) and not count)
            self.ports.launcher.start(order)
            log.info(
                "Job started job_id=%d job_name=%s attempt_id=%d",
                claim.job_id,
                claim.name,
                claim.attempt_id,
            )

    # ── stopping ─────────────────────────────────────────────────────────────

    def _watch_time(self, now: float) -> None:
        """Stop what must be stopped: asked by somebody, or at the allocation's end."""
        config, end = self.around.config, self.conduct.end_time
        if end is not None and now >= end - config.sigkill_headroom_seconds:
            self._stop(Stopped.DEADLINE, now, hard=True)
        elif end is not None and now >= self._deadline(end):
            self._stop(Stopped.DEADLINE, now)
        if self._interrupts:
            self._stop(self.conduct.interrupt_means, now, hard=self._interrupts > 1)
        if self.stopped is not None and now >= self._stopped_at + self._grace():
            self._stop(self.stopped, now, hard=True)

    def _deadline(self, end: float) -> float:
        config = self.around.config
        return end - config.sigkill_headroom_seconds - config.sigterm_lead_seconds

    def _grace(self) -> float:
        if self.stopped is Stopped.DEADLINE:
            return self.around.config.sigterm_lead_seconds
        return KILL_GRACE_S

    def _stop(self, why: Stopped, now: float, *, hard: bool = False) -> None:
        """Ask all jobs to end, once; end them, once. No more are taken."""
        if self.stopped is None:
            self.stopped, self._stopped_at = why, now
            log.warning("Stopping: %s; %d jobs run", why.value, len(self.running))
            self.left = self.left or Leave(why.value)
            self._signal(hard=hard)
        elif hard and not self._killed:
            self._signal(hard=True)

    def _signal(self, *, hard: bool) -> None:
        self._killed = self._killed or hard
        for key in list(self.ports.launcher.running()):
            self.ports.launcher.stop(key, hard=hard)

    # ── the store ────────────────────────────────────────────────────────────

    def _talk(self, now: float) -> None:
        """Everything this step has to say and to ask."""
        if self._outages:
            self._find_lost()
        self._beat(now)
        if self._reports or (self._has_news() and self.left is None and self._has_room()):
            self._exchange()
        if now >= self._next_outlook or not self.running:
            self._look(now)

    def _has_news(self) -> bool:
        """Whether anybody has changed anything since we last looked."""
        before, self._stamp = self._stamp, self.ports.store.stamp()
        return before is None or before != self._stamp

    def _exchange(self) -> None:
        """Report and claim in one transaction; launch what was claimed once it is committed."""
        store, node_id = self.ports.store, self.station.node.id
        claims: list[Claim] = []
        with store.together():
            if self._reports:
                store.complete(node_id, self._reports)
            if self.left is None and self._has_room():
                claims = self._claim()
            started = set(store.start(node_id, [c.job_id for c in claims])) if claims else set()
        self._reports = []
        self._launch([claim for claim in claims if claim.job_id in started])

    def _claim(self) -> list[Claim]:
        store, node_id = self.ports.store, self.station.node.id
        limit, left = self.conduct.max_parallel_jobs, self._seconds_left()
        room = self._free.cpus if limit is None else limit - len(self.running)
        if limit is not None and left is None:
            return store.claim_next(node_id, room)
        return store.claim(node_id, packing.until(self._free, left), room)

    def _seconds_left(self) -> float | None:
        end = self.conduct.end_time
        return None if end is None else self._deadline(end) - self.ports.clock.now()

    def _has_room(self) -> bool:
        limit = self.conduct.max_parallel_jobs
        return self._free.cpus > 0 if limit is None else len(self.running) < limit

    def _beat(self, now: float) -> None:
        if now < self._next_heartbeat:
            return
        self._next_heartbeat = now + HEARTBEAT_S
        alive = self.ports.store.heartbeat(self.station.node.id, now + LEASE_S)
        if not alive and self.left is None:
            log.error("This worker was given up; its jobs belong to others now")
            self._stop(Stopped.CANCELED, now, hard=True)

    def _look(self, now: float) -> None:
        """Do what is due in the workflow; see whether it was canceled, and whether to stay."""
        self._next_outlook = now + OUTLOOK_S
        self._act()
        outlook = self.ports.store.outlook(self.around.workflow.id)
        if outlook.is_canceled and self.stopped is None:
            self._stop(Stopped.CANCELED, now)
        if not self.running and not self._reports:
            self._think_of_leaving(outlook, now)

    def _act(self) -> None:
        """Do what is due in the workflow; what goes wrong there is no matter of the jobs."""
        if self.ports.act is None or self.left is not None:
            return
        try:
            self.ports.act()
        except StoreUnavailable:
            raise
        except TorcError as error:
            log.error("An action failed: %s", error)  # noqa: TRY400  one clear line

    def _think_of_leaving(self, outlook: Outlook, now: float) -> None:
        """Leave if there is no use in staying; but ask once more for work before going."""
        if self.left is not None or isinstance(self._decision(outlook, now), Stay):
            return
        self._exchange()
        if self.running:
            return
        decision = self._decision(self.ports.store.outlook(self.around.workflow.id), now)
        if isinstance(decision, Leave):
            log.info("Leaving: %s", decision.reason)
            self.left = decision

    def _decision(self, outlook: Outlook, now: float) -> Stay | Leave:
        return decide(
            outlook,
            idle_s=now - self._idle_since,
            idle_limit_s=self.conduct.idle_limit_s,
            patient=self.conduct.patient,
        )

    # ── outages ──────────────────────────────────────────────────────────────

    def _outage(self, error: StoreUnavailable, now: float) -> None:
        self._outages += 1
        if not isinstance(error, StoreBusy):
            self.trouble = str(error)
        self._stamp = None  # what was news before has not been acted upon
        self._retry_at = now + min(0.1 * 2 ** min(self._outages, 10), LONGEST_OUTAGE_REST_S)
        if self._outages == 1 and not isinstance(error, StoreBusy):
            log.warning("The store does not answer, jobs go on: %s", error)
        longest = 60 * self.around.workflow.compute_node_wait_for_healthy_database_minutes
        if not self.running and (self._interrupts > 1 or now >= self._idle_since + longest):
            raise error

    def _recovered(self) -> None:
        if self._outages > 1:
            log.warning("The store answers again")
        self._outages, self._retry_at, self.trouble = 0, 0.0, None

    def _find_lost(self) -> None:
        """After an answer that never came: give back what we hold without knowing it."""
        mine = {*self.running, *(report.job_id for report in self._reports)}
        unknown = set(self.ports.store.held(self.station.node.id)) - mine
        if unknown:
            self.ports.store.give_up(self.station.node.id, sorted(unknown))
