"""A new run of chosen jobs alone: all others keep what they came to.

Beside workflows.initialize, which begins everything that is not over: there a terminated job
runs again, here it runs only if it was chosen. What must never happen: a job that was not chosen
leaves the status it ended in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, case, func, or_, select, text, update

from slurmtorc.errors import Conflict
from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.store import events, rearming, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.among import among

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, RowMapping

_J = t.job.c
_OF_WORKFLOW = _J.workflow_id == bindparam("workflow")
_CHOSEN = and_(t.has_status(t.job, JobStatus.UNINITIALIZED), among(_J.id))

_HELD = select(func.count()).where(
    _OF_WORKFLOW, t.has_status(t.job, JobStatus.PENDING, JobStatus.RUNNING)
)
_RESET = (
    update(t.job)
    .where(_OF_WORKFLOW, among(_J.id), t.has_status(t.job, *sources(JobEvent.RESET)))
    .values(status=int(target(JobEvent.RESET)), result_id=None, ready_since=None)
)
_WAITS = _J.blockers > 0
_BEGIN = (
    update(t.job)
    .where(_OF_WORKFLOW, or_(_CHOSEN, t.has_status(t.job, JobStatus.BLOCKED, JobStatus.READY)))
    .values(
        status=case((_WAITS, int(target(JobEvent.BLOCK))), else_=int(target(JobEvent.FREE))),
        ready_since=case((_WAITS, None), else_=func.coalesce(_J.ready_since, bindparam("now"))),
    )
)


def rerun(connection: Connection, workflow_id: int, job_ids: Collection[int], now: float) -> int:
    """Begin a run of these jobs, and of what is blocked behind them; its id."""
    row = workflows.locked(connection, workflow_id)
    chosen = sorted(set(job_ids))
    values = {"workflow": workflow_id, "ids": chosen}
    _refuse(connection, row)
    if connection.execute(_RESET, values).rowcount < len(chosen):
        message = f"workflow {workflow_id} has not all of the jobs that were to run again"
        raise Conflict(f"{message}, or some have not been run yet")
    count_blockers(connection, workflow_id)
    connection.execute(_BEGIN, values | {"now": now})
    run_id: int = row["run_id"] + 1
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(change.values(run_id=run_id, is_canceled=False))
    rearming.rearm(connection, workflow_id)
    data = {"run_id": run_id, "job_ids": chosen}
    events.write(connection, workflow_id, now, [("workflow_rerun", data)])
    return run_id


def _refuse(connection: Connection, row: RowMapping) -> None:
    workflow_id = row["id"]
    if row["is_archived"]:
        raise Conflict(f"workflow {workflow_id} is archived; take it out of the archive first")
    if not row["run_id"]:
        raise Conflict(f"workflow {workflow_id} has not been run yet, so nothing can run again")
    held = connection.execute(_HELD, {"workflow": workflow_id}).scalar_one()
    if held:
        message = f"workflow {workflow_id} has {held} pending or running jobs"
        raise Conflict(f"{message}; wait for them, or cancel the workflow first")


def count_blockers(connection: Connection, workflow_id: int) -> None:
    """Count anew what waiting jobs wait for; whatever is over and not chosen stays over."""
    words = {
        "settled": _listed(COMPLETE),
        "failed": _listed(UNSUCCESSFUL),
        "fresh": _listed((JobStatus.UNINITIALIZED, JobStatus.BLOCKED, JobStatus.READY)),
    }
    for statement in (workflows.COUNT_BARRIERS, workflows.COUNT_BLOCKERS):
        connection.execute(text(statement.format(**words)), {"workflow": workflow_id})


def _listed(statuses: Iterable[JobStatus]) -> str:
    return ", ".join(str(int(status)) for status in sorted(statuses))
