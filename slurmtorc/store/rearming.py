"""Which actions may fire again in a run that begins: the rule of rules/triggers.py, set-based.

Everything that begins a run calls this, in its transaction, once the jobs have the statuses they
begin with. What must never happen: a way to begin a run that has a rule of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, exists, or_, true, update

from slurmtorc.model import JobStatus, TriggerType
from slurmtorc.rules import triggers
from slurmtorc.store import actions
from slurmtorc.store import schema as t
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

_J, _A = t.job.c, t.workflow_action.c


def _passed_again(trigger: TriggerType) -> ColumnElement[bool]:
    """Whether one of the jobs it is about has yet to reach what it waits for."""
    open_ones = frozenset(JobStatus) - triggers.PAST[trigger] - triggers.LEFT_OUT
    gate = exists().where(
        t.action_job.c.action_id == _A.id,
        t.action_job.c.job_id == _J.id,
        has_status(t.job, *open_ones),
    )
    return and_(_A.trigger_type == trigger.value, gate)


_AGAIN = or_(
    _A.trigger_type.in_(sorted(triggers.ALWAYS)), *map(_passed_again, sorted(triggers.BY_GATE))
)


def rearm(connection: Connection, workflow_id: int, *, anew: bool = False) -> None:
    """Actions whose moment comes again may fire again; those of an earlier recovery are gone.

    `anew`: it is a new lifetime of the workflow, so everything may.
    """
    mine = _A.workflow_id == workflow_id
    connection.execute(delete(t.workflow_action).where(mine, _A.is_recovery))
    again = update(t.workflow_action).where(mine, true() if anew else _AGAIN)
    connection.execute(again.values(executed=False, executed_at=None, executed_by=None))
    actions.recount(connection, workflow_id)
