"""Executions of actions: begun by a claim, ended by whoever executes, lost with a dead worker.

Every execution has a row from the transaction on in which its action was claimed. So whatever
dies afterwards, it can be told that something was begun and not ended; it is never done again
by itself. Beside actions.py, as the end of a worker (allocations.py) ends executions too.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from slurmtorc.store import events
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from typing import TypeAlias

    from sqlalchemy import Connection, Row

    from slurmtorc.model import Action, ActionRun

    AnyRow: TypeAlias = Row[*tuple[Any, ...]]

_R = t.action_run.c
_A = t.workflow_action.c

LOST = "lost: its worker ended in the middle of it"

_RUN_ID = select(t.workflow.c.run_id).where(t.workflow.c.id == bindparam("workflow"))
_INSERT = insert(t.action_run).returning(_R.id)
_ENDED = (
    update(t.action_run)
    .where(_R.end_time.is_(None))
    .values(end_time=bindparam("now"), return_code=bindparam("code"), reason=bindparam("why"))
    .returning(_R.id, _R.action_id, _R.workflow_id, _R.hostname)
)
_END = _ENDED.where(_R.id == bindparam("execution"))
_LOSE = _ENDED.where(_R.compute_node_id == bindparam("node"))
_ACTION = select(_A.trigger_type, _A.action_type).where(_A.id == bindparam("action"))


def begin(connection: Connection, action: Action, run: ActionRun, now: float) -> ActionRun:
    """Record an execution; the same with its id and its run."""
    run_id = connection.execute(_RUN_ID, {"workflow": action.workflow_id}).scalar_one()
    fresh = replace(run, workflow_id=action.workflow_id, run_id=run_id, start_time=now)
    row = {each.name: getattr(fresh, each.name) for each in fields(fresh) if each.name != "id"}
    begun = replace(fresh, id=connection.execute(_INSERT, row).scalar_one())
    what = {"trigger_type": action.trigger_type.value, "action_type": action.action_type.value}
    data = {"action_id": action.id, "execution_id": begun.id, "hostname": begun.hostname, **what}
    events.write(connection, action.workflow_id, now, [("action_started", data)])
    return begun


def end(
    connection: Connection,
    execution_id: int,
    return_code: int | None,
    reason: str | None,
    now: float,
) -> bool:
    """Record how an execution ended; False if that was recorded before."""
    values = {"execution": execution_id, "code": return_code, "why": reason, "now": now}
    ended = connection.execute(_END, values).first()
    if ended is not None:
        _tell(connection, ended, return_code, reason, now)
    return ended is not None


def lose(connection: Connection, node_id: int, now: float) -> None:
    """A worker is over: what it was executing is lost."""
    values = {"node": node_id, "code": None, "why": LOST, "now": now}
    for row in connection.execute(_LOSE, values).all():
        _tell(connection, row, None, LOST, now)


def _tell(
    connection: Connection, row: AnyRow, return_code: int | None, reason: str | None, now: float
) -> None:
    action = connection.execute(_ACTION, {"action": row.action_id}).one()
    data = {
        "action_id": row.action_id,
        "execution_id": row.id,
        "hostname": row.hostname,
        "trigger_type": action.trigger_type,
        "action_type": action.action_type,
        "return_code": return_code,
        "reason": reason,
    }
    what = "action_completed" if return_code == 0 else "action_failed"
    events.write(connection, row.workflow_id, now, [(what, data)])
