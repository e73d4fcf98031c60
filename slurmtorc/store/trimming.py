"""Old events and old results go, a few thousand rows at a time, within what settings keep.

What must never happen here: a result of a workflow's newest run goes, or the last one of a job;
or a workflow loses its newest event, by which its age is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from slurmtorc.store.pruning import STEP

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

    from slurmtorc.ports import Keep

MARK = "trim"
AUTOMATIC_MOST = 200_000
"""Rows that go at most when nobody asked: whoever ended a run is not kept waiting."""
DAY_S = 86_400.0

_WORKFLOWS = text("SELECT id, run_id FROM workflow ORDER BY id")
_TOLD = ("event", "watch_decision")
TABLES = (*_TOLD, "result", "slurm_stats")
"""What is trimmed."""


def workflows(connection: Connection) -> list[tuple[int, int]]:
    """(workflow, its newest run), all of them."""
    return [(row.id, row.run_id) for row in connection.execute(_WORKFLOWS)]


# ── events ───────────────────────────────────────────────────────────────────

_BEFORE = """
SELECT id FROM {table} WHERE workflow_id = :workflow ORDER BY id DESC LIMIT 1 OFFSET :kept
"""
_FIRST_YOUNG = """
SELECT id FROM {table} WHERE workflow_id = :workflow AND timestamp >= :since ORDER BY id LIMIT 1
"""
_OLD = "FROM {table} WHERE workflow_id = :workflow AND id <= :until"


def last_old_event(
    connection: Connection, table: str, workflow_id: int, keep: Keep, now: float
) -> int:
    """The newest id that need not be kept; 0 for none."""

    def found(query: str, **values: float) -> int | None:
        values["workflow"] = workflow_id
        return connection.execute(text(query.format(table=table)), values).scalar()

    newest = found(_BEFORE, kept=0)
    if newest is None:
        return 0
    until = (found(_BEFORE, kept=keep.events) or 0) if keep.events else 0
    if keep.event_days:
        young = found(_FIRST_YOUNG, since=now - keep.event_days * DAY_S)
        until = max(until, newest - 1 if young is None else young - 1)
    return until


# ── results ──────────────────────────────────────────────────────────────────

_OLD_RESULTS = """
FROM result r WHERE r.workflow_id = :workflow AND r.run_id <= :until
  AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = r.job_id AND job.result_id = r.id)
  AND EXISTS (SELECT 1 FROM result newer
              WHERE newer.job_id = r.job_id AND newer.id > r.id AND NOT newer.superseded)
"""
_OLD_STATS = """
FROM slurm_stats s WHERE s.workflow_id = :workflow AND s.run_id <= :until
  AND NOT EXISTS (SELECT 1 FROM result r WHERE r.job_id = s.job_id AND r.run_id = s.run_id
                  AND r.attempt_id = s.attempt_id)
"""


# ── steps ────────────────────────────────────────────────────────────────────


class Step:
    """One kind of rows of one workflow that may go."""

    def __init__(self, table: str, chosen: str, alias: str, **values: int) -> None:
        self.table = table
        self.values = values
        some = f"SELECT {alias}.id {chosen} LIMIT {STEP}"
        self._count = text(f"SELECT count(*) {chosen}")
        self._delete: TextClause = text(f"DELETE FROM {table} WHERE id IN ({some})")  # noqa: S608  our names

    def count(self, connection: Connection) -> int:
        """How many rows would go."""
        rows: int = connection.execute(self._count, self.values).scalar_one()
        return rows

    def go(self, connection: Connection) -> int:
        """Delete some of them; how many."""
        return connection.execute(self._delete, self.values).rowcount


def steps(
    workflow_id: int, newest_run: int, keep: Keep, now: float, connection: Connection
) -> list[Step]:
    """What may go of one workflow."""
    found = []
    for table in _TOLD:
        until = last_old_event(connection, table, workflow_id, keep, now)
        if until:
            old = _OLD.format(table=table)
            found.append(Step(table, old, table, workflow=workflow_id, until=until))
    until = newest_run - keep.runs
    if keep.runs and until > 0:
        found.append(Step("result", _OLD_RESULTS, "r", workflow=workflow_id, until=until))
        found.append(Step("slurm_stats", _OLD_STATS, "s", workflow=workflow_id, until=until))
    return found
