"""SqlStore: opens the transaction, calls one module's statement, returns records.

Every public method is one verb or question of ports.Store, in the same order. What happens
inside is in the module of its noun; what goes wrong in the driver comes out in our words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from slurmtorc.clock import SystemClock
from slurmtorc.ports import Page
from slurmtorc.store import (
    actions,
    allocations,
    claiming,
    creation,
    executions,
    jobs,
    lists,
    migrate,
    overview,
    records,
    relations,
    scheduling,
    spawning,
    stats,
    watching,
    workflows,
)
from slurmtorc.store.dialect import dialect_for
from slurmtorc.store.revising import Revising

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from slurmtorc.model import (
        Action,
        ActionRun,
        Allocation,
        Backlog,
        Capacity,
        Claim,
        ComputeNode,
        Decision,
        Draft,
        Event,
        File,
        Links,
        Outlook,
        Overview,
        Progress,
        Report,
        ResourceRequirements,
        SlurmScheduler,
        SlurmStats,
        Spawned,
        SpawnJob,
        UserData,
        WatchState,
    )
    from slurmtorc.ports import Clock, Rows

R = TypeVar("R")


class SqlStore(Revising):
    """The state in SQLite or Postgres."""

    def __init__(self, url: str, clock: Clock | None = None, *, create: bool = True) -> None:
        super().__init__(dialect_for(url, create=create), clock or SystemClock())
        self.url = self._dialect.url
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        def prepare(connection: Connection) -> None:
            migrate.bring_up_to_date(connection, self._dialect.shown_url)

        if self._ask(migrate.stored_revision) != migrate.HEAD:
            self._change(prepare)

    def close(self) -> None:
        """Give back connections and locks."""
        self._dialect.close()

    # ── workflows ────────────────────────────────────────────────────────────

    def create(self, draft: Draft) -> int:
        """Store a whole workflow, all or nothing."""
        now = self.clock.now()
        return self._change(lambda c: creation.create(c, self._dialect, draft, now))

    def initialize(self, workflow_id: int, *, after_run: int | None = None) -> int:
        """Begin a new run."""
        now = self.clock.now()
        return self._change(
            lambda c: workflows.initialize(c, workflow_id, now, after_run=after_run)
        )

    def cancel(self, workflow_id: int) -> int:
        """Cancel a workflow and what its workers hold."""
        now = self.clock.now()
        return self._change(lambda c: workflows.cancel(c, workflow_id, now))

    def delete_workflow(self, workflow_id: int) -> None:
        """Remove a workflow and everything of it."""
        now = self.clock.now()
        self._change(lambda c: workflows.remove(c, workflow_id, now))

    def progress(self, workflow_id: int) -> Progress:
        """Jobs by status."""
        return self._ask(lambda c: workflows.progress(c, workflow_id))

    def outlook(self, workflow_id: int) -> Outlook:
        """What may still happen."""
        return self._ask(lambda c: workflows.outlook(c, workflow_id))

    def overview(self, workflow_id: int) -> Overview:
        """Where it stands."""
        return self._ask(lambda c: overview.overview(c, workflow_id))

    # ── jobs ─────────────────────────────────────────────────────────────────

    def claim(
        self,
        compute_node_id: int,
        free: Capacity,
        limit: int,
        ahead: int = 0,
        *,
        start: bool = False,
    ) -> list[Claim]:
        """Take ready jobs that fit."""
        now = self.clock.now() if start else None
        return self._change(lambda c: claiming.claim(c, compute_node_id, free, limit, ahead, now))

    def claim_next(self, compute_node_id: int, limit: int, *, start: bool = False) -> list[Claim]:
        """Take ready jobs whatever they need."""
        now = self.clock.now() if start else None
        return self._change(lambda c: claiming.claim_next(c, compute_node_id, limit, now))

    def start(self, compute_node_id: int, job_ids: Sequence[int]) -> list[int]:
        """Pending -> running."""
        now = self.clock.now()
        return self._change(lambda c: jobs.start(c, compute_node_id, job_ids, now))

    def release(self, compute_node_id: int, job_ids: Sequence[int]) -> list[int]:
        """Pending -> ready."""
        now = self.clock.now()
        return self._change(lambda c: jobs.release(c, compute_node_id, job_ids, now))

    def withdraw(self, compute_node_id: int, job_ids: Sequence[int]) -> list[int]:
        """Running -> ready, of jobs that never began."""
        now = self.clock.now()
        return self._change(lambda c: jobs.withdraw(c, compute_node_id, job_ids, now))

    def complete(self, compute_node_id: int, reports: Sequence[Report]) -> list[int]:
        """Record how attempts ended, and unblock what waited."""
        now = self.clock.now()
        return self._change(lambda c: jobs.complete(c, compute_node_id, reports, now))

    def note_stats(self, entries: Sequence[SlurmStats]) -> None:
        """Keep what accounting says of attempts' steps."""
        self._change(lambda c: stats.note(c, entries))

    def held(self, compute_node_id: int) -> list[int]:
        """What a worker holds."""
        return self._ask(lambda c: jobs.held(c, compute_node_id))

    def spawn(
        self, caller_job_id: int, lineage: str | None, jobs: Sequence[SpawnJob], state: Any = None
    ) -> Spawned:
        """A running job adds jobs."""
        now = self.clock.now()
        return self._change(
            lambda c: spawning.spawn(c, self._dialect, caller_job_id, lineage, jobs, state, now)
        )

    # ── workers ──────────────────────────────────────────────────────────────

    def register(self, node: ComputeNode, *, run_id: int | None = None) -> ComputeNode:
        """Record a new worker."""
        now = self.clock.now()
        return self._change(lambda c: allocations.register(c, node, now, run_id=run_id))

    def heartbeat(self, compute_node_id: int, lease_until: float) -> bool:
        """Renew a worker's lease."""
        now = self.clock.now()
        return self._change(lambda c: allocations.heartbeat(c, compute_node_id, lease_until, now))

    def retire(self, compute_node_id: int) -> None:
        """A worker has ended."""
        now = self.clock.now()
        self._change(lambda c: allocations.retire(c, compute_node_id, now))

    def give_up(self, compute_node_id: int, job_ids: Collection[int]) -> list[int]:
        """Take jobs back from a worker that does not run them."""
        now = self.clock.now()
        return self._change(lambda c: jobs.give_up(c, compute_node_id, list(job_ids), now))

    def abandon(self, compute_node_id: int) -> list[int]:
        """Give up a dead worker."""
        now = self.clock.now()

        def work(connection: Connection) -> list[int]:
            allocations.retire(connection, compute_node_id, now)  # first: it claims no more
            mine = jobs.held(connection, compute_node_id)
            return jobs.give_up(connection, compute_node_id, mine, now)

        return self._change(work)

    # ── allocations and actions ──────────────────────────────────────────────

    def intend(self, intents: Sequence[Allocation]) -> list[Allocation]:
        """Record allocations before Slurm knows them, safe from a power failure."""
        now = self.clock.now()
        return self._change(lambda c: allocations.intend(c, intents, now), durable=True)

    def asking(self, allocation_id: int, stale_before: float) -> bool:
        """Mark an intent as being asked for, safe from a power failure."""
        now = self.clock.now()
        return self._change(
            lambda c: allocations.asking(c, allocation_id, stale_before, now), durable=True
        )

    def submitted(self, allocation_id: int, slurm_job_id: int) -> Allocation:
        """Slurm has accepted it."""
        now = self.clock.now()
        return self._change(
            lambda c: allocations.submitted(c, allocation_id, slurm_job_id, now), durable=True
        )

    def closed(self, allocation_id: int, reason: str | None = None) -> Allocation:
        """It is over, or never came to be."""
        now = self.clock.now()
        return self._change(lambda c: allocations.closed(c, allocation_id, reason, now))

    def pending_actions(self, workflow_id: int, compute_node_id: int | None = None) -> list[Action]:
        """Actions that are to be executed now."""
        return self._ask(lambda c: actions.pending(c, workflow_id, compute_node_id))

    def claim_action(
        self, action_id: int, by: ActionRun, intents: Sequence[Allocation] = ()
    ) -> ActionRun | None:
        """Take an action, and record its intents, safe from a power failure."""
        now = self.clock.now()
        return self._change(lambda c: actions.claim(c, action_id, by, intents, now), durable=True)

    def end_action(
        self, execution_id: int, return_code: int | None, reason: str | None = None
    ) -> bool:
        """Record how an execution ended."""
        now = self.clock.now()
        return self._change(lambda c: executions.end(c, execution_id, return_code, reason, now))

    def gates(self, workflow_id: int) -> dict[int, list[int]]:
        """The jobs that actions are about."""
        return self._ask(lambda c: scheduling.gates(c, workflow_id))

    def supersede_action(self, action_id: int) -> bool:
        """An action does not fire any more."""
        now = self.clock.now()
        return self._change(lambda c: actions.supersede(c, action_id, now))

    def retry_action(self, action_id: int) -> Action:
        """An action that was executed may fire again."""
        now = self.clock.now()
        return self._change(lambda c: actions.retry(c, action_id, now))

    # ── planning again ───────────────────────────────────────────────────────

    def links(self, workflow_id: int) -> Links:
        """Who waits for whom, and what actions wait for."""
        return self._ask(lambda c: scheduling.links(c, workflow_id))

    def add_schedulers(
        self, workflow_id: int, schedulers: Sequence[SlurmScheduler]
    ) -> list[SlurmScheduler]:
        """Record schedulers."""
        return self._change(lambda c: scheduling.add_schedulers(c, workflow_id, schedulers))

    def add_requirements(
        self, workflow_id: int, needs: Sequence[ResourceRequirements]
    ) -> list[ResourceRequirements]:
        """Record requirements."""
        return self._change(lambda c: scheduling.add_requirements(c, workflow_id, needs))

    def bind(
        self,
        workflow_id: int,
        job_ids: Collection[int],
        *,
        scheduler_id: int | None = None,
        requirement_id: int | None = None,
    ) -> None:
        """Give jobs another scheduler, another requirement, or both."""
        self._change(
            lambda c: scheduling.bind(c, workflow_id, job_ids, scheduler_id, requirement_id)
        )

    def add_action(self, action: Action, job_ids: Sequence[int]) -> Action:
        """Record an action of these jobs."""
        return self._change(lambda c: scheduling.add_action(c, action, job_ids))

    # ── watches ──────────────────────────────────────────────────────────────

    def hold_watch(self, me: WatchState) -> WatchState | None:
        """Take or renew the lease of a workflow's watch."""
        now = self.clock.now()
        return self._change(lambda c: watching.hold(c, me, now))

    def leave_watch(self, workflow_id: int, holder: str) -> None:
        """Give the lease back."""
        self._change(lambda c: watching.leave(c, workflow_id, holder))

    def remember_watch(self, state: WatchState) -> None:
        """Store what a watch has done."""
        self._change(lambda c: watching.remember(c, state))

    def watch_state(self, workflow_id: int) -> WatchState | None:
        """What the watches of a workflow remember."""
        return self._ask(lambda c: watching.state(c, workflow_id))

    def note_decisions(self, decisions: Sequence[Decision]) -> None:
        """Record what was decided."""
        now = self.clock.now()
        self._change(lambda c: watching.note(c, decisions, now))

    def suspect(self, workflow_ids: Collection[int]) -> None:
        """Note since when leases have been seen run out."""
        now = self.clock.now()
        self._change(lambda c: watching.suspect(c, list(workflow_ids), now))

    def backlog(self, workflow_id: int) -> Backlog:
        """Ready jobs, and those among them that nobody has asked nodes for."""
        return self._ask(lambda c: watching.backlog(c, workflow_id))

    def observe(self, seen: Sequence[Allocation]) -> None:
        """Store what is believed of allocations."""
        self._change(lambda c: watching.observe(c, seen))

    # ── records and events ───────────────────────────────────────────────────

    def get(self, kind: type[R], record_id: int) -> R:
        """One record."""
        return self._ask(lambda c: records.get(c, kind, record_id))

    def rows(self, kind: type[R], page: Page | None = None, /, **where: Any) -> Rows[R]:
        """Records of one kind."""
        return self._ask(lambda c: lists.rows(c, kind, page or Page(), where))

    def dependencies(self, job_ids: Collection[int]) -> Mapping[int, list[int]]:
        """Of each job, the jobs it waits for."""
        return self._ask(lambda c: relations.dependencies(c, job_ids))

    def required_files(self, workflow_id: int) -> list[File]:
        """Files that are read and not written."""
        return self._ask(lambda c: relations.required_files(c, workflow_id))

    def missing_user_data(self, workflow_id: int) -> list[UserData]:
        """User data that is read, not written, and has no value."""
        return self._ask(lambda c: relations.missing_user_data(c, workflow_id))

    def note_files(self, times: Mapping[int, float | None]) -> None:
        """File id -> modification time, as found when a run begins."""
        self._change(lambda c: relations.note_files(c, times))

    def spec(self, workflow_id: int) -> str | None:
        """The spec as it was written."""
        return self._ask(lambda c: relations.spec(c, workflow_id))

    def events(self, workflow_id: int, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events since one already seen."""
        return self._ask(lambda c: records.events(c, workflow_id, after, limit))

    def stamp(self) -> object:
        """A value that differs when anybody may have changed something."""
        with self._our_words():
            return self._dialect.stamp()

    def bell(self) -> int | None:
        """A descriptor that becomes readable when `stamp` is worth asking again."""
        return self._dialect.bell()
