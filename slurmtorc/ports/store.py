"""The state: its verbs and its questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from slurmtorc.ports.revisions import Revisions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

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

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list: `sort_by` is a field of the record, id by default."""

    offset: int = 0
    limit: int = 10_000
    sort_by: str = "id"
    reverse_sort: bool = False


EVERYTHING = Page(limit=1 << 40)
"""All rows, for those who need all of them at once."""
NEWEST = Page(limit=1, reverse_sort=True)
"""The row that was added last."""


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """One page of a list, and how many rows the whole list has."""

    items: list[R]
    total_count: int
    offset: int = 0

    @property
    def has_more(self) -> bool:
        """Whether rows follow this page."""
        return self.offset + len(self.items) < self.total_count


class Store(Revisions, Protocol):
    """The state: verbs (each one transaction, whatever the number of jobs) and questions.

    Every verb raises StoreUnavailable when the database does not answer, NotFound for an
    unknown workflow, and Conflict where the state does not allow it; then nothing changed.
    """

    url: str

    def close(self) -> None:
        """Give back connections and locks."""

    def together(self, *, durable: bool = False) -> AbstractContextManager[None]:
        """Verbs inside commit together, where the store can.

        Durable, for what Slurm is told of next: safe from a power failure.
        """

    # workflows

    def create(self, draft: Draft) -> int:
        """Store a whole workflow, all or nothing; its id."""

    def initialize(self, workflow_id: int, *, after_run: int | None = None) -> int:
        """Begin a new run: link jobs by files and data, and make them blocked or ready.

        The new run id. Refused while jobs are pending or running, or workers of the last run
        live. With `after_run`, only if that is still the last run (0: none yet): of two that
        begin the next one at once, one does.
        """

    def cancel(self, workflow_id: int) -> int:
        """Mark the workflow canceled; how many pending and running jobs were canceled."""

    def delete_workflow(self, workflow_id: int) -> None:
        """Remove the workflow and everything of it. Refused while workers are active."""

    def progress(self, workflow_id: int) -> Progress:
        """Jobs by status."""

    def outlook(self, workflow_id: int) -> Outlook:
        """What may still happen; cheap however many jobs there are."""

    def overview(self, workflow_id: int) -> Overview:
        """Where a workflow stands: what a status tells."""

    # jobs

    def claim(
        self,
        compute_node_id: int,
        free: Capacity,
        limit: int,
        ahead: int = 0,
        *,
        start: bool = False,
    ) -> list[Claim]:
        """Take up to `limit` ready jobs that fit into `free` together: ready -> pending.

        In order of priority, gpus, runtime, memory, cpus (all descending), id. Jobs of
        `free.scheduler_id` or of no scheduler first; others only if there are none.

        Up to `ahead` more may come with them that do not fit beside them: each is like one of
        those that do, and fits once that has ended.

        With `start` they are running at once, as if `start` had been called for them.
        """

    def claim_next(self, compute_node_id: int, limit: int, *, start: bool = False) -> list[Claim]:
        """Take up to `limit` ready jobs whatever they need, by priority and id.

        With `start` they are running at once.
        """

    def start(self, compute_node_id: int, job_ids: Sequence[int]) -> list[int]:
        """Pending -> running, for jobs this worker holds; the ids that were."""

    def release(self, compute_node_id: int, job_ids: Sequence[int]) -> list[int]:
        """Pending -> ready, for jobs this worker holds and never started; the ids that were."""

    def withdraw(self, compute_node_id: int, job_ids: Sequence[int]) -> list[int]:
        """Running -> ready, at the attempt they had; the ids that were.

        For jobs this worker has started a moment too early: no process of theirs ever began.
        """

    def complete(self, compute_node_id: int, reports: Sequence[Report]) -> list[int]:
        """Record how attempts ended and unblock what waited for them, in one transaction.

        A report of an attempt that this worker no longer holds is kept as a superseded result
        and changes nothing; one that is only repeated is ignored. The ids of the jobs changed.
        """

    def note_stats(self, entries: Sequence[SlurmStats]) -> None:
        """Keep what accounting says of attempts' steps, and add it to their results.

        A step that was larger than any sample of it makes the result's peak. Each attempt once.
        """

    def held(self, compute_node_id: int) -> list[int]:
        """The ids of the jobs this worker holds, pending or running."""

    def spawn(
        self, caller_job_id: int, lineage: str | None, jobs: Sequence[SpawnJob], state: Any = None
    ) -> Spawned:
        """A running job adds the next generation of a lineage, blocked by itself; all or nothing.

        Without a lineage, of the caller's own. Spawning the same names again finds those jobs,
        adds nothing, and keeps the state they were spawned with. No jobs: the lineage has
        converged, and `state` is what to. Raises InvalidValue for jobs that cannot be, and
        Conflict if the caller does not run, some names are taken, or iterations are used up.
        """

    # workers

    def register(self, node: ComputeNode, *, run_id: int | None = None) -> ComputeNode:
        """Record a new worker. The first of an allocation makes the allocation active.

        Raises Conflict if the workflow is in another run than `run_id` by now.
        """

    def heartbeat(self, compute_node_id: int, lease_until: float) -> bool:
        """Renew the lease; False when the worker has been given up and must end."""

    def retire(self, compute_node_id: int) -> None:
        """The worker ends and holds nothing; the last of an allocation completes it."""

    def give_up(self, compute_node_id: int, job_ids: Collection[int]) -> list[int]:
        """Take jobs back from a worker that holds them but does not run them; the ids.

        Each job it had started gets a result with ending `orphaned` and goes on as its next
        attempt; jobs it had only claimed stay at their attempt.
        """

    def abandon(self, compute_node_id: int) -> list[int]:
        """Give up a dead worker, and with it all jobs it held; the ids."""

    # allocations and actions

    def intend(self, intents: Sequence[Allocation]) -> list[Allocation]:
        """Record allocations before Slurm knows them; the same with their ids."""

    def asking(self, allocation_id: int, stale_before: float) -> bool:
        """Mark an intent as being asked for now; False if somebody does, or did, since then.

        Of two that try at the same moment one is told True.
        """

    def submitted(self, allocation_id: int, slurm_job_id: int) -> Allocation:
        """Slurm has accepted it: intended -> pending (or stays active, if a worker was faster)."""

    def closed(self, allocation_id: int, reason: str | None = None) -> Allocation:
        """The allocation is over, or never came to be: -> complete."""

    def pending_actions(self, workflow_id: int, compute_node_id: int | None = None) -> list[Action]:
        """Actions whose condition holds and that this worker can take, by id.

        Persistent ones until it has executed them. Without a worker: those that need none.
        """

    def claim_action(
        self, action_id: int, by: ActionRun, intents: Sequence[Allocation] = ()
    ) -> ActionRun | None:
        """Take a pending action, and begin its execution; None if it cannot be taken.

        `by` says which worker, on what host, and where the output goes. Allocations that it asks
        for are recorded in the same transaction, and its execution is over with that.
        """

    def end_action(
        self, execution_id: int, return_code: int | None, reason: str | None = None
    ) -> bool:
        """An execution has ended; None: it was lost. False if that was recorded before."""

    def gates(self, workflow_id: int) -> Mapping[int, list[int]]:
        """Action id -> the ids of the jobs it is about; actions without any are left out."""

    def supersede_action(self, action_id: int) -> bool:
        """Something else does what an action would do; False if it has been executed."""

    def retry_action(self, action_id: int) -> Action:
        """An executed action fires again, as its condition holds. Raises Conflict."""

    # planning again

    def links(self, workflow_id: int) -> Links:
        """Who waits for whom, barriers as nodes; and the jobs that actions wait for."""

    def add_schedulers(
        self, workflow_id: int, schedulers: Sequence[SlurmScheduler]
    ) -> list[SlurmScheduler]:
        """Record schedulers; the same with their ids."""

    def add_requirements(
        self, workflow_id: int, needs: Sequence[ResourceRequirements]
    ) -> list[ResourceRequirements]:
        """Record requirements; the same with their ids."""

    def bind(
        self,
        workflow_id: int,
        job_ids: Collection[int],
        *,
        scheduler_id: int | None = None,
        requirement_id: int | None = None,
    ) -> None:
        """Give jobs another scheduler, another requirement, or both; the others keep theirs."""

    def add_action(self, action: Action, job_ids: Sequence[int]) -> Action:
        """Record an on_jobs_ready action of these jobs, and count those that are ready."""

    # watches

    def hold_watch(self, me: WatchState) -> WatchState | None:
        """Take or renew the lease of a workflow's watch until `me.lease_until`.

        Of `me` only workflow, holder, host, pid and lease count; what is remembered comes back.
        None while another watch's lease lasts.
        """

    def leave_watch(self, workflow_id: int, holder: str) -> None:
        """Give the lease back."""

    def remember_watch(self, state: WatchState) -> None:
        """Store what a watch has done. Raises Conflict if it does not hold the lease.

        In one transaction with what it does (`together`), it fences a watch that was too slow.
        """

    def watch_state(self, workflow_id: int) -> WatchState | None:
        """What the watches of a workflow remember; None if there was none."""

    def note_decisions(self, decisions: Sequence[Decision]) -> None:
        """Record what was decided, with the reasons and the numbers."""

    def suspect(self, workflow_ids: Collection[int]) -> None:
        """Note since when the leases of active workers have been seen run out."""

    def backlog(self, workflow_id: int) -> Backlog:
        """Ready jobs, and those among them that nobody has asked nodes for."""

    def observe(self, seen: Sequence[Allocation]) -> None:
        """Store what is believed of allocations: their fields from `slurm_state` on.

        An allocation whose end is known stays as it is.
        """

    # records and events

    def get(self, kind: type[R], record_id: int) -> R:
        """One record. Raises NotFound."""

    def rows(self, kind: type[R], page: Page | None = None, /, **where: Any) -> Rows[R]:
        """Records of one kind. `where` compares fields: a value, None, or a collection."""

    def dependencies(self, job_ids: Collection[int]) -> Mapping[int, list[int]]:
        """Of each job, the ids of the jobs it waits for, barriers seen through."""

    def required_files(self, workflow_id: int) -> list[File]:
        """Files that jobs read and no job writes: they must be there when a run begins."""

    def missing_user_data(self, workflow_id: int) -> list[UserData]:
        """User data that jobs read, that no job writes and that has no value."""

    def note_files(self, times: Mapping[int, float | None]) -> None:
        """File id -> modification time, as found when a run begins."""

    def spec(self, workflow_id: int) -> str | None:
        """The spec as it was written, as JSON."""

    def events(self, workflow_id: int, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events with an id above `after`, oldest first."""

    def stamp(self) -> object:
        """A value that differs from the last one when anybody may have changed something.

        At once for what a waiting worker waits for, within a second for everything else. Cheap:
        asked a hundred times a second.
        """

    def bell(self) -> int | None:
        """A descriptor that becomes readable when `stamp` is worth asking again.

        None where nobody rings, or if `stamp` has never been asked: whoever waits has to look.
        """
