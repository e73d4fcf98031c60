"""Actions: when their triggers are counted, which are pending, and who takes one.

A job counts for `on_jobs_ready` when it stops waiting (ready, or canceled because something it
waited for failed), and for `on_jobs_complete` when its last attempt of the run has ended. Both
counts move in the transaction that changes the jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, func, select, text, update

from slurmtorc.model import COMPLETE, Action, Allocation, JobStatus, TriggerType
from slurmtorc.store import allocations, records
from slurmtorc.store import schema as t
from slurmtorc.store.among import among

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

_A = t.workflow_action.c

_KIND = records.KINDS[Action]
_PENDING = (
    _KIND.select()
    .where(
        _A.workflow_id == bindparam("workflow"),
        _A.trigger_count >= _A.required_triggers,
        _A.executed.is_(False),
    )
    .order_by(_A.id)
)

_WAITING = (JobStatus.UNINITIALIZED, JobStatus.BLOCKED, JobStatus.DISABLED)

_RECOUNT = """
UPDATE workflow_action SET trigger_count =
  (SELECT count(*) FROM action_job JOIN job ON job.id = action_job.job_id
   WHERE action_job.action_id = workflow_action.id AND {condition})
WHERE workflow_id = :workflow AND trigger_type = :trigger
"""

_HIT = (
    select(t.action_job.c.action_id, func.count().label("jobs"))
    .where(among(t.action_job.c.job_id))
    .group_by(t.action_job.c.action_id)
    .subquery("hit")
)
_COUNT = (
    update(t.workflow_action)
    .values(trigger_count=_A.trigger_count + _HIT.c.jobs)
    .where(_A.id == _HIT.c.action_id, _A.trigger_type == bindparam("trigger"))
)


def recount(connection: Connection, workflow_id: int) -> None:
    """Count every trigger anew from the jobs' statuses; the start of the run counts at once."""
    conditions = {
        TriggerType.ON_JOBS_READY: f"job.status NOT IN ({_listed(_WAITING)})",
        TriggerType.ON_JOBS_COMPLETE: f"job.status IN ({_listed(COMPLETE)})",
    }
    for trigger, condition in conditions.items():
        statement = text(_RECOUNT.format(condition=condition))
        connection.execute(statement, {"workflow": workflow_id, "trigger": trigger.value})
    started = (_A.workflow_id == workflow_id) & (_A.trigger_type == TriggerType.ON_WORKFLOW_START)
    connection.execute(update(t.workflow_action).where(started).values(trigger_count=1))


def _listed(statuses: Collection[JobStatus]) -> str:
    return ", ".join(str(int(status)) for status in sorted(statuses))


def count(connection: Connection, trigger: TriggerType, job_ids: Sequence[int]) -> None:
    """Jobs have reached what a trigger waits for."""
    if job_ids:
        connection.execute(_COUNT, {"ids": job_ids, "trigger": trigger.value})


def pending(connection: Connection, workflow_id: int) -> list[Action]:
    """Actions whose trigger condition holds and that nobody has claimed."""
    found = connection.execute(_PENDING, {"workflow": workflow_id}).mappings()
    return [_KIND.record_of(row) for row in found]


_CANCELED = exists().where(t.workflow.c.id == _A.workflow_id, t.workflow.c.is_canceled)
_CLAIM = (
    update(t.workflow_action)
    .where(_A.id == bindparam("action"), _A.executed.is_(False), ~_CANCELED)
    .values(
        executed=True,
        executed_at=bindparam("b_executed_at"),
        executed_by=bindparam("b_executed_by"),
    )
)


def claim(
    connection: Connection,
    action_id: int,
    compute_node_id: int | None,
    intents: Sequence[Allocation],
    now: float,
) -> list[Allocation] | None:
    """Take an action, with the allocations it is about to ask for; None if it is taken.

    Nothing of a canceled workflow can be taken.
    """
    values = {"action": action_id, "b_executed_at": now, "b_executed_by": compute_node_id}
    taken = connection.execute(_CLAIM, values)
    return allocations.intend(connection, intents, now) if taken.rowcount else None
