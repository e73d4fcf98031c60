"""Workflows that may go, and how they go: in small steps, so that no writer waits for long.

The first step marks the workflow archived and canceled, so that nothing can run in it, and notes
that its deletion has begun; whoever prunes next finishes what was interrupted. What must never
happen here: a step for a workflow in which anybody is at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, text, update

from slurmtorc.errors import Conflict
from slurmtorc.model import OPEN, UNSUCCESSFUL
from slurmtorc.ports import Candidate
from slurmtorc.store import noting, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.statuses import written

if TYPE_CHECKING:
    from sqlalchemy import Connection, Delete, RowMapping, Table

    from slurmtorc.ports import Criteria

STEP = 2_000
"""Rows that one transaction deletes: some tens of milliseconds, with what refers to them."""

MARK = "prune"

_IN_STEPS = (t.event, t.watch_decision, t.slurm_stats, t.result, t.job, t.file, t.user_data)
"""Tables that may hold many rows of one workflow, what refers to others first."""

_STATUS = f"""
CASE WHEN w.is_archived THEN 'archived'
     WHEN w.is_canceled THEN 'canceled'
     WHEN w.run_id = 0 THEN 'unstarted'
     WHEN EXISTS (SELECT 1 FROM job WHERE job.workflow_id = w.id
                  AND job.status IN ({written(OPEN)})) THEN 'unfinished'
     WHEN EXISTS (SELECT 1 FROM job WHERE job.workflow_id = w.id
                  AND job.status IN ({written(UNSUCCESSFUL)})) THEN 'failed'
     ELSE 'completed' END
"""  # noqa: S608  numbers of ours
_LAST_EVENT = """
(SELECT e.timestamp FROM event e WHERE e.workflow_id = w.id ORDER BY e.id DESC LIMIT 1)
"""
_LAST_BEAT = "(SELECT max(n.heartbeat) FROM compute_node n WHERE n.workflow_id = w.id)"
_USED = """
(SELECT count(*) FROM compute_node n
   WHERE n.workflow_id = w.id AND n.is_active AND n.lease_until > :now) AS workers,
(SELECT count(*) FROM allocation a
   WHERE a.workflow_id = w.id AND a.status <> 'complete') AS allocations,
(SELECT count(*) FROM watch h
   WHERE h.workflow_id = w.id AND h.holder <> '' AND h.lease_until > :now) AS watches
"""
_QUERY = f"""
SELECT w.id, w.name, w."user", {_STATUS} AS status, w.timestamp AS made,
  {_LAST_EVENT} AS told, {_LAST_BEAT} AS beat, {_USED},
  (SELECT count(*) FROM job j WHERE j.workflow_id = w.id) AS jobs,
  (SELECT count(*) FROM result r WHERE r.workflow_id = w.id) AS results,
  (SELECT count(*) FROM event e WHERE e.workflow_id = w.id) AS events
FROM workflow w
"""  # noqa: S608  texts from above
_SEEN = text(f"{_QUERY} ORDER BY w.id")
_ONE = text(f"{_QUERY} WHERE w.id = :workflow")


# ── which ────────────────────────────────────────────────────────────────────


def prunable(connection: Connection, criteria: Criteria, now: float, size: int) -> list[Candidate]:
    """Workflows for which all criteria hold; `size` is the database's."""
    rows = connection.execute(_SEEN, {"now": now}).mappings().all()
    in_all = sum(row["jobs"] + row["results"] + row["events"] for row in rows)
    each = size / in_all if in_all else 0.0
    seen = [_candidate(row, each) for row in rows]
    kept = _newest(seen, criteria)
    return [one for one in seen if one.workflow_id not in kept and _goes(one, criteria)]


def _candidate(row: RowMapping, bytes_of_a_row: float) -> Candidate:
    moments = (row["made"], row["told"], row["beat"])
    rows = row["jobs"] + row["results"] + row["events"]
    return Candidate(
        workflow_id=row["id"],
        name=row["name"],
        user=row["user"],
        status=row["status"],
        last_active=max(moment for moment in moments if moment is not None),
        jobs=row["jobs"],
        results=row["results"],
        events=row["events"],
        bytes=int(rows * bytes_of_a_row),
        in_use=_use(row),
    )


def _use(row: RowMapping) -> str | None:
    found = [
        f"{row[what]} live {what}" for what in ("workers", "allocations", "watches") if row[what]
    ]
    return ", ".join(found) or None


def _newest(seen: list[Candidate], criteria: Criteria) -> set[int]:
    """The last few of each user."""
    kept: set[int] = set()
    for user in {one.user for one in seen} if criteria.keep_last else ():
        ids = sorted(one.workflow_id for one in seen if one.user == user)
        kept.update(ids[-criteria.keep_last :])
    return kept


def _goes(one: Candidate, criteria: Criteria) -> bool:
    idle = criteria.idle_since is None or one.last_active < criteria.idle_since
    return one.status in criteria.statuses and criteria.user in {None, one.user} and idle


# ── how ──────────────────────────────────────────────────────────────────────

_IN_USE = text(f"SELECT {_USED} FROM workflow w WHERE w.id = :workflow")  # noqa: S608


def begin(
    connection: Connection, workflow_id: int, now: float, listed: Candidate | None = None
) -> bool:
    """Let nothing run in it any more; False if there is no such workflow, so nothing to do.

    Raises Conflict if it is in use, or no more what it was when it was `listed`.
    """
    begun = workflow_id in noting.subjects(connection, MARK)
    if begun and not connection.execute(_EXISTS, {"workflow": workflow_id}).first():
        noting.forget(connection, MARK, workflow_id)
        return False
    workflows.locked(connection, workflow_id)
    values = {"workflow": workflow_id, "now": now}
    use = _use(connection.execute(_IN_USE, values).mappings().one())
    if use:
        raise Conflict(f"workflow {workflow_id} has {use}; cancel it and wait for them to end")
    if listed is not None:
        seen = _candidate(connection.execute(_ONE, values).mappings().one(), 0.0)
        if (seen.last_active, seen.status) != (listed.last_active, listed.status):
            raise Conflict(f"workflow {workflow_id} has changed since it was listed; it stays")
    close = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(close.values(is_archived=True, is_canceled=True))
    noting.note(connection, MARK, now, subject=workflow_id)
    return True


_EXISTS = select(t.workflow.c.id).where(t.workflow.c.id == bindparam("workflow"))


def _step(table: Table) -> Delete:
    some = select(table.c.id).where(table.c.workflow_id == bindparam("workflow"))
    return delete(table).where(table.c.id.in_(some.limit(STEP)))


_STEPS = {table: _step(table) for table in _IN_STEPS}
_FEWER_JOBS = (
    update(t.workflow)
    .where(t.workflow.c.id == bindparam("workflow"))
    .values(job_count=t.workflow.c.job_count - bindparam("gone"))
)


def step(connection: Connection, workflow_id: int) -> bool:
    """Delete some rows of it; False once there are no more than a few."""
    values = {"workflow": workflow_id}
    for table, statement in _STEPS.items():
        gone = connection.execute(statement, values).rowcount
        if gone and table is t.job:
            connection.execute(_FEWER_JOBS, values | {"gone": gone})
        if gone:
            return True
    return False


def finish(connection: Connection, workflow_id: int) -> None:
    """Delete what is left of it."""
    connection.execute(delete(t.workflow).where(t.workflow.c.id == workflow_id))
    noting.forget(connection, MARK, workflow_id)
