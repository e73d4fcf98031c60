"""What becomes of the jobs that waited: freed, or canceled, in the completing transaction.

rules/unblocking.py says it for one job: it is settled when everything it waited for is complete.
Then it is ready, unless something it waited for ended without success and it cancels on that.
Canceling completes it too, so its own dependents follow: rounds, until nobody is left. Each
round is a handful of set-based statements whatever the number of jobs; tests hold them against
the plain rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, or_, select, update

from slurmtorc.model import UNSUCCESSFUL, JobStatus, TriggerType
from slurmtorc.rules.status import JobEvent, target
from slurmtorc.store import actions, events
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.dialect import locks_rows
from slurmtorc.store.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table

_J, _D = t.job.c, t.job_depends_on.c
_IN, _OUT = t.barrier_in.c, t.barrier_out.c
_ACTION_OF_WORKFLOW = t.workflow_action.c.workflow_id == bindparam("workflow")


def unblock(connection: Connection, workflow_id: int, job_ids: Sequence[int], now: float) -> None:
    """Jobs are complete: settle what waited for them, and for those, and so on."""
    shape = _shape(connection, workflow_id)
    complete = list(job_ids)
    while complete:
        if shape.gates:
            actions.count(connection, TriggerType.ON_JOBS_COMPLETE, complete)
        settled = _lowered(connection, complete, shape)
        doomed = _doomed(connection, settled, workflow_id) if settled else []
        free = sorted(set(settled).difference(doomed))
        if free:
            _FREE(connection, {"ids": free, "now": now})
        if doomed:
            _CANCEL(connection, {"ids": doomed})
        if shape.gates:
            actions.count(connection, TriggerType.ON_JOBS_READY, settled)
        moved = {"jobs_ready": free, "jobs_canceled": doomed}
        happened = [(what, {"job_ids": ids}) for what, ids in moved.items() if ids]
        events.write(connection, workflow_id, now, happened)
        complete = doomed


class _Shape(NamedTuple):
    """What a workflow has, so that statements about what it has not can be left out."""

    gates: bool
    barriers: bool


_GATES = exists().where(t.action_job.c.action_id == t.workflow_action.c.id, _ACTION_OF_WORKFLOW)
_BARRIERS = exists().where(t.barrier.c.workflow_id == bindparam("workflow"))
_SHAPE = Prepared(select(_GATES.label("gates"), _BARRIERS.label("barriers")))


def _shape(connection: Connection, workflow_id: int) -> _Shape:
    return _Shape(*_SHAPE(connection, {"workflow": workflow_id})[0])


_CANCEL = Prepared(update(t.job).where(among(_J.id)).values(status=int(target(JobEvent.CASCADE))))
_FREE = Prepared(
    update(t.job)
    .where(among(_J.id))
    .values(status=int(target(JobEvent.UNBLOCK)), ready_since=bindparam("now"))
)


# ── the counters ─────────────────────────────────────────────────────────────


class _Lower:
    """Lower a counter by the number of rows that lead to it; tell which ones are at zero."""

    def __init__(self, counted: Table, behind: Column[int], ahead: Column[int]) -> None:
        hit = select(behind.label("id"), func.count().label("n")).where(among(ahead))
        hits = hit.group_by(behind).subquery("hit")
        condition = [counted.c.id == hits.c.id]
        if counted is t.job:
            condition.append(t.has_status(t.job, JobStatus.BLOCKED))
        self.statement = Prepared(
            update(counted)
            .values(blockers=counted.c.blockers - hits.c.n)
            .where(*condition)
            .returning(counted.c.id, counted.c.blockers)
        )
        touched = select(behind).where(among(ahead))
        self.lock = Prepared(
            select(counted.c.id)
            .where(counted.c.id.in_(touched))
            .order_by(counted.c.id)
            .with_for_update()
        )

    def __call__(self, connection: Connection, ids: Sequence[int]) -> list[int]:
        """The ids whose counter came to zero."""
        if locks_rows(connection):
            self.lock(connection, {"ids": ids})  # in one order: nobody waits in a circle
        found = self.statement(connection, {"ids": ids})
        return [row_id for row_id, blockers in found if blockers == 0]


_lower_jobs = _Lower(t.job, _D.job_id, _D.depends_on_job_id)
_lower_barriers = _Lower(t.barrier, _IN.barrier_id, _IN.job_id)
_lower_behind_barriers = _Lower(t.job, _OUT.job_id, _OUT.barrier_id)


def _lowered(connection: Connection, complete: Sequence[int], shape: _Shape) -> list[int]:
    """Lower the counters of everything behind `complete`; the jobs that wait for nothing now."""
    settled = _lower_jobs(connection, complete)
    opened = _lower_barriers(connection, complete) if shape.barriers else []
    if opened:
        _MARK_FAILED(connection, {"ids": opened})
        settled += _lower_behind_barriers(connection, opened)
    return settled


# ── success or not ───────────────────────────────────────────────────────────

_MARK_FAILED = Prepared(
    update(t.barrier)
    .where(among(t.barrier.c.id))
    .values(
        failed=exists().where(
            and_(
                _IN.barrier_id == t.barrier.c.id,
                _IN.job_id == _J.id,
                t.has_status(t.job, *UNSUCCESSFUL),
            )
        )
    )
)


def _directly() -> ColumnElement[bool]:
    other = t.job.alias("other")
    waits = and_(_D.job_id == _J.id, _D.depends_on_job_id == other.c.id)
    return exists().where(and_(waits, t.has_status(other, *UNSUCCESSFUL)))


def _through_a_barrier() -> ColumnElement[bool]:
    waits = and_(_OUT.job_id == _J.id, _OUT.barrier_id == t.barrier.c.id)
    return exists().where(and_(waits, t.barrier.c.failed))


_DOOMED = Prepared(
    select(_J.id)
    .where(
        among(_J.id),
        _J.cancel_on_blocking_job_failure,
        or_(_directly(), _through_a_barrier()),
    )
    .order_by(_J.id)
)


_FAILED = exists().where(
    _J.workflow_id == bindparam("workflow"), t.has_status(t.job, *UNSUCCESSFUL)
)
_ANY_FAILED = Prepared(select(_FAILED.label("any")))


def _doomed(connection: Connection, settled: Sequence[int], workflow_id: int) -> list[int]:
    """Those of the settled jobs that cancel because something they waited for failed.

    Asked only now, when their counters have been lowered: on Postgres another transaction that
    lowered them before us is committed by then, and its failures are seen.
    """
    if not _ANY_FAILED(connection, {"workflow": workflow_id})[0].any:
        return []
    return [row.id for row in _DOOMED(connection, {"ids": settled})]
