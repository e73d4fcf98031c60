"""What must be so in every store: one SELECT each, which finds the rows that say otherwise.

Counters are counted anew from the statuses of jobs, in words of their own and not in those of
the statements that keep them: the two cannot be wrong together. What must never happen here: a
change. Mending is in mending.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus
from slurmtorc.ports import Violation
from slurmtorc.store.statuses import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, RowMapping

MOST = 100
"""Violations of one kind that are told."""
REPAIR = "torc store check --repair"
_RESTORE = "restore a backup, or delete the workflow: torc workflows delete {workflow_id}"


_OVER, LOST = written(COMPLETE), written(UNSUCCESSFUL)
_HELD = written({JobStatus.PENDING, JobStatus.RUNNING})
ENDED = written((COMPLETE - {JobStatus.CANCELED}) | {JobStatus.PENDING_FAILED})
_COUNTING = "w.run_id > 0 AND NOT w.is_canceled"
"""Where counters are kept: a run has begun, and nobody has canceled the workflow."""

WAITS_FOR = f"""
  (SELECT count(*) FROM job_depends_on d JOIN job other ON other.id = d.depends_on_job_id
   WHERE d.job_id = job.id AND other.status NOT IN ({_OVER}))
  + (SELECT count(*) FROM barrier_out o JOIN barrier b ON b.id = o.barrier_id
     WHERE o.job_id = job.id AND EXISTS (
       SELECT 1 FROM barrier_in i JOIN job other ON other.id = i.job_id
       WHERE i.barrier_id = b.id AND other.status NOT IN ({_OVER})))
"""  # noqa: S608  numbers of ours
"""What a job waits for, through barriers too."""

_WAITS_FOR_BARRIER = f"""
  (SELECT count(*) FROM barrier_in i JOIN job ON job.id = i.job_id
   WHERE i.barrier_id = barrier.id AND job.status NOT IN ({_OVER}))
"""  # noqa: S608  numbers of ours
_BARRIER_FAILED = f"""
  EXISTS (SELECT 1 FROM barrier_in i JOIN job ON job.id = i.job_id
          WHERE i.barrier_id = barrier.id AND job.status IN ({LOST}))
"""  # noqa: S608  numbers of ours
_WAITING = written({JobStatus.UNINITIALIZED, JobStatus.BLOCKED, JobStatus.DISABLED})
_TRIGGERED = f"""
  (SELECT count(*) FROM action_job g JOIN job ON job.id = g.job_id
   WHERE g.action_id = a.id AND CASE a.trigger_type WHEN 'on_jobs_ready'
     THEN job.status NOT IN ({_WAITING}) ELSE job.status IN ({_OVER}) END)
"""  # noqa: S608  numbers of ours
NUMBERED = (
    *("barrier", "failure_handler", "file", "job", "job_class", "resource_requirements"),
    *("slurm_scheduler", "user_data", "workflow_action"),
)
"""Tables whose ids come from id_block."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A question whose answer is empty; and what to say of each row of it."""

    kind: str
    query: str
    message: str
    mend: str = REPAIR

    @property
    def can_repair(self) -> bool:
        """Whether mending.py knows what is right."""
        return self.mend == REPAIR


def _of_jobs(condition: str, *, more: str = "", joined: str = "") -> str:
    return (
        f"SELECT job.workflow_id, job.id, job.name{more} FROM job "  # noqa: S608  texts from below
        f"JOIN workflow w ON w.id = job.workflow_id {joined} WHERE {condition}"
    )


def _where(condition: str, counted: str) -> str:
    return f"SELECT * FROM ({counted}) found WHERE {condition}"  # noqa: S608  texts from below


_BARRIERS = f"""
SELECT barrier.workflow_id, barrier.id, barrier.blockers, barrier.failed,
  {_WAITS_FOR_BARRIER} AS counted, {_BARRIER_FAILED} AS lost
FROM barrier JOIN workflow w ON w.id = barrier.workflow_id WHERE {_COUNTING}
"""  # noqa: S608  texts from above
_BLOCKED = _of_jobs(
    f"job.status = 1 AND {_COUNTING}", more=f", job.blockers, {WAITS_FOR} AS counted"
)
_GATED = f"""
SELECT a.workflow_id, a.id, a.trigger_type, a.trigger_count, {_TRIGGERED} AS counted
FROM workflow_action a JOIN workflow w ON w.id = a.workflow_id
WHERE {_COUNTING} AND a.trigger_type IN ('on_jobs_ready', 'on_jobs_complete')
"""  # noqa: S608  texts from above

INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "status",
        _of_jobs("job.status NOT BETWEEN 0 AND 10", more=", job.status"),
        "job {id} ({name}) has status {status}, which does not exist",
        _RESTORE,
    ),
    Invariant(
        "count",
        _where(
            "job_count <> counted",
            "SELECT w.id AS workflow_id, w.job_count, "
            "(SELECT count(*) FROM job WHERE job.workflow_id = w.id) AS counted FROM workflow w",
        ),
        "workflow {workflow_id} has {job_count} jobs by its counter; there are {counted}",
    ),
    Invariant(
        "holder",
        _of_jobs(f"job.status IN ({_HELD}) AND job.compute_node_id IS NULL"),
        "job {id} ({name}) is pending or running, and no worker holds it",
    ),
    Invariant(
        "holder",
        _of_jobs(
            f"job.status IN ({_HELD}) AND NOT n.is_active",
            more=", n.id AS node",
            joined="JOIN compute_node n ON n.id = job.compute_node_id",
        ),
        "job {id} ({name}) is held by worker {node}, which has ended",
    ),
    Invariant(
        "holder",
        _of_jobs(f"job.status NOT IN ({_HELD}) AND job.compute_node_id IS NOT NULL",
                 more=", job.compute_node_id AS node"),
        "job {id} ({name}) is over or waits, and worker {node} still holds it",
    ),
    Invariant(
        "barrier",
        _where("blockers <> counted OR (blockers = 0 AND failed <> lost)", _BARRIERS),
        "barrier {id} counts {blockers} jobs before it (failed: {failed}); "
        "there are {counted} (failed: {lost})",
    ),
    Invariant(
        "blockers",
        _where("blockers <> counted OR counted = 0", _BLOCKED),
        "job {id} ({name}) waits for {blockers} others by its counter; there are {counted}",
    ),
    Invariant(
        "action",
        _where("trigger_count <> counted", _GATED),
        "action {id} ({trigger_type}) has counted {trigger_count} jobs; there are {counted}",
    ),
    Invariant(
        "result",
        _of_jobs(
            "job.result_id IS NOT NULL AND (r.id IS NULL OR r.job_id <> job.id OR r.superseded)",
            more=", job.result_id", joined="LEFT JOIN result r ON r.id = job.result_id",
        ),
        "job {id} ({name}) came to result {result_id}, which is not one of its own",
    ),
    Invariant(
        "result",
        _of_jobs(f"job.status IN ({ENDED}) AND job.result_id IS NULL", more=", job.attempt_id"),
        "job {id} ({name}) has ended, and attempt {attempt_id} has no result",
    ),
    Invariant(
        "result",
        "SELECT max(workflow_id) AS workflow_id, job_id AS id, run_id, attempt_id, "
        "count(*) AS found FROM result WHERE NOT superseded "
        "GROUP BY job_id, run_id, attempt_id HAVING count(*) > 1",
        "attempt {attempt_id} of job {id} in run {run_id} has {found} results",
        _RESTORE,
    ),
    *(
        Invariant(
            "ids",
            f"SELECT NULL AS workflow_id, found.most, b.next_id FROM "  # noqa: S608  our names
            f"(SELECT max(id) AS most FROM {table}) found "
            f"LEFT JOIN id_block b ON b.kind = '{table}' "
            f"WHERE found.most >= coalesce(b.next_id, 1)",
            f"ids of {table} are given out from {{next_id}} on, and {{most}} is in use",
        )
        for table in NUMBERED
    ),
)  # fmt: skip


def violations(connection: Connection) -> list[Violation]:
    """Every row of every invariant, MOST of each at most."""
    return [found for invariant in INVARIANTS for found in _found(connection, invariant)]


def _found(connection: Connection, invariant: Invariant) -> Iterator[Violation]:
    query = text(f"{invariant.query} LIMIT {MOST + 1}")
    rows = connection.execute(query).mappings().all()
    for row in rows[:MOST]:
        yield _violation(invariant, row)
    if len(rows) > MOST:
        yield Violation(invariant.kind, "… and more of the kind", invariant.mend)


def _violation(invariant: Invariant, row: RowMapping) -> Violation:
    return Violation(
        invariant.kind,
        invariant.message.format(**row),
        invariant.mend.format(**row),
        row["workflow_id"],
        invariant.can_repair,
    )
