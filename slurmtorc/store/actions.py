"""Actions: when their triggers are counted, which are pending, and who takes one.

`trigger_count` is the number of jobs of the gate that have reached what the trigger waits for,
and `required_triggers` the number of jobs that are to reach it: all of the gate that are not
disabled. A job counts for `on_jobs_ready` when it stops waiting (ready, or canceled because
something it waited for failed), and for `on_jobs_complete` when its last attempt of the run has
ended. Triggers without a gate count 1: from the first run on, or once all jobs are over. The
counts move in the transaction that changes the jobs, so an action is pending exactly while its
condition holds. What must never happen: an action that two take, or one that is taken and of
which nobody knows by whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, case, exists, func, or_, select, update

from slurmtorc.errors import Conflict
from slurmtorc.model import COMPLETE, OPEN, Action, ActionType, JobStatus, TriggerType
from slurmtorc.rules.triggers import BY_GATE, LEFT_OUT, OF_WORKERS, no_retry
from slurmtorc.store import allocations, events, executions, records
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.dialect import locks_rows
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, ScalarSelect, Update

    from slurmtorc.model import ActionRun, Allocation

_A, _J, _R = t.workflow_action.c, t.job.c, t.action_run.c

_WAITING = (JobStatus.UNINITIALIZED, JobStatus.BLOCKED)
_REACHED = {
    TriggerType.ON_JOBS_READY: frozenset(JobStatus) - LEFT_OUT - {*_WAITING},
    TriggerType.ON_JOBS_COMPLETE: COMPLETE,
}
"""The statuses in which a job counts for a trigger."""

_OF_WORKFLOW = _A.workflow_id == bindparam("workflow")

# ── counting ─────────────────────────────────────────────────────────────────


def _jobs(*statuses: JobStatus) -> ScalarSelect[int]:
    """How many jobs of an action's gate have one of these statuses."""
    gate = (t.action_job.c.action_id == _A.id) & (t.action_job.c.job_id == _J.id)
    query = select(func.count()).select_from(t.action_job, t.job)
    return query.where(gate, has_status(t.job, *statuses)).scalar_subquery()


def _counted(trigger: TriggerType) -> Update:
    wanted = _jobs(*frozenset(JobStatus) - LEFT_OUT)
    return (
        update(t.workflow_action)
        .where(_OF_WORKFLOW, _A.trigger_type == trigger.value)
        .values(
            trigger_count=_jobs(*_REACHED[trigger]),
            required_triggers=case((wanted > 0, wanted), else_=1),  # without any job: never
        )
    )


_GATES = tuple(map(_counted, sorted(BY_GATE)))

_BEGUN = exists().where(t.workflow.c.id == bindparam("workflow"), t.workflow.c.run_id > 0)
_OPEN = exists().where(_J.workflow_id == bindparam("workflow"), has_status(t.job, *OPEN))
_OTHERS = (
    update(t.workflow_action)
    .where(_OF_WORKFLOW, _A.trigger_type.not_in(sorted(BY_GATE)))
    .values(
        trigger_count=case(
            (~_BEGUN, 0),
            (and_(_A.trigger_type == TriggerType.ON_WORKFLOW_COMPLETE.value, _OPEN), 0),
            else_=1,
        )
    )
)


def recount(connection: Connection, workflow_id: int) -> None:
    """Count every trigger anew from the jobs as they are now, and what it needs as well."""
    for statement in (*_GATES, _OTHERS):
        connection.execute(statement, {"workflow": workflow_id})


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


_LOCK_HIT = (
    select(_A.id)
    .where(
        _A.id.in_(select(t.action_job.c.action_id).where(among(t.action_job.c.job_id))),
        _A.trigger_type == bindparam("trigger"),
    )
    .order_by(_A.id)
    .with_for_update()
)


def count(connection: Connection, trigger: TriggerType, job_ids: Sequence[int]) -> None:
    """Jobs have reached what a trigger waits for."""
    if job_ids:
        if locks_rows(connection):  # in one order: nobody waits in a circle
            connection.execute(_LOCK_HIT, {"ids": job_ids, "trigger": trigger.value})
        connection.execute(_COUNT, {"ids": job_ids, "trigger": trigger.value})


_COMPLETE = (
    update(t.workflow_action)
    .where(_OF_WORKFLOW, _A.trigger_type == TriggerType.ON_WORKFLOW_COMPLETE.value)
    .values(trigger_count=1)
)


def completed(connection: Connection, workflow_id: int) -> None:
    """The last job of the workflow is over."""
    connection.execute(_COMPLETE, {"workflow": workflow_id})


# ── pending ──────────────────────────────────────────────────────────────────

_DUE = and_(_A.trigger_count >= _A.required_triggers, _A.executed.is_(False))
_HAPPENED = exists().where(t.action_run.c.action_id == _A.id)


_CURRENT_RUN = (
    select(t.workflow.c.run_id)
    .where(t.workflow.c.id == _A.workflow_id)
    .correlate(t.workflow_action)
    .scalar_subquery()
)
_DONE_BY_WORKER = _HAPPENED.where(_R.compute_node_id == bindparam("node"))
_DONE_IN_RUN = _HAPPENED.where(_R.compute_node_id.is_(None), _R.run_id == _CURRENT_RUN)

_DUE_FOR_WORKER = and_(_DUE, or_(_A.persistent.is_(False), ~_DONE_BY_WORKER))
"""A persistent action is due until this worker has executed it."""
_DUE_FOR_OTHERS = and_(
    _DUE,
    or_(_A.persistent.is_(False), ~_DONE_IN_RUN),
    _A.trigger_type.not_in(sorted(OF_WORKERS)),
)
"""Who is no worker executes it once in a run, and nothing that is about workers."""


def _due_for(compute_node_id: int | None) -> ColumnElement[bool]:
    return _DUE_FOR_OTHERS if compute_node_id is None else _DUE_FOR_WORKER


_KIND = records.KINDS[Action]
_OF_ALL = _KIND.select().where(_OF_WORKFLOW).order_by(_A.id)
_PENDING_FOR_WORKER = _OF_ALL.where(_DUE_FOR_WORKER)
_PENDING_FOR_OTHERS = _OF_ALL.where(_DUE_FOR_OTHERS)
"""Built once: every worker asks at every look."""


def pending(
    connection: Connection, workflow_id: int, compute_node_id: int | None = None
) -> list[Action]:
    """What this worker may take; without one: what somebody may who is no worker."""
    query = _PENDING_FOR_OTHERS if compute_node_id is None else _PENDING_FOR_WORKER
    values = {"workflow": workflow_id, "node": compute_node_id}
    found = connection.execute(query, values).mappings()
    return [_KIND.record_of(row) for row in found]


# ── taking one ───────────────────────────────────────────────────────────────

_CANCELED = exists().where(t.workflow.c.id == _A.workflow_id, t.workflow.c.is_canceled)
_ALLOWED = or_(~_CANCELED, _A.trigger_type == TriggerType.ON_WORKER_COMPLETE.value)
"""Nothing of a canceled workflow is done any more, but that its workers clear up."""


def claim(
    connection: Connection, action_id: int, by: ActionRun, intents: Sequence[Allocation], now: float
) -> ActionRun | None:
    """Take a pending action; its execution, begun, or None if it cannot be taken.

    With it the allocations are recorded that it asks for. Then nothing is left to do for the
    action itself, so its execution is over at once.
    """
    taken = _taken(connection, action_id, by.compute_node_id, now)
    if taken is None:
        return None
    run = executions.begin(connection, taken, by, now)
    allocations.intend(connection, intents, now)
    if taken.action_type is ActionType.SCHEDULE_NODES:
        executions.end(connection, run.id, 0, None, now)
    return run


_ROW = select(_A.id).where(_A.id == bindparam("action")).with_for_update()


def _taken(
    connection: Connection, action_id: int, node_id: int | None, now: float
) -> Action | None:
    """One update decides. A persistent action stays as it is: its executions tell who had it."""
    if node_id is not None and not _works(connection, node_id):
        return None
    connection.execute(_ROW, {"action": action_id})  # what others did to it is seen from here on
    change = update(t.workflow_action).where(_A.id == action_id, _due_for(node_id), _ALLOWED)
    values = {"executed": _A.persistent.is_(False), "executed_at": now, "executed_by": node_id}
    if connection.execute(change.values(**values), {"node": node_id}).rowcount == 0:
        return None
    return records.get(connection, Action, action_id)


def _works(connection: Connection, node_id: int) -> bool:
    """Whether a worker has not been given up; it is not while this transaction lasts."""
    node = t.compute_node.c
    query = select(node.id).where(node.id == node_id, node.is_active).with_for_update()
    return connection.execute(query).first() is not None


def supersede(connection: Connection, action_id: int, now: float) -> bool:
    """Something else does what an action would do: it does not fire; False if it has fired."""
    free = (_A.id == action_id) & _A.executed.is_(False)
    change = update(t.workflow_action).where(free).values(executed=True, executed_at=now)
    if connection.execute(change).rowcount == 0:
        return False
    action = records.get(connection, Action, action_id)
    events.write(
        connection, action.workflow_id, now, [("action_superseded", {"action_id": action_id})]
    )
    return True


# ── once more ────────────────────────────────────────────────────────────────


def retry(connection: Connection, action_id: int, now: float) -> Action:
    """An action that was executed may fire again at once. Raises Conflict."""
    connection.execute(_ROW, {"action": action_id})
    action = records.get(connection, Action, action_id)
    running = select(_R.id).where(_R.action_id == action_id, _R.end_time.is_(None))
    refusal = no_retry(action, runs=connection.execute(running).first() is not None)
    if refusal is not None:
        raise Conflict(f"action {action_id} {refusal}")
    again = {"executed": False, "executed_at": None, "executed_by": None}
    connection.execute(update(t.workflow_action).where(_A.id == action_id).values(**again))
    events.write(
        connection, action.workflow_id, now, [("action_rearmed", {"action_id": action_id})]
    )
    return records.get(connection, Action, action_id)
