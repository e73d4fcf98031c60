"""Verbs about whole workflows: initialize, cancel, delete; and how far one is."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, func, select, text, update

from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import (
    OPEN,
    AllocationStatus,
    JobStatus,
    Outlook,
    Progress,
    Workflow,
)
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.store import actions, events, present, rearming
from slurmtorc.store import schema as t
from slurmtorc.store.dialect import analyze

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection, RowMapping

_HELD = (JobStatus.PENDING, JobStatus.RUNNING)
_FRESH = sources(JobEvent.FREE)
"""The statuses that initialize turns into blocked or ready."""

_SETTLED = tuple(
    status
    for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.TERMINATED)
    if status not in _FRESH
)
"""Dependencies that are over and will not run again in the new run."""


def columns_of(workflow: Workflow) -> dict[str, Any]:
    """The columns of a workflow's row, without its id."""
    names = (field.name for field in fields(Workflow) if field.name != "id")
    return {name: getattr(workflow, name) for name in names}


def locked(connection: Connection, workflow_id: int) -> RowMapping:
    """The workflow's row, held until the end of the transaction. Raises NotFound."""
    query = select(t.workflow).where(t.workflow.c.id == workflow_id).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    return row


_RUN = select(t.workflow.c.run_id, t.workflow.c.is_canceled).where(
    t.workflow.c.id == bindparam("workflow")
)
_COUNTS = (
    select(t.job.c.status, func.count())
    .where(t.job.c.workflow_id == bindparam("workflow"))
    .group_by(t.job.c.status)
)


def progress(connection: Connection, workflow_id: int) -> Progress:
    """Jobs by status."""
    row = connection.execute(_RUN, {"workflow": workflow_id}).first()
    if row is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    counts = connection.execute(_COUNTS, {"workflow": workflow_id})
    found = {JobStatus(status): count for status, count in counts}
    return Progress(
        workflow_id=workflow_id, run_id=row.run_id, counts=found, is_canceled=row.is_canceled
    )


def _any(status: JobStatus) -> ColumnElement[bool]:
    found = exists().where(
        t.job.c.workflow_id == t.workflow.c.id,
        t.has_status(t.job, status),
    )
    return found.label(status.name)


_OUTLOOK = select(t.workflow.c.is_canceled, *map(_any, sorted(OPEN))).where(
    t.workflow.c.id == bindparam("workflow")
)
"""A look-up in an index for each status, however many jobs there are."""


def outlook(connection: Connection, workflow_id: int) -> Outlook:
    """What may still happen."""
    row = connection.execute(_OUTLOOK, {"workflow": workflow_id}).mappings().first()
    if row is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    present = frozenset(status for status in OPEN if row[status.name])
    return Outlook(is_canceled=row["is_canceled"], present=present)


# ── initialize ───────────────────────────────────────────────────────────────


def initialize(
    connection: Connection, workflow_id: int, now: float, *, after_run: int | None = None
) -> int:
    """Begin a new run; its id. With `after_run`, only if that is still the last one."""
    row = locked(connection, workflow_id)
    if after_run not in {None, row["run_id"]}:
        begun: int = row["run_id"]
        return begun
    present.refuse_archived(row)
    present.refuse_held(connection, workflow_id)
    link_by_files_and_data(connection, workflow_id)
    analyze(connection, t.job, t.job_depends_on, t.barrier, t.barrier_in, t.barrier_out)
    _begin_jobs(connection, workflow_id, now)
    run_id: int = row["run_id"] + 1
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(change.values(run_id=run_id, is_canceled=False))
    rearming.rearm(connection, workflow_id)
    ready = _count(connection, workflow_id, (JobStatus.READY,))
    data = {"run_id": run_id, "ready": ready}
    events.write(connection, workflow_id, now, [("workflow_started", data)])
    return run_id


def _count(connection: Connection, workflow_id: int, statuses: tuple[JobStatus, ...]) -> int:
    condition = (t.job.c.workflow_id == workflow_id) & t.has_status(t.job, *statuses)
    return connection.execute(select(func.count()).select_from(t.job).where(condition)).scalar_one()


def link_by_files_and_data(connection: Connection, workflow_id: int) -> None:
    """Who reads a file waits for everybody who writes it; the same for user data."""
    for inputs, outputs, key in (
        ("job_input_file", "job_output_file", "file_id"),
        ("job_input_user_data", "job_output_user_data", "user_data_id"),
    ):
        connection.execute(
            text(
                f"INSERT INTO job_depends_on (job_id, depends_on_job_id) "  # noqa: S608  names from above
                f"SELECT DISTINCT reads.job_id, writes.job_id FROM {outputs} AS writes "
                f"JOIN {inputs} AS reads ON reads.{key} = writes.{key} "
                f"JOIN job ON job.id = writes.job_id "
                f"WHERE job.workflow_id = :workflow AND reads.job_id <> writes.job_id "
                f"ON CONFLICT DO NOTHING"
            ),
            {"workflow": workflow_id},
        )


COUNT_BARRIERS = """
UPDATE barrier SET
  blockers = (SELECT count(*) FROM barrier_in JOIN job ON job.id = barrier_in.job_id
              WHERE barrier_in.barrier_id = barrier.id AND job.status NOT IN ({settled})),
  failed = EXISTS (SELECT 1 FROM barrier_in JOIN job ON job.id = barrier_in.job_id
                   WHERE barrier_in.barrier_id = barrier.id AND job.status IN ({failed}))
WHERE workflow_id = :workflow
"""

COUNT_BLOCKERS = """
UPDATE job SET blockers =
  (SELECT count(*) FROM job_depends_on AS d JOIN job AS other ON other.id = d.depends_on_job_id
   WHERE d.job_id = job.id AND other.status NOT IN ({settled}))
  + (SELECT count(*) FROM barrier_out AS o JOIN barrier ON barrier.id = o.barrier_id
     WHERE o.job_id = job.id AND barrier.blockers > 0)
WHERE workflow_id = :workflow AND status IN ({fresh})
"""

_BEGIN = """
UPDATE job SET status = CASE WHEN blockers > 0 THEN {blocked} ELSE {ready} END,
  ready_since = CASE WHEN blockers > 0 THEN NULL ELSE CAST(:now AS {double}) END, result_id = NULL
WHERE workflow_id = :workflow AND status IN ({fresh})
"""


def _begin_jobs(connection: Connection, workflow_id: int, now: float) -> None:
    words = {
        "settled": _listed(_SETTLED),
        "failed": _listed(status for status in _SETTLED if status is not JobStatus.COMPLETED),
        "fresh": _listed(_FRESH),
        "blocked": int(target(JobEvent.BLOCK)),
        "ready": int(target(JobEvent.FREE)),
        "double": "DOUBLE PRECISION",
    }
    for statement in (COUNT_BARRIERS, COUNT_BLOCKERS, _BEGIN):
        bound = text(statement.format(**words))
        values = {"workflow": workflow_id} | ({"now": now} if statement is _BEGIN else {})
        connection.execute(bound, values)


def _listed(statuses: Iterable[JobStatus]) -> str:
    return ", ".join(str(int(status)) for status in statuses)


# ── cancel and delete ────────────────────────────────────────────────────────


def cancel(connection: Connection, workflow_id: int, now: float) -> int:
    """Mark it canceled, and with it every job that a worker holds."""
    row = locked(connection, workflow_id)
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(change.values(is_canceled=True))
    condition = (t.job.c.workflow_id == workflow_id) & t.has_status(t.job, *_HELD)
    ended = connection.execute(
        update(t.job)
        .where(condition)
        .values(status=target(JobEvent.CANCEL), compute_node_id=None, start_time=None)
        .returning(t.job.c.id)
    )
    ids = sorted(ended.scalars())
    actions.recount(connection, workflow_id)
    data = {"run_id": row["run_id"], "job_ids": ids}
    events.write(connection, workflow_id, now, [("workflow_canceled", data)])
    return len(ids)


def remove(connection: Connection, workflow_id: int, now: float) -> None:
    """Delete a workflow and all rows that belong to it."""
    locked(connection, workflow_id)
    node = t.compute_node.c
    alive = (node.workflow_id == workflow_id) & node.is_active & (node.lease_until > now)
    hosts = connection.execute(select(node.hostname).where(alive).distinct()).scalars().all()
    if hosts:
        message = f"workflow {workflow_id} has active workers on {', '.join(sorted(hosts))}"
        raise Conflict(f"{message}; cancel it first and wait for them to end")
    live = (t.allocation.c.workflow_id == workflow_id) & (
        t.allocation.c.status != AllocationStatus.COMPLETE
    )
    ids = connection.execute(select(t.allocation.c.scheduler_id).where(live)).scalars().all()
    if ids:
        message = f"workflow {workflow_id} has {len(ids)} allocations in Slurm"
        raise Conflict(f"{message}; cancel it first: torc cancel {workflow_id}")
    connection.execute(delete(t.workflow).where(t.workflow.c.id == workflow_id))
