"""What runs in a simulated allocation: the real worker, one on each node, as `torc worker` does.

The real worker asks five times a second whether there is news. Here it is woken when there is,
and looks by itself only now and then: else a simulated hour would take minutes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError, TorcError
from slurmtorc.model import Allocation
from slurmtorc.rules.endings import TELLING, Stopped
from slurmtorc.schedule.submit import end_surplus
from slurmtorc.sim.clock import Process
from slurmtorc.sim.launcher import SimLauncher
from slurmtorc.worker.employ import Offer, employ, leave
from slurmtorc.worker.node import Node
from slurmtorc.worker.station import Conduct, Ports

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from random import Random

    from simpy.events import Event

    from slurmtorc.model import SlurmState, Workflow
    from slurmtorc.ports import Order, Slurm
    from slurmtorc.sim.booking import Booking
    from slurmtorc.sim.clock import SimClock
    from slurmtorc.sim.launcher import Behaviour, Run
    from slurmtorc.sim.store import SimStore
    from slurmtorc.worker.worker import Worker

log = logging.getLogger(__name__)

LOOK_S = 45.0
"""How long a worker rests at most; well below its lease."""
STOPPING_LOOK_S = 0.5
SLOWEST_START_S = 10.0
"""From the allocation's start to a worker's first word, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What all hosts of a world have in common."""

    clock: SimClock
    store: SimStore
    slurm: Slurm
    random: Random
    behave: Callable[[Order], Behaviour]
    act: Callable[..., None] | None
    """Executes pending actions, where nodes may submit."""
    workflow: Callable[[int], Workflow]
    orphans_live_s: float
    runs: list[Run]
    lives: list[Life]
    listening: Callable[[Process], Process]
    """Lets a process be woken when somebody changes the store."""


@dataclass(slots=True, kw_only=True)
class Life:
    """One worker as it really was."""

    slurm_job_id: int
    node: str
    start_time: float
    compute_node_id: int | None = None
    """None until it is registered."""
    end_time: float | None = None
    in_order: bool = False
    """It ended by itself, and said so."""


class Host:
    """The workers of one allocation; SimSlurm's tasks."""

    def __init__(self, premises: Premises, booking: Booking) -> None:
        self.premises = premises
        self.booking = booking
        self.done: Event = premises.clock.env.event()
        self._code = 0
        self._workers = {name: _Hosted(self, name) for name in booking.nodes}
        self._within = set(self._workers)
        """Nodes that Slurm still reaches, with something running on them."""

    def signal(self, *, hard: bool) -> None:
        """SIGTERM or SIGKILL to all workers that can be reached."""
        for name in sorted(self._within):
            self._workers[name].signal(hard=hard)

    def lose(self, node: str) -> None:
        """Slurm does not reach the node any more; what runs there may go on for a while."""
        if node in self._within:
            self._workers[node].orphan(self.premises.orphans_live_s)
            self.left(node, 1)

    def left(self, node: str, code: int) -> None:
        """Nothing runs on a node any more, as far as Slurm can tell."""
        self._code = max(self._code, code)
        self._within.discard(node)
        if not self._within and not self.done.triggered:
            self.done.succeed(self._code)

    def kill_worker(self) -> None:
        """`kill -9` of one of the workers, by somebody."""
        for name in sorted(self._within)[:1]:
            self._workers[name].signal(hard=True)


class _Hosted:
    """One worker on one node."""

    def __init__(self, host: Host, node: str) -> None:
        self.host = host
        self.premises = host.premises
        clock = self.premises.clock
        booking = host.booking
        self.life = Life(slurm_job_id=booking.number, node=node, start_time=clock.now())
        self.premises.lives.append(self.life)
        self.launcher = SimLauncher(clock, self.premises.behave, self.premises.runs, booking.number)
        self.worker: Worker | None = None
        self._begins_at = clock.now() + self.premises.random.uniform(1, SLOWEST_START_S)
        self._is_over = False
        self._interrupted = False
        self.process = self.premises.listening(Process(clock, self._tick))
        self.launcher.on_end = self.process.wake

    # ── from outside ─────────────────────────────────────────────────────────

    def signal(self, *, hard: bool) -> None:
        """What the kernel would do."""
        if hard or self.worker is None:
            self._die(137 if hard else 143)
        else:
            self.worker.interrupt()
            self.process.wake()

    def orphan(self, seconds: float) -> None:
        """Its node is lost to Slurm; it goes on, and is gone after a while."""
        env = self.premises.clock.env

        def last() -> Generator[Event, object, None]:
            yield env.timeout(seconds)
            self._die(137)

        if seconds:
            env.process(last())
        else:
            self._die(137)

    def _die(self, code: int) -> None:
        """All at once, without a word."""
        if self._is_over:
            return
        self.process.kill()
        self.launcher.abandon()
        self._over(code)

    def _over(self, code: int) -> None:
        self._is_over = True
        self.life.end_time = self.premises.clock.now()
        self.host.left(self.life.node, code)

    # ── the program ──────────────────────────────────────────────────────────

    def _tick(self) -> float | None:
        """`torc worker`, one step at a time."""
        if self.premises.clock.now() < self._begins_at:
            return self._begins_at - self.premises.clock.now()
        try:
            if self.worker is None:
                self.worker = self._employed()
            pause = self.worker.tick()
            if pause is not None:
                return self._rest(self.worker, pause)
            self._leave(self.worker)
        except TorcError as error:
            log.info("A worker of Slurm job %d fails: %s", self.host.booking.number, error)
            self._die(1)
            return None
        self.life.in_order = True
        self._over(0)
        return None

    def _employed(self) -> Worker:
        store, booking = self.premises.store, self.host.booking
        (allocation,) = store.rows(Allocation, token=booking.token).items
        workflow = self.premises.workflow(allocation.workflow_id)
        act = self.premises.act
        ports = Ports(
            store=store,
            launcher=self.launcher,
            clock=self.premises.clock,
            act=None if act is None else partial(act, workflow, allocation.output_dir),
            why=self._why,
        )
        worker = employ(ports, workflow, self._offer(workflow, allocation))
        self.life.compute_node_id = worker.station.node.id
        return worker

    def _why(self) -> SlurmState | None:
        """What accounting says of the allocation's end, as far as it is the end of all its jobs."""
        number = self.host.booking.number
        try:
            entry = self.premises.slurm.account([number], 0.0).get(number)
        except SlurmError:
            return None
        return entry.state if entry is not None and entry.state in TELLING else None

    def _offer(self, workflow: Workflow, allocation: Allocation) -> Offer:
        booking = self.host.booking
        request = booking.request
        node = Node(
            hostname=self.life.node,
            cpus=request.cpus,
            memory_bytes=request.memory_bytes,
            gpus=tuple(str(number) for number in range(request.gpus)),
            slurm_job_id=booking.number,
            end_time=booking.latest_end,
        )
        conduct = Conduct(
            max_parallel_jobs=allocation.max_parallel_jobs,
            idle_limit_s=workflow.compute_node_wait_for_new_jobs_seconds,
            end_time=node.end_time,
            interrupt_means=Stopped.ALLOCATION,
        )
        return Offer(
            node=node, output_dir=allocation.output_dir, conduct=conduct, allocation=allocation
        )

    def _rest(self, worker: Worker, pause: float) -> float:
        """Until the worker must do something even if nothing happens."""
        if worker.stopped is not None:
            return max(pause, STOPPING_LOOK_S)
        end, config = worker.conduct.end_time, worker.around.config
        now = self.premises.clock.now()
        kill = (end or now) - config.sigkill_headroom_seconds
        moments = [kill - config.sigterm_lead_seconds, kill]
        return min([LOOK_S, *(moment - now for moment in moments if moment > now)])

    def _leave(self, worker: Worker) -> None:
        """As employ.work and `torc worker` end."""
        leave(worker)
        try:
            end_surplus(worker.ports.store, self.premises.slurm, worker.around.workflow.id)
        except SlurmError as error:
            log.info("Queued allocations could not be canceled: %s", error)
