"""Planning again: what is waited for, new schedulers and requirements, and which jobs use them.

A job's requirement and scheduler are those of its class. So binding jobs means giving them
another class, one that is there or a new one; the jobs beside them keep theirs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select, text, update

from slurmtorc.errors import NotFound
from slurmtorc.model import Action, JobStatus, Links, ResourceRequirements, SlurmScheduler
from slurmtorc.store import ids, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import TypeAlias

    from sqlalchemy import Connection, Row, Table

    from slurmtorc.model import Job

    AnyRow: TypeAlias = Row[*tuple[Any, ...]]

_J, _C = t.job.c, t.job_class.c
_D, _IN, _OUT = t.job_depends_on.c, t.barrier_in.c, t.barrier_out.c

# ── who waits for whom ───────────────────────────────────────────────────────

_OF_WORKFLOW = _J.workflow_id == bindparam("workflow")
_STATED = (
    select(_D.job_id, _D.depends_on_job_id)
    .join(t.job, _J.id == _D.job_id)
    .where(_OF_WORKFLOW)
    .union_all(
        select(_OUT.job_id, -_OUT.barrier_id).join(t.job, _J.id == _OUT.job_id).where(_OF_WORKFLOW),
        select(-_IN.barrier_id, _IN.job_id).join(t.job, _J.id == _IN.job_id).where(_OF_WORKFLOW),
    )
)
_IMPLIED = """
SELECT reads.job_id, writes.job_id FROM {outputs} AS writes
JOIN {inputs} AS reads ON reads.{key} = writes.{key}
JOIN job ON job.id = writes.job_id
WHERE job.workflow_id = :workflow AND reads.job_id <> writes.job_id
"""
_BY_RECORD = (
    ("job_input_file", "job_output_file", "file_id"),
    ("job_input_user_data", "job_output_user_data", "user_data_id"),
)
_GATES = (
    select(t.action_job.c.action_id, t.action_job.c.job_id)
    .join(t.workflow_action, t.workflow_action.c.id == t.action_job.c.action_id)
    .where(t.workflow_action.c.workflow_id == bindparam("workflow"))
)


def links(connection: Connection, workflow_id: int) -> Links:
    """Who waits for whom, barriers as nodes; and the jobs that actions wait for.

    What files and user data imply may not be stored yet: then it is added here.
    """
    run_id = connection.execute(
        select(t.workflow.c.run_id).where(t.workflow.c.id == workflow_id)
    ).scalar()
    if run_id is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    values = {"workflow": workflow_id}
    waits_for: dict[int, set[int]] = defaultdict(set)
    pairs = list(connection.execute(_STATED, values))
    unlinked = workflows.unlinked(connection, workflow_id)
    for inputs, outputs, key in _BY_RECORD if unlinked else ():
        implied = text(_IMPLIED.format(inputs=inputs, outputs=outputs, key=key))
        pairs += connection.execute(implied, values)
    for node, other in pairs:
        waits_for[node].add(other)
    return Links(
        {node: sorted(others) for node, others in sorted(waits_for.items())},
        gates(connection, workflow_id),
    )


def gates(connection: Connection, workflow_id: int) -> dict[int, list[int]]:
    """Action id -> the jobs it is about."""
    found: dict[int, list[int]] = defaultdict(list)
    for action_id, job_id in connection.execute(_GATES, {"workflow": workflow_id}):
        found[action_id].append(job_id)
    return {action_id: sorted(jobs) for action_id, jobs in sorted(found.items())}


# ── new schedulers, requirements and actions ─────────────────────────────────


def add_schedulers(
    connection: Connection, workflow_id: int, schedulers: Sequence[SlurmScheduler]
) -> list[SlurmScheduler]:
    """The same with their ids."""
    return _added(connection, t.slurm_scheduler, workflow_id, schedulers)


def add_requirements(
    connection: Connection, workflow_id: int, needs: Sequence[ResourceRequirements]
) -> list[ResourceRequirements]:
    """The same with their ids."""
    return _added(connection, t.resource_requirements, workflow_id, needs)


def _added(
    connection: Connection, table: Table, workflow_id: int, records: Sequence[Any]
) -> list[Any]:
    taken = ids.take(connection, table.name, len(records))
    made = [
        replace(record, id=record_id, workflow_id=workflow_id)
        for record_id, record in zip(taken, records, strict=True)
    ]
    if made:
        names = [each.name for each in fields(made[0])]
        rows = [{name: getattr(record, name) for name in names} for record in made]
        connection.execute(insert(table), rows)
    return made


_WAITING = (JobStatus.UNINITIALIZED, JobStatus.BLOCKED, JobStatus.DISABLED)
_COUNTED = select(func.count()).where(among(_J.id), ~has_status(t.job, *_WAITING))


def add_action(connection: Connection, action: Action, job_ids: Sequence[int]) -> Action:
    """An on_jobs_ready action; jobs that wait for nothing any more are counted at once."""
    counted = connection.execute(_COUNTED, {"ids": list(job_ids)}).scalar_one()
    (action_id,) = ids.take(connection, "workflow_action", 1)
    made = replace(action, id=action_id, trigger_count=counted, required_triggers=len(job_ids))
    row = {each.name: getattr(made, each.name) for each in fields(made)}
    row |= {"trigger_type": made.trigger_type.value, "action_type": made.action_type.value}
    connection.execute(insert(t.workflow_action).values(**row))
    gate = [{"action_id": action_id, "job_id": job_id} for job_id in job_ids]
    connection.execute(insert(t.action_job), gate)
    return made


# ── which jobs use them ──────────────────────────────────────────────────────

_CLASSES = (
    select(_C.id, _C.workflow_id, _C.priority, _C.resource_requirements_id, _C.scheduler_id)
    .join(t.job, _J.class_id == _C.id)
    .where(_OF_WORKFLOW, among(_J.id))
    .distinct()
    .order_by(_C.id)
)
_MOVE = (
    update(t.job)
    .where(_J.class_id == bindparam("old"), among(_J.id))
    .values(class_id=bindparam("new"))
)


def bind(
    connection: Connection,
    workflow_id: int,
    job_ids: Collection[int],
    scheduler_id: int | None,
    requirement_id: int | None,
) -> None:
    """Give jobs another scheduler, another requirement, or both; what is None stays."""
    values = {"workflow": workflow_id, "ids": list(job_ids)}
    for row in connection.execute(_CLASSES, values).all():
        wanted = {
            "workflow_id": workflow_id,
            "priority": row.priority,
            "resource_requirements_id": requirement_id or row.resource_requirements_id,
            "scheduler_id": scheduler_id or row.scheduler_id,
        }
        new = class_of(connection, wanted)
        if new != row.id:
            connection.execute(_MOVE, {"old": row.id, "new": new, "ids": list(job_ids)})


def rebind(connection: Connection, job: Job, parts: Mapping[str, Any]) -> None:
    """Give one job another class: its own with these columns in place of those it has."""
    kept = {"resource_requirements_id", "scheduler_id", "priority", "workflow_id"}
    wanted = {name: getattr(job, name) for name in kept} | dict(parts)
    new = class_of(connection, wanted)
    connection.execute(update(t.job).where(_J.id == job.id).values(class_id=new))


def class_of(connection: Connection, wanted: dict[str, Any]) -> int:
    """The class with these columns; made if there is none."""
    same = [
        _C[name].is_(None) if value is None else _C[name] == value for name, value in wanted.items()
    ]
    found = connection.execute(select(func.min(_C.id)).where(*same)).scalar()
    if found is not None:
        return int(found)
    (class_id,) = ids.take(connection, "job_class", 1)
    connection.execute(insert(t.job_class).values(id=class_id, **wanted))
    return class_id
