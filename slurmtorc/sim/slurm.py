"""SimSlurm: the Slurm port on a simulated cluster, and how its answers fail, lag and lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmUnavailable, SubmissionInDoubt, SubmissionRefused
from slurmtorc.model import SlurmState
from slurmtorc.ports import Script
from slurmtorc.sim.booking import Booking
from slurmtorc.sim.cluster import Cluster
from slurmtorc.sim.faults import LATEST_ARRIVAL_S, Faults, within
from slurmtorc.sim.request import request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from random import Random

    from simpy.events import Event

    from slurmtorc.model import AccountingEntry, QueueEntry, Site
    from slurmtorc.sim.clock import SimClock
    from slurmtorc.sim.cluster import Configuration, Tasks
    from slurmtorc.sim.request import Request


class SimSlurm(Cluster):
    """One simulated cluster."""

    def __init__(
        self,
        clock: SimClock,
        site: Site,
        program: Callable[[Booking], Tasks],
        random: Random,
        *,
        faults: Faults | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        super().__init__(clock, site, program, faults=faults, configuration=configuration)
        self.queries = 0
        """How often anybody has asked the controller anything."""
        self.strangers: dict[int, Booking] = {}
        """Jobs of other people, under ids that were ours."""
        self._site = site
        self._random = random

    # ── the port ─────────────────────────────────────────────────────────────

    def submit(self, script: Script) -> int:
        """The new allocation's id; or what may happen to a submission."""
        self._reach_controller()
        request = request_of(script, self._site, self.configuration.accounts)
        if self._chance(self.faults.submit_fails):
            raise SlurmUnavailable("Unable to contact slurm controller (connect failure)")
        if self._chance(self.faults.submit_refused):
            raise SubmissionRefused("Job violates accounting/QOS policy")
        if self._chance(self.faults.submit_lost):
            self._arrives_perhaps(script, request)
            raise SubmissionInDoubt("Socket timed out on send/recv operation")
        return self.accept(script, request).number

    def look(self, slurm_job_ids: Collection[int]) -> dict[int, QueueEntry]:
        """What the queue says, as far as it says anything."""
        self._reach_controller()
        if self._chance(self.faults.look_fails):
            raise SlurmUnavailable("Socket timed out on send/recv operation")
        known = (self._bearer(number) for number in slurm_job_ids)
        return {
            one.number: one.queue_entry()
            for one in known
            if one is not None and not one.forgotten and not self._is_left_out(one)
        }

    def account(self, slurm_job_ids: Collection[int], since: float) -> dict[int, AccountingEntry]:
        """What accounting says, as far as it has heard."""
        self._reach_accounting()
        if self.faults.accounting_is_off:
            return {}
        now = self.clock.now()
        known = {number: self._bearer(number) for number in slurm_job_ids}
        told = {
            number: one.account(now)
            for number, one in known.items()
            if one is not None and one.submit_time >= since
        }
        return {number: entry for number, entry in told.items() if entry is not None}

    def find(self, token: str, since: float) -> int | None:
        """The id of the allocation with that token."""
        self._reach_controller()
        bearers = [one for one in self._all(token) if one.submit_time >= since]
        if any(not one.forgotten for one in bearers):
            return min(one.number for one in bearers if not one.forgotten)
        self._reach_accounting()
        if self.faults.accounting_is_off:
            return None
        now = self.clock.now()
        return min((one.number for one in bearers if one.account(now)), default=None)

    def cancel(self, slurm_job_ids: Collection[int]) -> None:
        """End allocations."""
        self._reach_controller()
        for number in slurm_job_ids:
            booking = self._bearer(number)
            if booking is not None:
                self.end(booking, SlurmState.CANCELLED)

    def site(self) -> Site:
        """The cluster as it was made."""
        self._reach_controller()
        return self._site

    def _bearer(self, number: int) -> Booking | None:
        """Whose job has that id now."""
        return self.strangers.get(number) or self.bookings.get(number)

    def _all(self, token: str) -> list[Booking]:
        return [one for one in self.bookings.values() if one.token == token]

    def forgot(self, booking: Booking) -> None:
        """Its id may go to somebody else's job, which runs."""
        if not self._chance(self.faults.ids_recycled):
            return
        env, now = self.clock.env, self.clock.now()
        request = replace(booking.request, name="theirs", comment="")
        stranger = Booking(
            number=booking.number,
            request=request,
            script=Script("", request.name, "theirs", "/"),
            submit_time=now,
            granted=env.event(),
            verdict=env.event(),
            state=SlurmState.RUNNING,
            start_time=now,
        )
        stranger.tell(SlurmState.RUNNING, now)
        self.strangers[booking.number] = stranger

    # ── faults ───────────────────────────────────────────────────────────────

    def _chance(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance

    def _reach_controller(self) -> None:
        self.queries += 1
        if within(self.faults.controller_away, self.since_begin()) is not None:
            raise SlurmUnavailable("Slurm's controller does not answer: Slurmctld(primary) is DOWN")

    def _reach_accounting(self) -> None:
        away = within(self.faults.accounting_away, self.since_begin()) is not None
        if away and not self.faults.accounting_is_off:
            raise SlurmUnavailable("Problem talking to the database: Connection refused")

    def _arrives_perhaps(self, script: Script, request: Request) -> None:
        """The answer is lost: it arrived, or it will, or it never does."""
        fate = self._random.choice(("arrived", "late", "never"))
        if fate == "arrived":
            self.accept(script, request)
        elif fate == "late":
            self.clock.env.process(self._arrives_late(script, request))

    def _arrives_late(self, script: Script, request: Request) -> Generator[Event, object, None]:
        yield self.clock.env.timeout(self._random.uniform(0, LATEST_ARRIVAL_S))
        if within(self.faults.controller_away, self.since_begin()) is None:
            self.accept(script, request)

    def _is_left_out(self, booking: Booking) -> bool:
        """Whether this look does not tell of it. A lie ends in time, and is followed by truth."""
        now = self.clock.now()
        if now < booking.hidden_until:
            return True
        if booking.owed:
            booking.owed = False
            return False
        if not self._chance(self.faults.look_omits):
            return False
        booking.hidden_until = now + self._random.uniform(0, self.faults.longest_lie_s)
        booking.owed = True
        return True
