"""Workers that are there, and what may be done beside them.

A worker knows the run it came for, so none may live on into the next one: it would tell of the
new run's jobs as of the old one's. What must never happen: a worker that holds a job is sent
away, as its job would run on beside the next attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select

from slurmtorc.errors import Conflict
from slurmtorc.model import AllocationStatus, JobStatus
from slurmtorc.rules.wording import archived, counted, listed
from slurmtorc.store import allocations
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, RowMapping

_J, _N = t.job.c, t.compute_node.c
_HELD_BY = (
    select(_N.hostname, _N.pid, func.count().label("jobs"))
    .select_from(t.job.outerjoin(t.compute_node, _N.id == _J.compute_node_id))
    .where(
        _J.workflow_id == bindparam("workflow"),
        has_status(t.job, JobStatus.PENDING, JobStatus.RUNNING),
    )
    .group_by(_N.hostname, _N.pid)
    .order_by(_N.hostname, _N.pid)
)
_HELD_AMONG = (
    select(_J.id, _J.name, _J.status)
    .where(among(_J.id), has_status(t.job, JobStatus.PENDING, JobStatus.RUNNING))
    .order_by(_J.id)
)
_ACTIVE = (
    select(_N.id, _N.hostname, _N.pid, _N.lease_until)
    .where(_N.workflow_id == bindparam("workflow"), _N.is_active.is_(True))
    .order_by(_N.id)
)

_ACTING = select(t.action_run.c.hostname, t.action_run.c.action_id).where(
    among(t.action_run.c.compute_node_id), t.action_run.c.end_time.is_(None)
)


def refuse_archived(row: RowMapping) -> None:
    """Raise Conflict for a workflow in the archive."""
    if row["is_archived"]:
        raise Conflict(archived(row["id"]))


def refuse_held(connection: Connection, workflow_id: int) -> None:
    """Raise Conflict while jobs are pending or running, and say where."""
    found = connection.execute(_HELD_BY, {"workflow": workflow_id}).all()
    if found:
        held = sum(row.jobs for row in found)
        where = listed([f"{row.hostname} (pid {row.pid})" for row in found if row.hostname])
        message = f"workflow {workflow_id} has {counted(held, 'pending or running job')}"
        message += f" on {where}" if where else ""
        raise Conflict(
            f"{message}; wait for them, or cancel the workflow first; "
            f"if these workers are dead: torc workflows sync-status {workflow_id}"
        )


def refuse_running(connection: Connection, job_ids: Collection[int]) -> None:
    """Raise Conflict if a worker holds one of these jobs."""
    found = connection.execute(_HELD_AMONG, {"ids": sorted(job_ids)}).all()
    if found:
        first = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        word = JobStatus(first.status).word
        message = f"job {first.id} ({first.name}) is {word}{more}; nothing was changed"
        raise Conflict(f"{message}; wait for it to end, or cancel the workflow first")


def settle_idle(connection: Connection, workflow_id: int, now: float, *, force: bool) -> None:
    """No worker lives on into what follows. Those that hold nothing are sent away by `force`.

    One whose lease is over is sent away in any case: it may only have been asleep.
    """
    found = connection.execute(_ACTIVE, {"workflow": workflow_id}).all()
    if not force:
        advice = f", or send them away with: torc workflows reinit {workflow_id} --force"
        _refuse_alive(found, workflow_id, now, advice)
    alive = [row.id for row in found if row.lease_until > now]
    busy = connection.execute(_ACTING, {"ids": alive}).first() if alive else None
    if busy is not None:
        message = f"a worker on {busy.hostname} still executes action {busy.action_id}"
        raise Conflict(f"{message} of workflow {workflow_id}; wait for it to end")
    for row in found:
        allocations.retire(connection, row.id, now)


def refuse_workers(
    connection: Connection, workflow_id: int, now: float, *, advice: str = ""
) -> None:
    """Raise Conflict while a worker lives, whether it holds a job or not."""
    refuse_held(connection, workflow_id)
    found = connection.execute(_ACTIVE, {"workflow": workflow_id}).all()
    _refuse_alive(found, workflow_id, now, advice)


def refuse_allocations(connection: Connection, workflow_id: int) -> None:
    """Raise Conflict while any allocation may be in Slurm."""
    live = t.allocation.c.status != AllocationStatus.COMPLETE
    mine = select(func.count()).where(t.allocation.c.workflow_id == workflow_id, live)
    if count := connection.execute(mine).scalar_one():
        message = f"workflow {workflow_id} has {counted(count, 'allocation')} in Slurm"
        raise Conflict(f"{message}; cancel it first: torc cancel {workflow_id}")


def _refuse_alive(found: Sequence[Any], workflow_id: int, now: float, advice: str) -> None:
    """Raise Conflict if the lease of any of these workers lasts."""
    where = [f"{row.hostname} (pid {row.pid})" for row in found if row.lease_until > now]
    if where:
        message = f"workflow {workflow_id} has active workers on {listed(where)}"
        raise Conflict(f"{message}; wait for them to end{advice}")
