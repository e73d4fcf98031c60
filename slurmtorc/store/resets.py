"""Somebody decides: failures that were set aside, and jobs that shall begin anew.

No worker holds any of these jobs, so nothing here can meet a report. What follows a decision
(dependents, triggers, events) follows in the same transaction, as after any other ending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, update

from slurmtorc.errors import Conflict
from slurmtorc.model import JobStatus
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.store import actions, events, jobs, present, rerunning, unblocking, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import TypeAlias

    from sqlalchemy import Connection, Row

    AnyRow: TypeAlias = Row[*tuple[Any, ...]]

_J = t.job.c
_OF_WORKFLOW = _J.workflow_id == bindparam("workflow")

# ── classify ─────────────────────────────────────────────────────────────────

_SET_ASIDE = update(t.job).where(
    _OF_WORKFLOW, among(_J.id), has_status(t.job, JobStatus.PENDING_FAILED)
)
_AGAIN = _SET_ASIDE.values(
    status=int(target(JobEvent.AGAIN)),
    attempt_id=_J.attempt_id + 1,
    origin="retry",
    result_id=None,
    ready_since=bindparam("now"),
).returning(_J.id, _J.name, (_J.attempt_id - 1).label("ended"))
_FAIL = _SET_ASIDE.values(status=int(target(JobEvent.FAIL))).returning(
    _J.id, _J.name, _J.attempt_id.label("ended"), _J.result_id
)
_RESULTS = update(t.result).where(among(t.result.c.id)).values(status=int(target(JobEvent.FAIL)))
"""What the last attempts came to is decided now, so they say it too."""


def classify(
    connection: Connection, workflow_id: int, job_ids: Collection[int], now: float, *, retry: bool
) -> list[int]:
    """Jobs that were set aside get their next attempt, or fail; the ids of those that were."""
    row = workflows.locked(connection, workflow_id)
    present.refuse_archived(row)
    if retry and row["is_canceled"]:
        message = f"workflow {workflow_id} was canceled, so nothing in it is tried again"
        raise Conflict(f"{message}; classify its jobs as fail, or reset them")
    values = {"workflow": workflow_id, "ids": sorted(set(job_ids))}
    statement = _AGAIN if retry else _FAIL
    found = connection.execute(statement, values | ({"now": now} if retry else {}))
    moved = sorted(found, key=lambda each: each.id)
    what = "job_retried" if retry else f"job_{target(JobEvent.FAIL).word}"
    events.write(connection, workflow_id, now, [(what, _told(each)) for each in moved])
    if moved and not retry:
        _settle(connection, workflow_id, moved, now)
    return [each.id for each in moved]


def _told(row: AnyRow) -> dict[str, Any]:
    return {
        "job_id": row.id,
        "job_name": row.name,
        "attempt_id": row.ended,
        "status": JobStatus.PENDING_FAILED.word,
        "reason": "classified",
    }


def _settle(connection: Connection, workflow_id: int, moved: Sequence[AnyRow], now: float) -> None:
    connection.execute(_RESULTS, {"ids": [each.result_id for each in moved if each.result_id]})
    unblocking.unblock(connection, workflow_id, [each.id for each in moved], now)
    jobs.tell_if_complete(connection, workflow_id, now)


# ── reset ────────────────────────────────────────────────────────────────────

_RESET = (
    update(t.job)
    .where(_OF_WORKFLOW, among(_J.id), has_status(t.job, *sources(JobEvent.RESET)))
    .values(status=int(target(JobEvent.RESET)), ready_since=None)
    .returning(_J.id)
)


def reset(
    connection: Connection,
    workflow_id: int,
    job_ids: Collection[int],
    now: float,
    *,
    force: bool = False,
) -> list[int]:
    """These jobs, and no others, begin anew with the next run; the ids of those that were not.

    The number of the attempt stays. What waits for them waits again. With `force` also while
    workers live, which cannot take these jobs; but never a job that one of them holds.
    """
    row = workflows.locked(connection, workflow_id)
    present.refuse_archived(row)
    present.refuse_running(connection, job_ids)
    if not force:
        advice = ", or reset beside them with --force"
        present.refuse_workers(connection, workflow_id, now, advice=advice)
    values = {"workflow": workflow_id, "ids": sorted(set(job_ids))}
    found = sorted(connection.execute(_RESET, values).scalars())
    if found:
        events.write(connection, workflow_id, now, [("jobs_reset", {"job_ids": found})])
    if found and row["run_id"]:
        rerunning.wait_again(connection, workflow_id, now)
        actions.recount(connection, workflow_id)
    return found
