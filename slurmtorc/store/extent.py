"""How far a workflow's jobs reach, and which status most of them have: a few look-ups each.

So pages and progress of a million jobs need not count a million. What must never happen here: a
statement that reads more rows the more jobs there are.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, select, union_all

from slurmtorc.model import JobStatus
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.prepared import Prepared
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from sqlalchemy import Connection

_J = t.job.c
_MINE = _J.workflow_id == bindparam("workflow")
_LOOKS = 100

JOB_COUNT = (
    select(t.workflow.c.job_count)
    .where(t.workflow.c.id == bindparam("workflow"))
    .scalar_subquery()
    .label("jobs")
)


class Extent(NamedTuple):
    """Of the jobs of a workflow the first id, the last one, and the number."""

    low: int
    high: int
    jobs: int


def extent(connection: Connection, workflow_id: int) -> Extent | None:
    """None for a workflow without jobs, or one that is not there."""
    ((low, high, jobs),) = _extent()(connection, {"workflow": workflow_id})
    return Extent(low, high, jobs) if jobs and low is not None else None


@cache  # not when the module is imported: few commands ask
def _extent() -> Prepared:
    """For each status two look-ups: its index has them by id.

    Prepared, for Postgres takes longer to plan them than to look them up.
    """
    of_each = (
        select(
            _of(status, func.min(_J.id)).label("low"), _of(status, func.max(_J.id)).label("high")
        )
        for status in JobStatus
    )
    found = union_all(*of_each).subquery().c
    low, high = func.min(found.low).label("low"), func.max(found.high).label("high")
    return Prepared(select(low, high, JOB_COUNT))


def _of(status: JobStatus, what: Any) -> Any:
    return select(what).where(_MINE, has_status(t.job, status)).scalar_subquery()


_STATUSES = Prepared(
    select(_J.status).where(
        among(_J.id),
        _J.workflow_id + 0 == bindparam("workflow"),  # a sum keeps the index by status out
    )
)


def most_common_status(connection: Connection, workflow_id: int) -> JobStatus:
    """The status that most jobs seem to have: of a hundred of them, from first to last."""
    reach = extent(connection, workflow_id)
    if reach is None:
        return JobStatus.UNINITIALIZED
    width = reach.high - reach.low
    ids = sorted({reach.low + width * i // _LOOKS for i in range(_LOOKS + 1)})
    seen = _STATUSES(connection, {"ids": ids, "workflow": workflow_id})
    return JobStatus(Counter(row.status for row in seen).most_common(1)[0][0])
