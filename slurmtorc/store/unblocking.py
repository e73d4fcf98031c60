"""What becomes of the jobs that waited: freed, or canceled, in the completing transaction.

rules/unblocking.py says it for one job: it is settled when everything it waited for is complete.
Then it is ready, unless something it waited for ended without success and it cancels on that.
Canceling completes it too, so its own dependents follow: rounds, until nobody is left. Each
round is a handful of set-based statements whatever the number of jobs; tests hold them against
the plain rule.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, or_, select, update

from slurmtorc.model import UNSUCCESSFUL, JobStatus, TriggerType
from slurmtorc.rules.status import JobEvent, target
from slurmtorc.store import actions, events
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.prepared import Prepared
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table

_J, _D = t.job.c, t.job_depends_on.c
_IN, _OUT = t.barrier_in.c, t.barrier_out.c
_ACTION_OF_WORKFLOW = t.workflow_action.c.workflow_id == bindparam("workflow")


READY, CANCELED = "jobs_ready", "jobs_canceled"


def unblock(connection: Connection, workflow_id: int, job_ids: Sequence[int], now: float) -> None:
    """Jobs are complete: settle what waited for them, and tell of it."""
    events.write(connection, workflow_id, now, settle(connection, workflow_id, job_ids, now))


def settle(
    connection: Connection, workflow_id: int, job_ids: Sequence[int], now: float
) -> list[tuple[str, dict[str, Any]]]:
    """Settle what waited for complete jobs, and for those, and so on; what is to be told of it."""
    happened = []
    complete = list(job_ids)
    shape = _shape(connection, workflow_id) if complete else None
    while complete and shape:
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
        moved = {READY: free, CANCELED: doomed}
        happened += [(what, {"job_ids": ids}) for what, ids in moved.items() if ids]
        complete = doomed
    return happened


class _Shape(NamedTuple):
    """What a workflow has, so that statements about what it has not can be left out."""

    gates: bool
    barriers: bool


_GATES = exists().where(t.action_job.c.action_id == t.workflow_action.c.id, _ACTION_OF_WORKFLOW)
_BARRIERS = exists().where(t.barrier.c.workflow_id == bindparam("workflow"))
_SHAPE = Prepared(select(_GATES.label("gates"), _BARRIERS.label("barriers")))


def _shape(connection: Connection, workflow_id: int) -> _Shape:
    return _Shape(*_SHAPE(connection, {"workflow": workflow_id})[0])


_CANCEL = Prepared(
    update(t.job).where(among(_J.id)).values(status=int(target(JobEvent.CASCADE)), blockers=0)
)
_FREE = Prepared(
    update(t.job)
    .where(among(_J.id))
    .values(status=int(target(JobEvent.UNBLOCK)), ready_since=bindparam("now"), blockers=0)
)


# ── the counters ─────────────────────────────────────────────────────────────


class _Lower:
    """Lower a counter by the number of rows that lead to it; tell which ones come to zero.

    Those keep theirs until the caller writes what becomes of them: so each row is written once.
    """

    def __init__(self, counted: Table, behind: Column[int], ahead: Column[int]) -> None:
        hit = select(behind.label("id"), func.count().label("n")).where(among(ahead))
        hits = hit.group_by(behind).subquery("hit")
        condition = [counted.c.id == hits.c.id]
        if counted is t.job:
            condition.append(has_status(t.job, JobStatus.BLOCKED))
        self.hit = Prepared(
            select(counted.c.id, counted.c.blockers, hits.c.n)
            .where(*condition)
            .order_by(counted.c.id)  # in one order: nobody waits in a circle
            .with_for_update(of=counted)
        )
        less = counted.c.blockers - bindparam("n")
        self.lower = Prepared(update(counted).where(among(counted.c.id)).values(blockers=less))

    def __call__(self, connection: Connection, ids: Sequence[int]) -> list[int]:
        """The ids whose counter comes to zero."""
        done, left = [], defaultdict(list)
        for row_id, blockers, n in self.hit(connection, {"ids": ids}):
            if blockers == n:
                done.append(row_id)
            else:
                left[n].append(row_id)
        for n, some in left.items():
            self.lower(connection, {"ids": some, "n": n})
        return done


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
        blockers=0,
        failed=exists().where(
            and_(
                _IN.barrier_id == t.barrier.c.id,
                _IN.job_id == _J.id,
                has_status(t.job, *UNSUCCESSFUL),
            )
        ),
    )
)


def _directly() -> ColumnElement[bool]:
    other = t.job.alias("other")
    waits = and_(_D.job_id == _J.id, _D.depends_on_job_id == other.c.id)
    return exists().where(and_(waits, has_status(other, *UNSUCCESSFUL)))


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


_FAILED = exists().where(_J.workflow_id == bindparam("workflow"), has_status(t.job, *UNSUCCESSFUL))
_ANY_FAILED = Prepared(select(_FAILED.label("any")))


def _doomed(connection: Connection, settled: Sequence[int], workflow_id: int) -> list[int]:
    """Those of the settled jobs that cancel because something they waited for failed.

    Asked only now, when their counters have been lowered: on Postgres another transaction that
    lowered them before us is committed by then, and its failures are seen.
    """
    if not _ANY_FAILED(connection, {"workflow": workflow_id})[0].any:
        return []
    return [row.id for row in _DOOMED(connection, {"ids": settled})]
