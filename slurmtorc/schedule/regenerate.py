"""Allocations for what is left of a workflow: planned from the store, recorded, then asked for.

Three steps, so that each is safe: `plan_again` only reads, and its value is what a dry run
prints; `record` writes all of it in one transaction of the caller's; `ask` goes to Slurm with
intents that are committed. What must never happen: nodes asked for twice, by an action that is
armed as well, or by a plan that others have overtaken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import (
    COMPLETE,
    Action,
    ActionType,
    Allocation,
    AllocationStatus,
    ComputeNode,
    Job,
    JobStatus,
    ResourceRequirements,
    SlurmScheduler,
    TriggerType,
    Workflow,
)
from slurmtorc.ports import EVERYTHING
from slurmtorc.rules.demand import Demand, demand
from slurmtorc.rules.remaining import Remaining
from slurmtorc.rules.requesting import Options
from slurmtorc.rules.wording import no_jobs
from slurmtorc.schedule.submit import Outcome, intents

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import TypeAlias

    from slurmtorc.model import Site
    from slurmtorc.ports import Slurm, Store
    from slurmtorc.rules.requesting import Request
    from slurmtorc.schedule.submit import Submitter

    Asked: TypeAlias = list[tuple[SlurmScheduler, Allocation]]

__all__ = ["Options", "Regeneration", "ask", "in_queue", "last_workers", "plan_again", "record"]

LEFT = (JobStatus.UNINITIALIZED, JobStatus.BLOCKED, JobStatus.READY)
_BATCH = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Regeneration:
    """What is to be asked for, and for whom."""

    workflow: Workflow
    output_dir: str
    jobs: tuple[int, ...]
    """All that were planned for."""
    demand: Demand

    @property
    def now(self) -> int:
        """Allocations that are asked for at once."""
        return sum(one.allocations for one in self.demand.requests if not one.is_deferred)

    @property
    def later(self) -> int:
        """Allocations that actions will ask for."""
        return sum(one.allocations for one in self.demand.requests if one.is_deferred)


# ── the plan ─────────────────────────────────────────────────────────────────


def plan_again(
    store: Store,
    site: Site,
    workflow_id: int,
    options: Options,
    *,
    output_dir: str,
    job_ids: Collection[int] | None = None,
    queued: Sequence[Allocation] = (),
) -> Regeneration:
    """Plan for all jobs that are left, or for those named, whatever has become of them."""
    left = remaining(store, workflow_id, job_ids=job_ids, queued=queued)
    return planned(left, site, options, output_dir=output_dir)


def planned(left: Remaining, site: Site, options: Options, *, output_dir: str) -> Regeneration:
    """Plan for what is known to be left."""
    return Regeneration(
        workflow=left.workflow,
        output_dir=output_dir,
        jobs=tuple(job.id for job in left.jobs),
        demand=demand(left, site, options),
    )


def remaining(
    store: Store,
    workflow_id: int,
    *,
    job_ids: Collection[int] | None = None,
    queued: Sequence[Allocation] = (),
) -> Remaining:
    """What is left of a workflow, or the jobs named as if they were to run."""
    workflow = store.get(Workflow, workflow_id)
    _refuse_closed(workflow)
    unfinished = [status for status in JobStatus if status not in COMPLETE]
    around = store.rows(Job, EVERYTHING, workflow_id=workflow_id, status=unfinished).items
    waiting = [job for job in around if job.status in LEFT]
    jobs = waiting if job_ids is None else _named(store, workflow_id, job_ids)
    return Remaining(
        workflow=workflow,
        jobs=jobs,
        unfinished=frozenset(job.id for job in (*around, *jobs)),
        needs=_needs(store, workflow_id, jobs),
        links=store.links(workflow_id),
        schedulers=store.rows(SlurmScheduler, EVERYTHING, workflow_id=workflow_id).items,
        actions=store.rows(Action, EVERYTHING, workflow_id=workflow_id).items,
        workers=last_workers(store, workflow_id),
        queued=queued,
        whole={job.id for job in jobs}.issuperset(job.id for job in waiting),
    )


def _refuse_closed(workflow: Workflow) -> None:
    for is_so, why in ((workflow.is_archived, "archived"), (workflow.is_canceled, "canceled")):
        if is_so:
            raise Conflict(f"workflow {workflow.id} is {why}; no nodes are asked for")


def _named(store: Store, workflow_id: int, job_ids: Collection[int]) -> list[Job]:
    wanted = sorted(set(job_ids))
    found = [
        job
        for part in batched(wanted)
        for job in store.rows(Job, EVERYTHING, workflow_id=workflow_id, id=part).items
    ]
    unknown = set(wanted).difference(job.id for job in found)
    if unknown:
        raise NotFound(no_jobs(workflow_id, unknown))
    return found


def batched(ids: Sequence[int]) -> list[Sequence[int]]:
    """Ids in parts that a database takes as parameters of one statement."""
    return [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]


def _needs(store: Store, workflow_id: int, jobs: Sequence[Job]) -> dict[int, ResourceRequirements]:
    known = store.rows(ResourceRequirements, EVERYTHING, workflow_id=workflow_id).items
    kinds = {need.id: need for need in known}
    return {job.id: kinds[job.resource_requirements_id or 0] for job in jobs}


def last_workers(store: Store, workflow_id: int) -> dict[int, ComputeNode]:
    """Scheduler id -> the last worker that an allocation of it had."""
    nodes = store.rows(ComputeNode, EVERYTHING, workflow_id=workflow_id).items
    return {node.scheduler_config_id: node for node in nodes if node.scheduler_config_id}


def in_queue(store: Store, slurm: Slurm, workflow_id: int) -> list[Allocation]:
    """The allocations that wait in Slurm's queue now, by what the queue says; and intents."""
    waiting = (AllocationStatus.INTENDED, AllocationStatus.PENDING)
    recorded = store.rows(Allocation, EVERYTHING, workflow_id=workflow_id, status=waiting).items
    ids = [one.scheduler_id for one in recorded if one.scheduler_id is not None]
    seen = slurm.look(ids) if ids else {}
    gone = {slurm_id for slurm_id in ids if slurm_id not in seen or not seen[slurm_id].state.alive}
    return [one for one in recorded if one.scheduler_id not in gone]


# ── what is recorded ─────────────────────────────────────────────────────────


def record(store: Store, regeneration: Regeneration, *, intend: bool = True) -> Asked:
    """Record schedulers, bindings, actions and intents; what is to be asked of Slurm now.

    To be called inside store.together(durable=True). Without `intend` nothing is asked for, now
    or later: schedulers are made, and jobs are bound to them. Raises Conflict if an action that
    this plan supersedes has fired meanwhile.
    """
    wanted, asked = regeneration.demand, list[tuple[SlurmScheduler, Allocation]]()
    for action_id in wanted.superseded if intend else ():
        if not store.supersede_action(action_id):
            raise Conflict(f"action {action_id} has asked for nodes meanwhile; plan again")
    for request in wanted.requests:
        scheduler = _recorded(store, regeneration.workflow, request)
        action = _action(regeneration.workflow, scheduler, request)
        if request.is_deferred and intend:
            store.add_action(action, request.jobs)
        elif intend:
            new = intents(regeneration.workflow, action, scheduler, regeneration.output_dir)
            asked += [(scheduler, one) for one in store.intend(new)]
    return asked


def _recorded(store: Store, workflow: Workflow, request: Request) -> SlurmScheduler:
    """The request's scheduler with an id, and its jobs bound to it."""
    scheduler = request.scheduler
    if not scheduler.id:
        (scheduler,) = store.add_schedulers(workflow.id, [scheduler])
    if request.bind:
        store.bind(workflow.id, request.bind, scheduler_id=scheduler.id)
    return scheduler


def _action(workflow: Workflow, scheduler: SlurmScheduler, request: Request) -> Action:
    """What asks for the request's allocations: now, or when its jobs are ready."""
    config = {
        "scheduler_type": "slurm",
        "scheduler_id": scheduler.id,
        "num_allocations": request.allocations,
        "start_one_worker_per_node": scheduler.nodes > 1,
    }
    if request.at_once is not None:
        config["max_parallel_jobs"] = request.at_once
    return Action(
        workflow_id=workflow.id,
        trigger_type=TriggerType.ON_JOBS_READY,
        action_type=ActionType.SCHEDULE_NODES,
        action_config=config,
        is_recovery=True,
    )


# ── Slurm ────────────────────────────────────────────────────────────────────


def ask(submitter: Submitter, workflow: Workflow, asked: Asked) -> Outcome:
    """Ask Slurm for what was recorded; the transaction is over."""
    outcome = Outcome()
    for scheduler, intent in asked:
        outcome.add(submitter.submit(workflow, scheduler, intent))
    return outcome
