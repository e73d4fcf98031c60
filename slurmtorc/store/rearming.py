"""Which actions may fire again in a run that begins: the rule of rules/triggers.py, set-based.

Everything that begins a run calls this, in its transaction, once the jobs have the statuses they
begin with. What must never happen: a way to begin a run that has a rule of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, exists, or_, true, update

from slurmtorc.model import COMPLETE
from slurmtorc.rules import triggers
from slurmtorc.store import actions
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from sqlalchemy import Connection

_J, _A = t.job.c, t.workflow_action.c

_UNFINISHED_GATE = exists().where(
    t.action_job.c.action_id == _A.id,
    t.action_job.c.job_id == _J.id,
    ~t.has_status(t.job, *COMPLETE),
)


def rearm(connection: Connection, workflow_id: int, *, anew: bool = False) -> None:
    """Actions whose moment comes again may fire again; those of an earlier recovery are gone.

    `anew`: it is a new lifetime of the workflow, so everything may.
    """
    mine = _A.workflow_id == workflow_id
    connection.execute(delete(t.workflow_action).where(mine, _A.is_recovery))
    always = _A.trigger_type.in_(sorted(triggers.ALWAYS))
    gated = and_(_A.trigger_type.in_(sorted(triggers.BY_GATE)), _UNFINISHED_GATE)
    again = update(t.workflow_action).where(mine, true() if anew else or_(always, gated))
    connection.execute(again.values(executed=False, executed_at=None, executed_by=None))
    actions.recount(connection, workflow_id)
