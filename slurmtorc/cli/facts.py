"""Gathers what `torc explain` reasons from: jobs, attempts and chains, as the store has them.

Nothing is changed, and nothing is decided here: the reasoning is in rules/. What could run jobs
is gathered in scene.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.cli.reading import every
from slurmtorc.cli.scene import scene_of
from slurmtorc.errors import NotFound
from slurmtorc.model import (
    COMPLETE,
    OPEN,
    UNSUCCESSFUL,
    Action,
    Allocation,
    AllocationStatus,
    Decision,
    FailureHandler,
    Job,
    JobStatus,
    ResourceRequirements,
    Result,
    Workflow,
)
from slurmtorc.ports import NEWEST, Page
from slurmtorc.rules import explaining, finishing, firing
from slurmtorc.rules.chains import ahead, behind, longest
from slurmtorc.rules.reasons import Named

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from slurmtorc.cli.scene import Hands
    from slurmtorc.ports import Store

EXAMPLES = 5
FAILURES = 5
DECISIONS = 5
ATTEMPTS = 200
CHUNK = 5_000
DEAD = frozenset({JobStatus.DISABLED, JobStatus.PENDING_FAILED, JobStatus.UNINITIALIZED})
_NO_NEED = ResourceRequirements(name="")


# ── one job ──────────────────────────────────────────────────────────────────


def find_job(store: Store, workflow_id: int, job: str) -> Job:
    """A job of a workflow by its name, or else by its id."""
    store.progress(workflow_id)  # an unknown workflow is told as such
    ways: list[dict[str, str | int]] = [{"name": job}]
    if job.isdecimal():
        ways.append({"id": int(job)})
    for way in ways:
        found = store.rows(Job, Page(limit=1), workflow_id=workflow_id, **way).items
        if found:
            return found[0]
    raise NotFound(f"workflow {workflow_id} has no job {job!r}; 'torc jobs list {workflow_id}'")


def of_job(hands: Hands, job: Job) -> explaining.Facts:
    """All that is known of one job."""
    store = hands.store
    workflow = store.get(Workflow, job.workflow_id)
    scene = scene_of(hands, workflow)
    attempts = store.rows(Result, Page(limit=ATTEMPTS, reverse_sort=True), job_id=job.id).items
    need_id, handler_id = job.resource_requirements_id, job.failure_handler_id
    waiting = job.status in {JobStatus.BLOCKED, JobStatus.CANCELED}
    return explaining.Facts(
        workflow=workflow,
        job=job,
        need=store.get(ResourceRequirements, need_id) if need_id else _NO_NEED,
        scene=scene,
        waits_for=named(store, store.dependencies([job.id])[job.id]) if waiting else (),
        chain=_chain(store, job) if waiting else (),
        holder=next((w for w in scene.workers if w.node.id == job.compute_node_id), None),
        attempts=attempts[::-1],
        handler=store.get(FailureHandler, handler_id) if handler_id else None,
    )


def named(store: Store, job_ids: Sequence[int]) -> list[Named]:
    """Jobs by their names."""
    found = []
    for start in range(0, len(job_ids), CHUNK):
        chunk = list(job_ids[start : start + CHUNK])
        found += [Named(one.id, one.name, one.status) for one in every(store, Job, id=chunk)]
    return found


def _chain(store: Store, job: Job) -> list[Named]:
    """The longest chain to a job: of unfinished ones, or of those that ended badly.

    If somewhere before a blocked job stands one that nobody will run, the chain begins there.
    """
    waits_for = store.links(job.workflow_id).waits_for
    wanted = OPEN if job.status is JobStatus.BLOCKED else UNSUCCESSFUL
    wanted |= {JobStatus.DISABLED} if job.status is JobStatus.BLOCKED else frozenset()
    before = {
        one.id: one
        for one in named(store, sorted(ahead(waits_for, [job.id])))
        if one.status in wanted
    }
    dead = next((one.id for one in before.values() if one.status in DEAD), None)
    among: Collection[int] = before
    if dead is not None:
        among = {dead, *behind(waits_for, {dead}).intersection(before)}
    return [before[one] for one in longest(waits_for, among)]


# ── a whole workflow ─────────────────────────────────────────────────────────


def of_workflow(hands: Hands, workflow: Workflow) -> finishing.Facts:
    """All that is known of a workflow."""
    store = hands.store
    progress = store.progress(workflow.id)
    unfinished = [status for status in JobStatus if status not in COMPLETE]
    left = every(store, Job, workflow_id=workflow.id, status=unfinished)
    newest = Page(limit=DECISIONS, reverse_sort=True)
    over = {"workflow_id": workflow.id, "status": AllocationStatus.COMPLETE}
    return finishing.Facts(
        workflow=workflow,
        progress=progress,
        scene=scene_of(hands, workflow),
        ready=_groups(store, workflow.id),
        unfinished={job.id: Named(job.id, job.name, job.status) for job in left},
        links=store.links(workflow.id),
        gone=list(every(store, Allocation, **over)),
        actions=_actions(store, workflow.id),
        failures=_failures(store, workflow.id),
        watch=store.watch_state(workflow.id),
        decisions=store.rows(Decision, newest, workflow_id=workflow.id).items,
    )


def _actions(store: Store, workflow_id: int) -> list[tuple[Action, firing.Stage]]:
    """What went wrong with actions, and commands that are due and that nobody is there to run."""
    from slurmtorc.cli.actions import facts_of

    found = facts_of(store, workflow_id, list(every(store, Action, workflow_id=workflow_id)))
    return [
        (each.action, now)
        for each in found
        if (now := firing.stage(each)).status in {firing.FAILED, firing.LOST}
        or (now.status == firing.PENDING and firing.is_left_alone(each))
    ]


def _groups(store: Store, workflow_id: int) -> list[finishing.Group]:
    """The ready jobs by what they ask for."""
    page, found = Page(limit=EXAMPLES), []
    for need in every(store, ResourceRequirements, workflow_id=workflow_id):
        where = {"status": JobStatus.READY, "resource_requirements_id": need.id}
        jobs = store.rows(Job, page, workflow_id=workflow_id, **where)
        if jobs.items:
            names, some = zip(*((job.name, job.id) for job in jobs.items), strict=True)
            count = jobs.total_count
            found.append(finishing.Group(need=need, count=count, names=names, some=some))
    return found


def _failures(store: Store, workflow_id: int) -> list[Result]:
    status = [JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED]
    jobs = store.rows(Job, Page(limit=FAILURES), workflow_id=workflow_id, status=status).items
    return [result for job in jobs for result in store.rows(Result, NEWEST, job_id=job.id).items]
