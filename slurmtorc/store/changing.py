"""People change a stored workflow: its jobs, its user data, its place in the archive.

What changes how a job comes to its outputs is noted with the job, once it has run: so the next
run knows that the job is stale, and nobody has to compare a million jobs with what they were.
What must never happen: a job is changed while a worker holds it, or a job waits for itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, exists, insert, null, select, update

from slurmtorc.errors import Conflict, InvalidValue, NotFound
from slurmtorc.model import Job, JobStatus, UserData
from slurmtorc.rules.chains import ahead
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.rules.wording import no_jobs
from slurmtorc.store import (
    actions,
    events,
    jobs,
    present,
    records,
    relations,
    rerunning,
    scheduling,
    workflows,
)
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping

    from slurmtorc.model import JobChange

_J, _D = t.job.c, t.job_depends_on.c
_MATTERS = ("command", "invocation_script", "env", "depends_on")
"""Fields of a job that decide what it writes."""

# ── one job ──────────────────────────────────────────────────────────────────


_ROW = select(_J.id).where(_J.id == bindparam("job")).with_for_update()


def update_job(connection: Connection, job_id: int, change: JobChange, now: float) -> Job:
    """The job with what is given in place of what it had."""
    job = records.get(connection, Job, job_id)
    row = workflows.locked(connection, job.workflow_id)
    present.refuse_archived(row)
    connection.execute(_ROW, {"job": job_id})  # no worker claims it from here on
    present.refuse_running(connection, [job_id])
    was_open = _is_open(connection, job.workflow_id)
    _refuse_foreign(connection, job, change)
    given = dict(change.given)
    different = [name for name in given if _differs(connection, job, name, given[name])]
    if not different:
        return job
    _write(connection, job, {name: given[name] for name in different})
    _note(connection, job, [name for name in different if name in _MATTERS], now)
    data = {"job_id": job_id, "job_name": job.name, "changed": different}
    events.write(connection, job.workflow_id, now, [("job_updated", data)])
    if "depends_on" in different:
        _follow(connection, row, now, was_open=was_open)
    return records.get(connection, Job, job_id)


def _differs(connection: Connection, job: Job, name: str, value: Any) -> bool:
    if name == "depends_on":
        return set(value) != set(relations.dependencies(connection, [job.id])[job.id])
    if name == "env":
        return dict(value) != dict(job.env or {})
    now = getattr(job, name)
    return bool(value != ("" if now is None else now))


def _write(connection: Connection, job: Job, given: dict[str, Any]) -> None:
    depends_on = given.pop("depends_on", None)
    class_parts: dict[str, Any] = {
        name: given.pop(name)
        for name in ("priority", "resource_requirements_id", "scheduler_id")
        if name in given
    }
    if given.get("invocation_script") == "":
        given["invocation_script"] = null()
    if given:
        connection.execute(update(t.job).where(_J.id == job.id).values(**given))
    if class_parts:
        scheduling.rebind(connection, job, class_parts)
    if depends_on is not None:
        _depend(connection, job, depends_on)


def _note(connection: Connection, job: Job, changed: Sequence[str], now: float) -> None:
    """What matters, and came after the job had run, makes it stale."""
    has_run = exists().where(t.result.c.job_id == job.id)
    if changed and connection.execute(select(has_run)).scalar_one():
        words = list(dict.fromkeys([*(job.changes or ()), *changed]))
        connection.execute(
            update(t.job).where(_J.id == job.id).values(changed_at=now, changes=words)
        )


def _refuse_foreign(connection: Connection, job: Job, change: JobChange) -> None:
    """Raise an error for a reference to what is not in the job's workflow, and for a taken name."""
    for table, record_id in (
        (t.resource_requirements, change.resource_requirements_id),
        (t.slurm_scheduler, change.scheduler_id),
    ):
        mine = (table.c.id == record_id) & (table.c.workflow_id == job.workflow_id)
        if (
            record_id is not None
            and connection.execute(select(table.c.id).where(mine)).first() is None
        ):
            what = table.name.replace("_", " ")
            raise NotFound(f"workflow {job.workflow_id} has no {what} {record_id}")
    if change.name is not None:
        _refuse_name(connection, job, change.name)
    if change.command is not None and not change.command.strip():
        raise InvalidValue(f"job {job.id} must have a command")
    if change.depends_on is not None:
        in_workflow(connection, job.workflow_id, change.depends_on)
        _refuse_cycle(connection, job, change.depends_on)


def _refuse_name(connection: Connection, job: Job, name: str) -> None:
    if not name:
        raise InvalidValue(f"job {job.id} must have a name")
    same = (_J.workflow_id == job.workflow_id) & (_J.name == name) & (_J.id != job.id)
    other = connection.execute(select(_J.id).where(same)).scalar()
    if other is not None:
        raise Conflict(f"workflow {job.workflow_id} has a job named {name!r} already: {other}")


def _refuse_cycle(connection: Connection, job: Job, depends_on: Sequence[int]) -> None:
    """Raise Conflict if anything the job is to wait for waits for the job."""
    links = scheduling.links(connection, job.workflow_id)
    if job.id in {*depends_on, *ahead(links.waits_for, depends_on)}:
        raise Conflict(f"job {job.id} ({job.name}) would wait for itself; nothing was changed")


def _depend(connection: Connection, job: Job, depends_on: Sequence[int]) -> None:
    connection.execute(delete(t.job_depends_on).where(_D.job_id == job.id))
    connection.execute(delete(t.barrier_out).where(t.barrier_out.c.job_id == job.id))
    rows = [{"job_id": job.id, "depends_on_job_id": other} for other in sorted(set(depends_on))]
    if rows:
        connection.execute(insert(t.job_depends_on), rows)


def in_workflow(connection: Connection, workflow_id: int, job_ids: Collection[int]) -> None:
    """Raise NotFound unless all these are jobs of the workflow."""
    wanted = set(job_ids)
    query = select(_J.id).where(_J.workflow_id == workflow_id, among(_J.id))
    missing = wanted.difference(connection.execute(query, {"ids": sorted(wanted)}).scalars())
    if missing:
        raise NotFound(no_jobs(workflow_id, missing))


# ── jobs left out ────────────────────────────────────────────────────────────


def _moved(event: JobEvent) -> Any:
    return (
        update(t.job)
        .where(
            _J.workflow_id == bindparam("workflow"),
            among(_J.id),
            has_status(t.job, *sources(event)),
        )
        .values(status=int(target(event)), ready_since=None)
        .returning(_J.id)
    )


_TOLD = {JobEvent.DISABLE: "jobs_disabled", JobEvent.ENABLE: "jobs_enabled"}
_MOVES = {event: _moved(event) for event in _TOLD}


def disable(
    connection: Connection, workflow_id: int, job_ids: Collection[int], now: float
) -> list[int]:
    """These jobs are left out until they are enabled; the ids of those that were not."""
    row = _row(connection, workflow_id, job_ids)
    present.refuse_running(connection, job_ids)
    _refuse_completed(connection, job_ids)
    return _move(connection, row, JobEvent.DISABLE, job_ids, now)


def _refuse_completed(connection: Connection, job_ids: Collection[int]) -> None:
    done = (among(_J.id), has_status(t.job, JobStatus.COMPLETED))
    found = connection.execute(select(_J.id, _J.name).where(*done), {"ids": list(job_ids)}).first()
    if found is not None:
        message = f"job {found.id} ({found.name}) is completed, so it cannot be left out"
        raise Conflict(f"{message}; reset it first: torc jobs reset-status {found.id}")


def enable(
    connection: Connection, workflow_id: int, job_ids: Collection[int], now: float
) -> list[int]:
    """Disabled jobs run again with the next run; the ids of those that were disabled."""
    row = _row(connection, workflow_id, job_ids)
    return _move(connection, row, JobEvent.ENABLE, job_ids, now)


def _row(connection: Connection, workflow_id: int, job_ids: Collection[int]) -> RowMapping:
    """The row of a workflow that may be changed, locked, and that has these jobs."""
    row = workflows.locked(connection, workflow_id)
    present.refuse_archived(row)
    in_workflow(connection, workflow_id, job_ids)
    return row


def _move(
    connection: Connection, row: RowMapping, event: JobEvent, job_ids: Collection[int], now: float
) -> list[int]:
    """What happens to some jobs, its event, and what follows; the ids of those it happened to."""
    workflow_id: int = row["id"]
    was_open = _is_open(connection, workflow_id)
    values = {"workflow": workflow_id, "ids": sorted(set(job_ids))}
    found = sorted(connection.execute(_MOVES[event], values).scalars())
    if found:
        events.write(connection, workflow_id, now, [(_TOLD[event], {"job_ids": found})])
        _follow(connection, row, now, was_open=was_open)
    return found


def delete_jobs(
    connection: Connection, workflow_id: int, job_ids: Collection[int], now: float
) -> None:
    """Remove jobs with their results; what waited for them does so no more."""
    row = _row(connection, workflow_id, job_ids)
    present.refuse_running(connection, job_ids)
    was_open = _is_open(connection, workflow_id)
    ids = sorted(set(job_ids))
    gone = connection.execute(delete(t.job).where(among(_J.id)), {"ids": ids}).rowcount
    fewer = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(fewer.values(job_count=t.workflow.c.job_count - gone))
    events.write(connection, workflow_id, now, [("jobs_deleted", {"job_ids": ids})])
    _follow(connection, row, now, was_open=was_open)


def _is_open(connection: Connection, workflow_id: int) -> bool:
    """Whether anything may still run: what is over already is not completed once more."""
    return bool(workflows.outlook(connection, workflow_id).present)


def _follow(connection: Connection, row: RowMapping, now: float, *, was_open: bool) -> None:
    """What a run that has begun makes of other jobs: those that wait, and what waits for gates."""
    workflow_id: int = row["id"]
    if row["run_id"]:
        rerunning.wait_again(connection, workflow_id, now)
        actions.recount(connection, workflow_id)
        if was_open:
            jobs.tell_if_complete(connection, workflow_id, now)


# ── user data, and the archive ───────────────────────────────────────────────


def set_data(connection: Connection, user_data_id: int, value: Any, now: float) -> UserData:
    """Give user data another value; the same value again is no change."""
    found = records.get(connection, UserData, user_data_id)
    present.refuse_archived(workflows.locked(connection, found.workflow_id))
    if _text(value) == _text(found.data):
        return found
    mine: ColumnElement[bool] = t.user_data.c.id == user_data_id
    stored = null() if value is None else value
    connection.execute(update(t.user_data).where(mine).values(data=stored, changed_at=now))
    data = {"user_data_id": user_data_id, "name": found.name}
    events.write(connection, found.workflow_id, now, [("user_data_updated", data)])
    return records.get(connection, UserData, user_data_id)


def _text(value: Any) -> str:
    """By which two values are the same: 1 is neither true nor 1.0."""
    return json.dumps(value, sort_keys=True)


def archive(connection: Connection, workflow_id: int, now: float, *, archived: bool) -> None:
    """Put a workflow into the archive, where nothing may run, or take it out."""
    row = workflows.locked(connection, workflow_id)
    if archived:
        present.refuse_workers(connection, workflow_id, now)
        present.refuse_allocations(connection, workflow_id)
    if row["is_archived"] != archived:
        change = update(t.workflow).where(t.workflow.c.id == workflow_id)
        connection.execute(change.values(is_archived=archived))
        what = "workflow_archived" if archived else "workflow_unarchived"
        events.write(connection, workflow_id, now, [(what, {})])
