"""What the watches of a workflow remember: who holds the lease, when it acted, and what it saw.

Everything a watch knows is here and not in its process, so that the next one goes on where it
was. Only the holder of the lease may change it: the condition is part of every statement, in
the transaction in which it acts.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, bindparam, func, insert, or_, select, update

from slurmtorc.errors import Conflict
from slurmtorc.model import Backlog, JobStatus, WatchState
from slurmtorc.store import schema as t
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from slurmtorc.model import Allocation, Decision

_W = t.watch.c
_FIELDS = tuple(field.name for field in fields(WatchState))
_OF_WORKFLOW = select(t.watch).where(_W.workflow_id == bindparam("workflow")).with_for_update()

_HOLDER = ("holder", "hostname", "pid", "lease_until")
_HOLD = (
    update(t.watch)
    .where(_W.workflow_id == bindparam("workflow"))
    .values({name: bindparam(f"b_{name}") for name in _HOLDER})
)


def hold(connection: Connection, me: WatchState, now: float) -> WatchState | None:
    """Take or renew the lease; None while somebody else's lasts."""
    row = connection.execute(_OF_WORKFLOW, {"workflow": me.workflow_id}).mappings().first()
    if row is None:
        first = {name: getattr(me, name) for name in _FIELDS} | {"since": now}
        connection.execute(insert(t.watch).values(**first))
        return WatchState(**first)
    if row["holder"] not in {"", me.holder} and row["lease_until"] > now:
        return None
    mine = {name: getattr(me, name) for name in _HOLDER}
    values = {f"b_{name}": value for name, value in mine.items()}
    connection.execute(_HOLD, {"workflow": me.workflow_id, **values})
    return WatchState(**{**row, **mine})


def leave(connection: Connection, workflow_id: int, holder: str) -> None:
    """Give the lease back."""
    mine = (_W.workflow_id == workflow_id) & (_W.holder == holder)
    connection.execute(update(t.watch).where(mine).values(holder="", lease_until=0.0))


def remember(connection: Connection, state: WatchState) -> None:
    """Store what a watch has done. Raises Conflict if the lease has gone to another."""
    mine = (_W.workflow_id == state.workflow_id) & (_W.holder == state.holder)
    names = ("since", "last_scheduled_at", "schedule_failures", "not_before", "recoveries")
    changes = {name: getattr(state, name) for name in names}
    if not connection.execute(update(t.watch).where(mine).values(**changes)).rowcount:
        raise Conflict(f"another watch has taken over workflow {state.workflow_id}")


def state(connection: Connection, workflow_id: int) -> WatchState | None:
    """What the watches of a workflow remember; None if there was none."""
    query = select(t.watch).where(_W.workflow_id == workflow_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else WatchState(**row)


def note(connection: Connection, decisions: Sequence[Decision], now: float) -> None:
    """Record decisions with their reasons."""
    rows: list[dict[str, Any]] = [
        {
            "workflow_id": each.workflow_id,
            "timestamp": now,
            "decision": each.decision,
            "reason": each.reason,
            "numbers": each.numbers,
        }
        for each in decisions
    ]
    if rows:
        connection.execute(insert(t.watch_decision), rows)


_NODE = t.compute_node.c
_SUSPECT = (
    update(t.compute_node)
    .where(
        _NODE.workflow_id.in_(bindparam("workflows", expanding=True)),
        _NODE.is_active,
        _NODE.lease_until < bindparam("now", type_=Double),
        _NODE.missed_since.is_(None),
    )
    .values(missed_since=bindparam("now", type_=Double))
)


def suspect(connection: Connection, workflow_ids: Sequence[int], now: float) -> None:
    """Note since when the leases of active workers have been seen run out."""
    connection.execute(_SUSPECT, {"workflows": workflow_ids, "now": now})


_JOB = t.job.c
_RETRIED = or_(_JOB.attempt_id > 1, _JOB.origin.is_not(None))
_BACKLOG = select(
    func.count(),
    func.count().filter(_RETRIED),
    func.min(_JOB.ready_since).filter(_RETRIED),
).where(_JOB.workflow_id == bindparam("workflow"), has_status(t.job, JobStatus.READY))


def backlog(connection: Connection, workflow_id: int) -> Backlog:
    """Ready jobs, and those among them that nobody has asked nodes for."""
    ready, retries, oldest = connection.execute(_BACKLOG, {"workflow": workflow_id}).one()
    return Backlog(ready=ready, retries=retries, oldest_retry=oldest)


_EVIDENCE = ("slurm_state", "slurm_reason", "absent_since", "absences", "final_state", "final_at")
_OBSERVE = (
    update(t.allocation)
    .where(t.allocation.c.id == bindparam("allocation"), t.allocation.c.final_state.is_(None))
    .values({name: bindparam(f"b_{name}") for name in _EVIDENCE})
)


def observe(connection: Connection, seen: Sequence[Allocation]) -> None:
    """Store what is believed of allocations. What has ended for good stays as it is."""
    rows = [
        {"allocation": each.id} | {f"b_{name}": getattr(each, name) for name in _EVIDENCE}
        for each in seen
    ]
    if rows:
        connection.execute(_OBSERVE, rows)
