"""The simulated cluster itself: allocations live on its nodes, and somebody writes that down.

It behaves as Slurm 22.05 was measured to: an end is in accounting when the signal is sent and
in the queue when the processes are gone; the queue forgets; a controller that is away starts
and ends nothing; accounting is late, and later still after an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from slurmtorc.model import SlurmState
from slurmtorc.sim.booking import Booking
from slurmtorc.sim.faults import Faults, within
from slurmtorc.sim.nodes import SimNode, nodes_of, startable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from simpy.events import Event

    from slurmtorc.model import Site
    from slurmtorc.ports import Script
    from slurmtorc.sim.clock import SimClock
    from slurmtorc.sim.request import Request

SCHEDULING_S = 1.0
"""Between the moment something changes and the scheduler's next look at the queue."""
REQUEUE_S = 10.0
"""How long an allocation that went back into the queue is not started again."""
ACCOUNTING_TICK_S = 5.0
"""For how long accounting still shows the end of a run after which an allocation went back."""
BACKLOG_S = 15.0
"""How long accounting takes to catch up after an outage."""


class Tasks(Protocol):
    """What runs in one allocation."""

    done: Event
    """Happens when all of it has ended; the value is the exit status."""

    def signal(self, *, hard: bool) -> None:
        """SIGTERM or SIGKILL to all of it."""

    def lose(self, node: str) -> None:
        """A node of the allocation has failed, as far as Slurm can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What slurm.conf would say."""

    accounts: frozenset[str] | None = None
    """None: any."""
    kill_wait_s: float = 30.0
    min_job_age_s: float = 300.0
    first_id: int = 1


class Cluster:
    """Nodes, a queue, a scheduler and a book of accounts."""

    def __init__(
        self,
        clock: SimClock,
        site: Site,
        program: Callable[[Booking], Tasks],
        *,
        faults: Faults | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        self.clock = clock
        self.program = program
        self.faults = faults or Faults()
        self.configuration = configuration or Configuration()
        self.nodes = nodes_of(site)
        self.bookings: dict[int, Booking] = {}
        self._numbers = count(self.configuration.first_id)
        self._began = clock.now()
        self._bell: Event = clock.env.event()
        clock.env.process(self._schedule())

    # ── what happens to a cluster ────────────────────────────────────────────

    def end(self, booking: Booking, state: SlurmState, *, goes_back: bool = False) -> None:
        """End an allocation that waits or runs; others stay as they are.

        One that goes back waits in the queue again, under the same id.
        """
        ending = booking.state is SlurmState.COMPLETING or booking.state.final
        if ending or booking.verdict.triggered:
            return
        booking.goes_back = goes_back
        booking.verdict.succeed(state)
        if booking.state is SlurmState.PENDING and not booking.granted.triggered:
            booking.granted.succeed()

    def fail_node(self, name: str, seconds: float) -> None:
        """A node is gone for a while, and all allocations on it end."""
        node = next(node for node in self.nodes if node.name == name)
        node.is_up = False
        for booking in self.running():
            if name in booking.nodes:
                back_to_queue = self.faults.node_requeues
                self.end(booking, SlurmState.NODE_FAIL, goes_back=back_to_queue)

        def back() -> Generator[Event, object, None]:
            yield self.clock.env.timeout(seconds)
            node.is_up = True
            self._ring()

        self.clock.env.process(back())

    def running(self) -> list[Booking]:
        """Allocations that run and are not being ended."""
        return [one for one in self.bookings.values() if one.state is SlurmState.RUNNING]

    def alive(self) -> list[Booking]:
        """Allocations that have not ended."""
        return [one for one in self.bookings.values() if one.state.alive]

    # ── the life of an allocation ────────────────────────────────────────────

    def accept(self, script: Script, request: Request) -> Booking:
        """A submission has arrived."""
        env = self.clock.env
        booking = Booking(
            number=next(self._numbers),
            request=request,
            script=script,
            submit_time=self.clock.now(),
            granted=env.event(),
            verdict=env.event(),
        )
        self.bookings[booking.number] = booking
        self._account(booking, SlurmState.PENDING)
        env.process(self._life(booking))
        self._ring()
        return booking

    def _life(self, booking: Booking) -> Generator[Event, object, None]:
        yield booking.granted
        while booking.nodes:
            yield from self._run(booking)
            if booking.state.final:
                break
            yield from self._wait_again(booking)
        else:
            self._over(booking, _state(booking.verdict))
        yield self.clock.env.timeout(self.configuration.min_job_age_s)
        booking.forgotten = True
        self.forgot(booking)

    def forgot(self, booking: Booking) -> None:
        """The queue knows it no more, and its id is free."""

    def _run(self, booking: Booking) -> Generator[Event, object, None]:
        env = self.clock.env
        tasks = self.program(booking)
        yield tasks.done | booking.verdict | env.timeout(booking.request.limit_s)
        if tasks.done.triggered:
            yield from self._controller()
            state = SlurmState.FAILED if tasks.done.value else SlurmState.COMPLETED
            booking.goes_back = False  # it was over before anybody ended it
        else:
            if not booking.verdict.triggered:
                yield from self._controller()
            state = _state(booking.verdict)
            yield from self._end(booking, tasks, state)
        for node in self._nodes(booking):
            node.take(booking.request, -1)
        if booking.goes_back:
            self._go_back(booking, state)
        else:
            self._over(booking, state)

    def _go_back(self, booking: Booking, state: SlurmState) -> None:
        """It is as it was before it ran; accounting hears of that some seconds later."""
        assert booking.end_time is not None
        booking.runs_over.append((state, booking.end_time))
        booking.goes_back = False
        booking.state, booking.reason, booking.nodes = SlurmState.PENDING, "BeginTime", ()
        booking.start_time = booking.end_time = None
        booking.verdict, booking.granted = self.clock.env.event(), self.clock.env.event()
        self._account(booking, SlurmState.PENDING, ACCOUNTING_TICK_S)

    def _wait_again(self, booking: Booking) -> Generator[Event, object, None]:
        """It may not start again at once."""
        booking.not_before = self.clock.now() + REQUEUE_S
        yield self.clock.env.timeout(REQUEUE_S)
        self._ring()
        yield booking.granted

    def _end(
        self, booking: Booking, tasks: Tasks, state: SlurmState
    ) -> Generator[Event, object, None]:
        """TERM, and KILL if that does not help; the processes of a failed node are out of reach."""
        env = self.clock.env
        booking.state, booking.end_time = SlurmState.COMPLETING, self.clock.now()
        self._account(booking, state)
        down = {node.name for node in self._nodes(booking) if not node.is_up}
        for name in sorted(down):
            tasks.lose(name)
        tasks.signal(hard=False)
        yield tasks.done | env.timeout(self.configuration.kill_wait_s)
        if not tasks.done.triggered:
            tasks.signal(hard=True)

    def _over(self, booking: Booking, state: SlurmState) -> None:
        booking.end_time = booking.end_time or self.clock.now()
        booking.state = state
        self._account(booking, state)
        self._ring()

    def _account(self, booking: Booking, state: SlurmState, late: float = 0.0) -> None:
        """Accounting hears of it later, and after an outage later still."""
        since = self.since_begin() + self.faults.accounting_lag_s + late
        back = within(self.faults.accounting_away, since)
        heard = since if back is None else back + BACKLOG_S
        booking.tell(state, self._began + heard)

    def _nodes(self, booking: Booking) -> list[SimNode]:
        return [node for node in self.nodes if node.name in booking.nodes]

    def since_begin(self) -> float:
        """Seconds; faults are told in them."""
        return self.clock.now() - self._began

    # ── the scheduler ────────────────────────────────────────────────────────

    def _controller(self) -> Generator[Event, object, None]:
        """Until the controller is there to act."""
        while (back := within(self.faults.controller_away, self.since_begin())) is not None:
            yield self.clock.env.timeout(back - self.since_begin() + SCHEDULING_S)

    def _ring(self) -> None:
        if not self._bell.triggered:
            self._bell.succeed()

    def _schedule(self) -> Generator[Event, object, None]:
        while True:
            yield self._bell
            yield self.clock.env.timeout(SCHEDULING_S)
            self._bell = self.clock.env.event()
            yield from self._controller()
            now = self.clock.now()
            for booking, nodes in startable(self.bookings.values(), self.nodes, now):
                for node in nodes:
                    node.take(booking.request)
                booking.nodes = tuple(node.name for node in nodes)
                booking.state, booking.start_time = SlurmState.RUNNING, now
                self._account(booking, SlurmState.RUNNING)
                booking.granted.succeed()


def _state(verdict: Event) -> SlurmState:
    """The state an allocation ends in; if nobody has said anything, its time is up."""
    if verdict.triggered and isinstance(verdict.value, SlurmState):
        return verdict.value
    return SlurmState.TIMEOUT
