"""What could run a workflow's jobs: its workers, allocations and actions, and Slurm's queue.

Slurm is asked once, and only if the store has allocations that Slurm may know; if it is silent,
what it said last is taken, and the silence is told. Nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slurmtorc.cli.reading import every
from slurmtorc.errors import InvalidValue, SlurmError
from slurmtorc.model import (
    Action,
    ActionType,
    Allocation,
    AllocationStatus,
    Capacity,
    ComputeNode,
    ExecutionConfig,
    Job,
    JobStatus,
    ResourceRequirements,
    SlurmScheduler,
    TriggerType,
)
from slurmtorc.rules.chains import ahead
from slurmtorc.rules.offers import UNTOLD, Asked, Planned, Scene, Worker
from slurmtorc.schedule.undersized import former
from slurmtorc.slurm.columns import time_limit
from slurmtorc.slurm.nodes import parse_gpus
from slurmtorc.slurm.states import explain as why
from slurmtorc.units import KIB, parse_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slurmtorc.model import Links, QueueEntry, Workflow
    from slurmtorc.ports import Slurm, Store

_AHEAD_OF_JOBS = [
    TriggerType.ON_WORKFLOW_START,
    TriggerType.ON_JOBS_READY,
    TriggerType.ON_JOBS_COMPLETE,
]
_NO_NEED = ResourceRequirements(name="")


@dataclass(frozen=True, slots=True)
class Hands:
    """Whom facts are asked of."""

    store: Store
    slurm: Callable[[], Slurm]
    now: float


def scene_of(hands: Hands, workflow: Workflow) -> Scene:
    """Workers, allocations and actions of a workflow."""
    store, where = hands.store, {"workflow_id": workflow.id}
    schedulers = {one.id: one for one in every(store, SlurmScheduler, **where)}
    live = [status for status in AllocationStatus if status is not AllocationStatus.COMPLETE]
    allocations = list(every(store, Allocation, status=live, **where))
    queue, silent = _queue(hands, allocations)
    offers = Offers(workflow, schedulers, hands.now)
    return Scene(
        now=hands.now,
        workflow_id=workflow.id,
        workers=_workers(hands, workflow, queue, offers),
        asked=[
            offers.asked(one, queue.get(one.scheduler_id or 0), silent=bool(silent))
            for one in allocations
        ],
        planned=_planned(store, workflow.id, offers),
        former=former(store, workflow.id),
        slurm_is_silent=silent,
    )


def _queue(hands: Hands, allocations: Iterable[Allocation]) -> tuple[Mapping[int, QueueEntry], str]:
    """What the queue says, and why it says nothing."""
    ids = [one.scheduler_id for one in allocations if one.scheduler_id is not None]
    if not ids:
        return {}, ""
    try:
        return hands.slurm().look(ids), ""
    except SlurmError as error:
        return {}, str(error)


class Offers:
    """What allocations give, by their schedulers."""

    def __init__(
        self, workflow: Workflow, schedulers: Mapping[int, SlurmScheduler], now: float
    ) -> None:
        self.schedulers = schedulers
        self._now = now
        self._config = ExecutionConfig.of(workflow.execution_config)
        self._more = f"{dict(workflow.slurm_defaults or {})}"

    @property
    def margin_s(self) -> float:
        """How long before the end of an allocation its worker ends what still runs."""
        return self._config.sigkill_headroom_seconds + self._config.sigterm_lead_seconds

    def of(self, scheduler: SlurmScheduler) -> Capacity:
        """What a worker has on a node of a fresh allocation."""
        cpus = scheduler.cpus_per_task
        walltime = time_limit(scheduler.walltime)
        gpus_untold = "gpu" in f"{self._more} {scheduler.extra or ''}".lower()
        return Capacity(
            cpus=UNTOLD if cpus is None else cpus * (scheduler.ntasks_per_node or 1),
            memory_bytes=_memory(scheduler.mem),
            gpus=UNTOLD if gpus_untold else parse_gpus(scheduler.gres or "")[0],
            nodes=scheduler.nodes if self._config.by_steps(in_slurm=True) else 1,
            seconds=None if walltime is None else walltime - self.margin_s,
            scheduler_id=scheduler.id,
        )

    def asked(self, allocation: Allocation, entry: QueueEntry | None, *, silent: bool) -> Asked:
        """An allocation as the queue knows it; if that is silent, as it was last told."""
        scheduler = self.schedulers.get(allocation.scheduler_config_id or 0)
        nothing_told = Capacity(cpus=UNTOLD, memory_bytes=UNTOLD, gpus=UNTOLD, nodes=UNTOLD)
        return Asked(
            allocation=allocation,
            scheduler=scheduler.name if scheduler else "",
            offer=self.of(scheduler) if scheduler else nothing_told,
            state=entry.state if entry else allocation.slurm_state if silent else None,
            why=why(entry.reason if entry else allocation.slurm_reason if silent else ""),
            start_time=entry.start_time if entry else None,
            end_time=entry.end_time if entry else None,
        )

    def seconds_left(self, entry: QueueEntry | None) -> float | None:
        """Until a worker of it must end; None where nobody knows of a limit."""
        if entry is None or entry.end_time is None:
            return None
        return entry.end_time - self._now - self.margin_s


def _memory(text: str | None) -> int:
    """Bytes of Slurm's --mem: megabytes without a unit, and 0 is all of the node."""
    try:
        size = parse_memory(text or "0")
    except InvalidValue:
        return UNTOLD
    if (text or "").strip().isdecimal():
        size *= KIB**2
    return size or UNTOLD


def _workers(
    hands: Hands, workflow: Workflow, queue: Mapping[int, QueueEntry], offers: Offers
) -> list[Worker]:
    store, where = hands.store, {"workflow_id": workflow.id}
    needs = {one.id: one for one in every(store, ResourceRequirements, **where)}
    held: dict[int, list[ResourceRequirements]] = {}
    for job in every(store, Job, status=[JobStatus.PENDING, JobStatus.RUNNING], **where):
        need = needs.get(job.resource_requirements_id or 0, _NO_NEED)
        held.setdefault(job.compute_node_id or 0, []).append(need)
    counting = {
        one.id for one in every(store, Allocation, **where) if one.max_parallel_jobs is not None
    }
    found = []
    for node in every(store, ComputeNode, is_active=True, **where):
        left = offers.seconds_left(queue.get(node.slurm_job_id or 0))
        mine = held.get(node.id, ())
        counts = node.allocation_id in counting
        found.append(_worker(node, left, mine, counts_jobs=counts))
    return found


def _worker(
    node: ComputeNode,
    seconds: float | None,
    held: Sequence[ResourceRequirements],
    *,
    counts_jobs: bool,
) -> Worker:
    whole = Capacity(
        cpus=node.num_cpus,
        memory_bytes=node.memory_bytes,
        gpus=node.num_gpus,
        nodes=node.num_nodes,
        seconds=seconds,
        scheduler_id=node.scheduler_config_id,
    )
    return Worker(
        node=node,
        whole=whole,
        free=_free(whole, held),
        holds=len(held),
        counts_jobs=counts_jobs,
    )


def _free(whole: Capacity, held: Sequence[ResourceRequirements]) -> Capacity:
    """What jobs leave of a worker; of several nodes together, as it does not tell who is where."""
    nodes = whole.nodes

    def left(there: int, taken: Sequence[int]) -> int:
        return max(0, nodes * there - sum(taken))

    return replace(
        whole,
        cpus=left(whole.cpus, [one.num_nodes * one.num_cpus for one in held]),
        memory_bytes=left(whole.memory_bytes, [one.num_nodes * one.memory_bytes for one in held]),
        gpus=left(whole.gpus, [one.num_nodes * one.num_gpus for one in held]),
        nodes=left(1, [one.num_nodes for one in held]) if nodes > 1 else 1,
    )


def _planned(store: Store, workflow_id: int, offers: Offers) -> list[Planned]:
    where = {
        "action_type": ActionType.SCHEDULE_NODES,
        "trigger_type": _AHEAD_OF_JOBS,
        "executed": False,
    }
    actions = list(every(store, Action, workflow_id=workflow_id, **where))
    if not actions or store.outlook(workflow_id).is_complete:
        return []
    pending = {one.id for one in store.pending_actions(workflow_id)}
    links = store.links(workflow_id)
    found = []
    for action in actions:
        scheduler = offers.schedulers.get(action.action_config.get("scheduler_id") or 0)
        if scheduler is not None:
            found.append(
                Planned(
                    action_id=action.id,
                    trigger=action.trigger_type.value,
                    pending=action.id in pending,
                    scheduler=scheduler.name,
                    offer=offers.of(scheduler),
                    job_ids=frozenset(gate := links.gates.get(action.id, ())),
                    after=_after(action, gate, links),
                )
            )
    return found


def _after(action: Action, gate: Sequence[int], links: Links) -> frozenset[int]:
    """All jobs before it, finished ones too."""
    itself = gate if action.trigger_type is TriggerType.ON_JOBS_COMPLETE else ()
    return frozenset(itself).union(ahead(links.waits_for, gate))
