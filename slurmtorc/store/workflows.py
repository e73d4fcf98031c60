"""Verbs about whole workflows: initialize, cancel, delete; and how far one is."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, func, select, text, update

from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import (
    OPEN,
    JobStatus,
    Outlook,
    Progress,
    Workflow,
)
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.store import actions, events, present, rearming
from slurmtorc.store import schema as t
from slurmtorc.store.dialect import in_memory, many_changed
from slurmtorc.store.extent import JOB_COUNT, extent, most_common_status
from slurmtorc.store.statuses import has_status, written

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

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


_RUN = select(t.workflow.c.run_id, t.workflow.c.is_canceled, t.workflow.c.job_count).where(
    t.workflow.c.id == bindparam("workflow")
)


def _count_of(status: JobStatus) -> ColumnElement[int]:
    jobs = select(func.count()).where(
        t.job.c.workflow_id == bindparam("workflow"), has_status(t.job, status)
    )
    return jobs.scalar_subquery().label(status.name)


_MANY = 20_000
"""Jobs that are worth asking first which of their counts can be spared."""


@cache
def counts(spared: JobStatus | None = None) -> Select[Any]:
    """Twice as fast as grouping: entries of an index are counted, and no status is looked at.

    What is not counted is what the others leave of all jobs, at the same moment.
    """
    columns: list[Any] = [_count_of(status) for status in JobStatus if status is not spared]
    return select(*columns, *([] if spared is None else [JOB_COUNT]))


def _counted(connection: Connection, workflow_id: int, jobs: int) -> dict[JobStatus, int]:
    """How many jobs have which status. Of many, those of the most common one are not counted."""
    spared = most_common_status(connection, workflow_id) if jobs >= _MANY else None
    row = connection.execute(counts(spared), {"workflow": workflow_id}).mappings().one()
    found = {status: row[status.name] for status in JobStatus if status is not spared}
    if spared is not None:
        found[spared] = row["jobs"] - sum(found.values())
    return {status: found[status] for status in JobStatus if found[status]}


def progress(connection: Connection, workflow_id: int) -> Progress:
    """Jobs by status."""
    row = connection.execute(_RUN, {"workflow": workflow_id}).first()
    if row is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    found = _counted(connection, workflow_id, row.job_count)
    return Progress(
        workflow_id=workflow_id, run_id=row.run_id, counts=found, is_canceled=row.is_canceled
    )


def _any(status: JobStatus) -> ColumnElement[bool]:
    found = exists().where(
        t.job.c.workflow_id == t.workflow.c.id,
        has_status(t.job, status),
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
    if row["run_id"]:
        present.settle_idle(connection, workflow_id, now, force=False)
    link_by_files_and_data(connection, workflow_id)
    blocked, ready = _begin_jobs(connection, workflow_id, now)
    many_changed(connection, {t.job: blocked + ready}, columns=_OF_A_BEGINNING)
    run_id: int = row["run_id"] + 1
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(change.values(run_id=run_id, is_canceled=False))
    rearming.rearm(connection, workflow_id)
    data = {"run_id": run_id, "ready": ready}
    events.write(connection, workflow_id, now, [("workflow_started", data)])
    return run_id


_LINKED_JOBS = select(t.workflow.c.linked_jobs).where(t.workflow.c.id == bindparam("workflow"))


def unlinked(connection: Connection, workflow_id: int) -> bool:
    """Whether there are jobs whose files and user data are not dependencies yet."""
    reach = extent(connection, workflow_id)  # to ask for any such job would read all others
    linked: int | None = connection.execute(_LINKED_JOBS, {"workflow": workflow_id}).scalar()
    return reach is not None and linked is not None and reach.high > linked


def link_by_files_and_data(connection: Connection, workflow_id: int) -> None:
    """Who reads a file waits for everybody who writes it; the same for user data."""
    if not unlinked(connection, workflow_id):
        return
    values = {"workflow": workflow_id}
    for inputs, outputs, key in (
        ("job_input_file", "job_output_file", "file_id"),
        ("job_input_user_data", "job_output_user_data", "user_data_id"),
    ):
        connection.execute(text(_LINK.format(inputs=inputs, outputs=outputs, key=key)), values)
    connection.execute(text(_LINKED), values)


_LINK = """
INSERT INTO job_depends_on (job_id, depends_on_job_id)
SELECT DISTINCT reads.job_id, writes.job_id FROM {outputs} AS writes
JOIN {inputs} AS reads ON reads.{key} = writes.{key}
JOIN job ON job.id = writes.job_id
JOIN workflow ON workflow.id = job.workflow_id
WHERE workflow.id = :workflow AND reads.job_id <> writes.job_id
  AND (reads.job_id > workflow.linked_jobs OR writes.job_id > workflow.linked_jobs)
ON CONFLICT DO NOTHING
"""
_LINKED = """
UPDATE workflow SET linked_jobs = (SELECT max(id) FROM job WHERE workflow_id = :workflow)
WHERE id = :workflow
"""

COUNT_BARRIERS = """
UPDATE barrier SET
  blockers = (SELECT count(*) FROM barrier_in JOIN job ON job.id = barrier_in.job_id
              WHERE barrier_in.barrier_id = barrier.id AND job.status NOT IN ({settled})),
  failed = EXISTS (SELECT 1 FROM barrier_in JOIN job ON job.id = barrier_in.job_id
                   WHERE barrier_in.barrier_id = barrier.id AND job.status IN ({failed}))
WHERE workflow_id = :workflow
"""

_STILL_TO_RUN = (
    "JOIN job AS other ON other.id = d.depends_on_job_id AND other.status NOT IN ({settled})"
)

COUNT_BLOCKERS = f"""
UPDATE job SET blockers =
  (SELECT count(*) FROM job_depends_on AS d {_STILL_TO_RUN} WHERE d.job_id = job.id)
  + (SELECT count(*) FROM barrier_out AS o JOIN barrier ON barrier.id = o.barrier_id
     WHERE o.job_id = job.id AND barrier.blockers > 0)
WHERE workflow_id = :workflow AND status IN ({{fresh}})
"""  # noqa: S608  our own words

_BLOCK = """
WITH waits AS (
  SELECT job_id, count(*) AS n FROM (
    SELECT d.job_id FROM job AS fresh JOIN job_depends_on AS d ON d.job_id = fresh.id {other}
    WHERE fresh.workflow_id = :workflow AND fresh.status IN ({fresh})
    UNION ALL
    SELECT o.job_id FROM barrier JOIN barrier_out AS o ON o.barrier_id = barrier.id
    WHERE barrier.workflow_id = :workflow AND barrier.blockers > 0
  ) AS behind GROUP BY job_id ORDER BY job_id
)
UPDATE job SET blockers = waits.n, status = {blocked}, ready_since = NULL, result_id = NULL
FROM waits
WHERE job.id = waits.job_id AND job.workflow_id = :workflow AND job.status IN ({fresh})
"""
_FREE = """
UPDATE job SET blockers = 0, status = {ready}, ready_since = :now, result_id = NULL
WHERE workflow_id = :workflow AND status IN ({left})
"""
"""Each row once, in the order of ids: a change moves it to a new place in every index. The blocked
ones come first: the other way round Postgres fits them in between, and leaves each page of the
index by status half empty."""

_WAITS_NO_LONGER = """
  AND NOT EXISTS (SELECT 1 FROM job_depends_on AS d {other} WHERE d.job_id = job.id)
  AND NOT EXISTS (SELECT 1 FROM barrier_out AS o JOIN barrier ON barrier.id = o.barrier_id
                  WHERE o.job_id = job.id AND barrier.blockers > 0)
"""
"""Asked only where jobs were blocked before: else the blocked ones are those that wait now."""


_OF_A_BEGINNING = ("blockers", "status", "ready_since", "result_id")


def _begin_jobs(connection: Connection, workflow_id: int, now: float) -> tuple[int, int]:
    """Give all of them their status and their counters; how many are blocked, and ready."""
    blocked = target(JobEvent.BLOCK)
    words = {
        "settled": written(_SETTLED),
        "failed": written(set(_SETTLED) - {JobStatus.COMPLETED}),
        "fresh": written(_FRESH),
        "blocked": int(blocked),
        "ready": int(target(JobEvent.FREE)),
    }
    values = {"workflow": workflow_id}
    connection.execute(text(COUNT_BARRIERS.format(**words)), values)
    settled = _any_of(connection, workflow_id, _SETTLED)
    words["other"] = _STILL_TO_RUN.format(**words) if settled else ""
    again = _any_of(connection, workflow_id, (blocked,))
    words["left"] = written(_FRESH if again else set(_FRESH) - {blocked})
    free = _FREE + (_WAITS_NO_LONGER if again else "")
    with in_memory(connection):
        held = connection.execute(text(_BLOCK.format(**words)), values).rowcount
        freed = connection.execute(text(free.format(**words)), values | {"now": now}).rowcount
    return held, freed


def _any_of(connection: Connection, workflow_id: int, statuses: tuple[JobStatus, ...]) -> bool:
    condition = (t.job.c.workflow_id == workflow_id) & has_status(t.job, *statuses)
    return connection.execute(select(t.job.c.id).where(condition).limit(1)).first() is not None


# ── cancel and delete ────────────────────────────────────────────────────────


def cancel(connection: Connection, workflow_id: int, now: float) -> int:
    """Mark it canceled, and with it every job that a worker holds."""
    row = locked(connection, workflow_id)
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(change.values(is_canceled=True))
    condition = (t.job.c.workflow_id == workflow_id) & has_status(t.job, *_HELD)
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
    present.refuse_allocations(connection, workflow_id)
    connection.execute(delete(t.workflow).where(t.workflow.c.id == workflow_id))
