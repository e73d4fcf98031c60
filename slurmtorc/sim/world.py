"""A simulated world: one workflow on one cluster, from its submission to the end of its watch.

`Simulation(draft, site, ...).run()` drives the real submitter, workers and watch on a store in
memory until nothing more will happen, and reports what was recorded beside what really was.
The same seed gives the same story.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from slurmtorc.errors import TorcError
from slurmtorc.model import (
    ActionType,
    Allocation,
    ComputeNode,
    Job,
    Result,
    SlurmState,
    Workflow,
)
from slurmtorc.rules.planning import Options, plan
from slurmtorc.rules.watching import Policy
from slurmtorc.schedule.begin import begin
from slurmtorc.schedule.submit import Submitter
from slurmtorc.sim.clock import Process, SimClock
from slurmtorc.sim.cluster import Configuration
from slurmtorc.sim.faults import Faults, within
from slurmtorc.sim.host import Host, Premises
from slurmtorc.sim.launcher import well_behaved
from slurmtorc.sim.report import Report
from slurmtorc.sim.request import short_script
from slurmtorc.sim.slurm import SimSlurm
from slurmtorc.sim.store import SimStore
from slurmtorc.sim.watching import OUTPUT_DIR, Outfit, a_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from simpy.events import Event

    from slurmtorc.model import Draft, Site
    from slurmtorc.ports import Order
    from slurmtorc.rules.watching import Stop
    from slurmtorc.sim.booking import Booking
    from slurmtorc.sim.host import Life
    from slurmtorc.sim.launcher import Behaviour, Run
    from slurmtorc.sim.watching import Watched

GLANCE_S = 30.0
"""How long a watch rests at least, though it would look at the store more often."""
RESTART_S = 60.0
"""After its end by a kill or an error a person starts the watch again."""
DRAIN_S = 1200.0
"""For how long a world goes on after its watch has ended, while allocations are alive."""
LONGEST_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the workflow is run."""

    nodes_submit: bool = True
    """Whether workers execute schedule_nodes actions too."""
    policy: Policy = field(default_factory=Policy)
    """What the watch may do."""
    configuration: Configuration = field(default_factory=Configuration)
    options: Options = field(default_factory=lambda: Options(account="sim"))
    """For the plan of a draft that has no schedule_nodes actions of its own."""


class Simulation:
    """One world. Stores may be shared by worlds that run one after the other."""

    def __init__(
        self,
        draft: Draft,
        site: Site,
        *,
        faults: Faults | None = None,
        seed: object = 0,
        behave: Callable[[Order], Behaviour] | None = None,
        conditions: Conditions | None = None,
        store: SimStore | None = None,
    ) -> None:
        self.site = site
        self.faults = faults or Faults()
        self.conditions = conditions or Conditions()
        self.random = _random(seed, "world")
        self.store = store or SimStore(SimClock())
        self.clock = self.store.sim_clock
        self.clock.restart()
        self.store.reset()
        self.draft = self._planned(draft)
        self.runs: list[Run] = []
        self.lives: list[Life] = []
        self.hosts: dict[int, Host] = {}
        self.watched: Watched | None = None
        self.watches = 0
        self.slurm = SimSlurm(
            self.clock,
            site,
            self._host,
            _random(seed, "slurm"),
            faults=self.faults,
            configuration=self.conditions.configuration,
        )
        self.submitter = Submitter(self.store, self.slurm, self.clock, short_script)
        self._behave = behave or well_behaved(self.draft, _random(seed, "jobs"))
        self._listeners: list[Process] = []
        self._premises: Premises | None = None
        self._stop: Stop | None = None
        self._acted_at = -1

    # ── the story ────────────────────────────────────────────────────────────

    def run(self, longest_s: float = LONGEST_S) -> Report:
        """Until the watch has ended and nothing of the workflow is left in Slurm."""
        self._began = self.clock.now()
        workflow_id = self.store.create(self.draft)
        self.workflow = begin(self.store, workflow_id)
        self.store.on_change = self._tell
        self._let_things_go_wrong()
        Process(self.clock, self._submits)
        env = self.clock.env
        watching = env.process(self._watches())
        env.run(until=watching | env.timeout(longest_s))
        ended = self.clock.now()
        self._drain()
        return self._report(ended - self._began)

    def _planned(self, draft: Draft) -> Draft:
        if any(action.action_type is ActionType.SCHEDULE_NODES for action in draft.actions):
            return draft
        return plan(draft, site=self.site, options=self.conditions.options).apply(draft)

    def _submits(self) -> None:
        """`torc submit`; what it does not get done, the watch does."""
        with suppress(TorcError):
            self.submitter.act(self.workflow, OUTPUT_DIR)

    def _watches(self) -> Generator[Event, object, None]:
        """`torc watch`, started again whenever it is killed or fails."""
        outfit = Outfit(
            store=self.store, slurm=self.slurm, clock=self.clock, submitter=self.submitter
        )
        while self._stop is None:
            self.watches += 1
            self.watched = a_watch(
                outfit, self.workflow, self.conditions.policy, f"watch {self.watches}"
            )
            self.watch = Process(self.clock, self._watch_tick)
            yield self.watch.over
            self._stop = self.watched.ended()
            if self._stop is None:
                yield self.clock.env.timeout(RESTART_S)

    def _watch_tick(self) -> float | None:
        assert self.watched is not None
        if self.clock.crowded:
            return 1.0
        try:
            rest = self.watched.tick()
        except TorcError:
            return None
        return None if rest is None else max(rest, GLANCE_S)

    def _drain(self) -> None:
        """Allocations that were just canceled, or could not be, come to their end."""
        end = self.clock.now() + DRAIN_S
        while self.slurm.alive() and self.clock.now() < end:
            self.clock.env.run(until=self.clock.now() + 10)

    # ── workers ──────────────────────────────────────────────────────────────

    def _host(self, booking: Booking) -> Host:
        if self._premises is None:
            self._premises = Premises(
                clock=self.clock,
                store=self.store,
                slurm=self.slurm,
                random=self.random,
                behave=self._behave,
                act=self._act if self.conditions.nodes_submit else None,
                workflow=lambda number: self.store.get(Workflow, number),
                orphans_live_s=self.faults.orphans_live_s,
                runs=self.runs,
                lives=self.lives,
                listening=self._listening,
            )
        host = self.hosts[booking.number] = Host(self._premises, booking)
        return host

    def _act(
        self, workflow: Workflow, output_dir: str, node_id: int, *, leaving: bool = False
    ) -> None:
        """Pending actions, if anything has happened since somebody last looked for them."""
        if self.clock.crowded or self.store.changes == self._acted_at:
            return
        self.submitter.act(workflow, output_dir, node_id, leaving=leaving)
        self._acted_at = self.store.changes

    # ── news ─────────────────────────────────────────────────────────────────

    def _listening(self, process: Process) -> Process:
        self._listeners.append(process)
        return process

    def _tell(self) -> None:
        """Somebody has changed the store."""
        self._listeners = [one for one in self._listeners if not one.is_dead]
        for process in self._listeners:
            if process is not self.clock.process:
                process.wake()

    # ── what goes wrong ──────────────────────────────────────────────────────

    def _let_things_go_wrong(self) -> None:
        faults, random = self.faults, self.random
        self.store.is_away = lambda: (
            within(faults.store_away, self.clock.now() - self._began) is not None
        )
        chance = faults.store_answer_lost
        if chance:
            self.store.is_answer_lost = lambda: random.random() < chance
        self._at(faults.preemptions, lambda: self._end_one(SlurmState.PREEMPTED))
        self._at(faults.requeues, lambda: self._end_one(SlurmState.PREEMPTED, goes_back=True))
        self._at(faults.cancels, lambda: self._end_one(SlurmState.CANCELLED))
        self._at(faults.worker_kills, self._kill_a_worker)
        self._at(faults.watch_kills, self._kill_the_watch)
        for moment, number, seconds in faults.node_failures:
            name = self.slurm.nodes[number % len(self.slurm.nodes)].name
            self._at([moment], partial(self.slurm.fail_node, name, seconds))

    def _at(self, moments: Iterable[float], happens: Callable[[], object]) -> None:
        def one(moment: float) -> Generator[Event, object, None]:
            yield self.clock.env.timeout(moment)
            happens()

        for moment in moments:
            self.clock.env.process(one(moment))

    def _end_one(self, state: SlurmState, *, goes_back: bool = False) -> None:
        running = self.slurm.running()
        wanted = running if state is SlurmState.PREEMPTED else self.slurm.alive()
        if wanted:
            self.slurm.end(self.random.choice(wanted), state, goes_back=goes_back)

    def _kill_a_worker(self) -> None:
        running = self.slurm.running()
        if running:
            self.hosts[self.random.choice(running).number].kill_worker()

    def _kill_the_watch(self) -> None:
        self.watch.kill()

    # ── the report ───────────────────────────────────────────────────────────

    def _report(self, seconds: float) -> Report:
        self.store.is_away = self.store.is_answer_lost = bool
        of_it = {"workflow_id": self.workflow.id}
        return Report(
            workflow=self.store.get(Workflow, self.workflow.id),
            seconds=seconds,
            stop=self._stop,
            watches=self.watches,
            jobs=self.store.rows(Job, **of_it).items,
            results=self.store.rows(Result, **of_it).items,
            ended_at=self._ends(),
            allocations=self.store.rows(Allocation, **of_it).items,
            nodes=self.store.rows(ComputeNode, **of_it).items,
            bookings=list(self.slurm.bookings.values()),
            runs=self.runs,
            lives=self.lives,
            strangers=list(self.slurm.strangers.values()),
            queries=self.slurm.queries,
        )

    def _ends(self) -> dict[tuple[int, int], float]:
        events = self.store.events(self.workflow.id, limit=1_000_000)
        return {
            (event.data["job_id"], event.data["attempt_id"]): event.timestamp
            for event in events
            if "return_code" in event.data and "job_id" in event.data
        }


def _random(seed: object, part: str) -> Random:
    """Each part draws from its own, so that one change does not change all."""
    return Random(f"{seed} {part}")  # noqa: S311  a story to be told again, not a secret
