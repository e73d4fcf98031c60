"""What can safely be recomputed when no worker is active: counters, holders, results, ids.

Beside soundness.py, which only looks. In an order that matters: jobs that nobody runs come back
first, then counters are counted, and whoever waits for nothing any more is freed or canceled, as
the completing transaction would have done. What must never happen here: anything a user wrote, or
an attempt came to, is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text

from slurmtorc.errors import Conflict
from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus
from slurmtorc.rules.status import JobEvent, target
from slurmtorc.store import actions, events, jobs, soundness, unblocking, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.statuses import written

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from slurmtorc.ports import Violation

_HELD = written({JobStatus.PENDING, JobStatus.RUNNING})


def refuse_active_workers(connection: Connection, now: float, what: str) -> None:
    """Raise Conflict while any worker's lease lasts."""
    node = t.compute_node.c
    alive = select(node.hostname).where(node.is_active, node.lease_until > now).distinct()
    hosts = sorted(connection.execute(alive).scalars())
    if hosts:
        message = f"workers are active on {', '.join(hosts[:5])}"
        raise Conflict(f"{message}; {what} once they have ended")


def repair(connection: Connection, now: float) -> list[Violation]:
    """Mend what can be; everything that was found before."""
    refuse_active_workers(connection, now, "repair the store")
    found = soundness.violations(connection)
    wrong = [one for one in found if one.can_repair]
    if wrong:
        _ids(connection)
        _holders(connection, now)
        _results(connection)
    for workflow_id in sorted({one.workflow_id for one in wrong if one.workflow_id is not None}):
        _counters(connection, workflow_id, now)
    return found


# ── one after the other ──────────────────────────────────────────────────────

_NEXT_ID = (
    "INSERT INTO id_block (kind, next_id) SELECT '{table}', max(id) + 1 FROM {table} "
    "WHERE true HAVING max(id) IS NOT NULL ON CONFLICT (kind) DO UPDATE "
    "SET next_id = excluded.next_id WHERE excluded.next_id > id_block.next_id"
)


def _ids(connection: Connection) -> None:
    for table in soundness.NUMBERED:
        connection.execute(text(_NEXT_ID.format(table=table)))


_GONE = f"""
SELECT n.id AS node, job.id AS job FROM job JOIN compute_node n ON n.id = job.compute_node_id
WHERE job.status IN ({_HELD}) AND NOT n.is_active ORDER BY n.id, job.id
"""  # noqa: S608  numbers of ours
_LET_GO = f"""
UPDATE job SET compute_node_id = NULL
WHERE status NOT IN ({_HELD}) AND compute_node_id IS NOT NULL
"""  # noqa: S608  numbers of ours
_COME_BACK = f"""
UPDATE job SET status = {int(JobStatus.READY)}, start_time = NULL
WHERE status IN ({_HELD}) AND compute_node_id IS NULL RETURNING workflow_id, id
"""  # noqa: S608  numbers of ours


def _holders(connection: Connection, now: float) -> None:
    """Jobs of nobody, and of workers that have ended, come back."""
    held: dict[int, list[int]] = {}
    for row in connection.execute(text(_GONE)):
        held.setdefault(row.node, []).append(row.job)
    for node_id, job_ids in held.items():
        jobs.give_up(connection, node_id, job_ids, now)
    connection.execute(text(_LET_GO))
    back: dict[int, list[int]] = {}
    for row in connection.execute(text(_COME_BACK)):
        back.setdefault(row.workflow_id, []).append(row.id)
    for workflow_id, job_ids in back.items():
        told = ("jobs_released", {"job_ids": sorted(job_ids)})
        events.write(connection, workflow_id, now, [told])


_NEWEST = "(SELECT max(r.id) FROM result r WHERE r.job_id = job.id AND NOT r.superseded)"
_RESULTS = f"""
UPDATE job SET result_id = {_NEWEST}
WHERE (result_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM result r
         WHERE r.id = job.result_id AND r.job_id = job.id AND NOT r.superseded))
   OR (result_id IS NULL AND status IN ({soundness.ENDED}))
"""  # noqa: S608  numbers of ours


def _results(connection: Connection) -> None:
    """A job came to the newest result that counts."""
    connection.execute(text(_RESULTS))


# ── counters ─────────────────────────────────────────────────────────────────

_DOOMED = f"""
cancel_on_blocking_job_failure AND (
  EXISTS (SELECT 1 FROM job_depends_on d JOIN job other ON other.id = d.depends_on_job_id
          WHERE d.job_id = job.id AND other.status IN ({soundness.LOST}))
  OR EXISTS (SELECT 1 FROM barrier_out o JOIN barrier b ON b.id = o.barrier_id
             WHERE o.job_id = job.id AND b.failed))
"""  # noqa: S608  numbers of ours
_SETTLE = """
UPDATE job SET status = {status}, ready_since = {since}
WHERE workflow_id = :workflow AND status = {blocked} AND blockers = 0 {condition} RETURNING id
"""


_COUNT_JOBS = text(
    "UPDATE workflow SET job_count = (SELECT count(*) FROM job WHERE workflow_id = :workflow) "
    "WHERE id = :workflow"
)


def _counters(connection: Connection, workflow_id: int, now: float) -> None:
    """Count anew what is counted, and settle who waits for nothing."""
    words = {
        "settled": written(COMPLETE),
        "failed": written(UNSUCCESSFUL),
        "fresh": written({JobStatus.BLOCKED}),
    }
    values = {"workflow": workflow_id}
    connection.execute(_COUNT_JOBS, values)
    for statement in (workflows.COUNT_BARRIERS, workflows.COUNT_BLOCKERS):
        connection.execute(text(statement.format(**words)), values)
    if _goes_on(connection, workflow_id):
        doomed = _settled(connection, JobEvent.CASCADE, workflow_id, now)
        free = _settled(connection, JobEvent.UNBLOCK, workflow_id, now)
        moved = {"jobs_ready": free, "jobs_canceled": doomed}
        happened = [(what, {"job_ids": ids}) for what, ids in moved.items() if ids]
        events.write(connection, workflow_id, now, happened)
        unblocking.unblock(connection, workflow_id, doomed, now)
    actions.recount(connection, workflow_id)


def _settled(connection: Connection, event: JobEvent, workflow_id: int, now: float) -> list[int]:
    """Blocked jobs that wait for nothing: those that cancel, or all that are left."""
    cancels = event is JobEvent.CASCADE
    statement = _SETTLE.format(
        status=int(target(event)),
        blocked=int(JobStatus.BLOCKED),
        since="NULL" if cancels else "CAST(:now AS DOUBLE PRECISION)",
        condition=f"AND {_DOOMED}" if cancels else "",
    )
    values = {"workflow": workflow_id} | ({} if cancels else {"now": now})
    return sorted(connection.execute(text(statement), values).scalars())


def _goes_on(connection: Connection, workflow_id: int) -> bool:
    row = workflows.locked(connection, workflow_id)
    return bool(row["run_id"]) and not row["is_canceled"]
