"""Allocations and workers: intended, submitted, active, closed; registered, alive, retired."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Update, bindparam, func, insert, select, update

from slurmtorc.errors import Conflict
from slurmtorc.model import Allocation, AllocationStatus, ComputeNode
from slurmtorc.store import events, executions, records
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALLOCATION = t.allocation.c
_NODE = t.compute_node.c


def _row(record: Any) -> dict[str, Any]:
    names = (field.name for field in fields(record) if field.name != "id")
    return {name: getattr(record, name) for name in names}


# ── allocations ──────────────────────────────────────────────────────────────


_INTEND = insert(t.allocation).returning(_ALLOCATION.id)


def intend(connection: Connection, intents: Sequence[Allocation], now: float) -> list[Allocation]:
    """Record allocations before Slurm knows them."""
    recorded = []
    for intent in intents:
        fresh = replace(intent, status=AllocationStatus.INTENDED, created_at=now)
        number = connection.execute(_INTEND, _row(fresh)).scalar_one()
        recorded.append(replace(fresh, id=number))
    for allocation in recorded:
        data = {"allocation_id": allocation.id, "token": allocation.token}
        events.write(connection, allocation.workflow_id, now, [("allocation_intended", data)])
    return recorded


_ASK = (
    update(t.allocation)
    .where(
        _ALLOCATION.id == bindparam("allocation"),
        _ALLOCATION.status == AllocationStatus.INTENDED,
        _ALLOCATION.asked_at.is_(None) | (_ALLOCATION.asked_at < bindparam("stale_before")),
    )
    .values(asked_at=bindparam("b_asked_at"))
)


def asking(connection: Connection, allocation_id: int, stale_before: float, now: float) -> bool:
    """Mark an intent as being asked for, unless somebody has done so since `stale_before`."""
    values = {"allocation": allocation_id, "stale_before": stale_before, "b_asked_at": now}
    return bool(connection.execute(_ASK, values).rowcount)


def submitted(
    connection: Connection, allocation_id: int, slurm_job_id: int, now: float
) -> Allocation:
    """Slurm has given it an id. A worker may already have made it active."""
    allocation = _locked(connection, allocation_id)
    if allocation.scheduler_id not in {None, slurm_job_id}:
        message = f"allocation {allocation_id} is Slurm job {allocation.scheduler_id}"
        raise Conflict(f"{message}, it cannot also be {slurm_job_id}")
    changes: dict[str, Any] = {"scheduler_id": slurm_job_id, "submitted_at": now}
    if allocation.status is AllocationStatus.INTENDED:
        changes["status"] = AllocationStatus.PENDING
    return _changed(connection, allocation, "allocation_submitted", now, changes)


def closed(
    connection: Connection, allocation_id: int, reason: str | None, now: float
) -> Allocation:
    """It is over, or never came to be. Closing a closed one changes nothing."""
    allocation = _locked(connection, allocation_id)
    if allocation.status is AllocationStatus.COMPLETE:
        return allocation
    changes = {"status": AllocationStatus.COMPLETE, "ended_at": now, "reason": reason}
    return _changed(connection, allocation, "allocation_closed", now, changes)


_LOCK = select(_ALLOCATION.id).where(_ALLOCATION.id == bindparam("allocation")).with_for_update()


def _locked(connection: Connection, allocation_id: int) -> Allocation:
    connection.execute(_LOCK, {"allocation": allocation_id})
    return records.get(connection, Allocation, allocation_id)


@cache
def _change(names: tuple[str, ...]) -> Update:
    """Of these columns of one allocation; there are as many as there are verbs."""
    values: dict[str, Any] = {name: bindparam(f"b_{name}") for name in names}
    return update(t.allocation).where(_ALLOCATION.id == bindparam("allocation")).values(values)


def _changed(
    connection: Connection, allocation: Allocation, what: str, now: float, changes: dict[str, Any]
) -> Allocation:
    values = {f"b_{name}": value for name, value in changes.items()}
    connection.execute(_change(tuple(changes)), {"allocation": allocation.id, **values})
    after = replace(allocation, **changes)
    data = {
        "allocation_id": after.id,
        "slurm_job_id": after.scheduler_id,
        "status": after.status.value,
        "reason": after.reason,
    }
    events.write(connection, after.workflow_id, now, [(what, data)])
    return after


# ── workers ──────────────────────────────────────────────────────────────────


_REGISTER = insert(t.compute_node).returning(_NODE.id)


_RUN = (
    select(t.workflow.c.run_id)
    .where(t.workflow.c.id == bindparam("workflow"))
    .with_for_update(read=True)
)


def _refuse_other_run(connection: Connection, workflow_id: int, run_id: int | None) -> None:
    """Raise Conflict if another run was begun; none is begun while this transaction lasts."""
    if run_id is None:
        return
    now = connection.execute(_RUN, {"workflow": workflow_id}).scalar()
    if now != run_id:
        message = f"run {now} of workflow {workflow_id} was begun meanwhile"
        raise Conflict(f"{message}; this worker came for run {run_id}, and ends")


def register(
    connection: Connection, node: ComputeNode, now: float, *, run_id: int | None = None
) -> ComputeNode:
    """Record a new worker; its allocation is active from now on.

    A worker whose allocation is closed, or known under another Slurm id, is one too many: it is
    refused, and must end without touching a job.
    """
    _refuse_other_run(connection, node.workflow_id, run_id)
    allocation = _joined(connection, node)
    fresh = replace(node, start_time=now, heartbeat=now, is_active=True)
    recorded = replace(fresh, id=connection.execute(_REGISTER, _row(fresh)).scalar_one())
    data = {"compute_node_id": recorded.id, "hostname": recorded.hostname}
    events.write(connection, recorded.workflow_id, now, [("compute_node_started", data)])
    if allocation is not None and allocation.status is not AllocationStatus.ACTIVE:
        changes = {"status": AllocationStatus.ACTIVE, "scheduler_id": recorded.slurm_job_id}
        _changed(connection, allocation, "allocation_active", now, changes)
    return recorded


def _joined(connection: Connection, node: ComputeNode) -> Allocation | None:
    if node.allocation_id is None:
        return None
    allocation = _locked(connection, node.allocation_id)
    if allocation.status is AllocationStatus.COMPLETE:
        why = f" ({allocation.reason})" if allocation.reason else ""
        raise Conflict(f"allocation {allocation.id} is closed{why}; its worker has nothing to do")
    if allocation.scheduler_id not in {None, node.slurm_job_id}:
        message = f"allocation {allocation.id} is Slurm job {allocation.scheduler_id}"
        raise Conflict(f"{message}; Slurm job {node.slurm_job_id} is one too many")
    return allocation


_ALIVE = (_NODE.id == bindparam("node")) & _NODE.is_active
_BEAT = (
    update(t.compute_node)
    .where(_ALIVE)
    .values(
        heartbeat=bindparam("b_heartbeat"),
        lease_until=bindparam("b_lease_until"),
        missed_since=None,
    )
)
_RETIRE = (
    update(t.compute_node).where(_ALIVE).values(is_active=False, end_time=bindparam("b_end_time"))
)


def heartbeat(connection: Connection, compute_node_id: int, lease_until: float, now: float) -> bool:
    """Renew a lease that has not been given up."""
    values = {"node": compute_node_id, "b_heartbeat": now, "b_lease_until": lease_until}
    return bool(connection.execute(_BEAT, values).rowcount)


def retire(connection: Connection, compute_node_id: int, now: float) -> None:
    """The worker has ended; so has its allocation, if it was the last of it."""
    values = {"node": compute_node_id, "b_end_time": now}
    if not connection.execute(_RETIRE, values).rowcount:
        return
    node = records.get(connection, ComputeNode, compute_node_id)
    executions.lose(connection, compute_node_id, now)
    data = {"compute_node_id": node.id, "hostname": node.hostname}
    events.write(connection, node.workflow_id, now, [("compute_node_stopped", data)])
    if node.allocation_id is not None and _all_gone(connection, node.allocation_id):
        end = records.get(connection, Allocation, node.allocation_id).final_state
        closed(connection, node.allocation_id, end.value if end else None, now)


# One worker may command several nodes.
_CAME = select(func.sum(_NODE.num_nodes), func.count().filter(_NODE.is_active)).where(
    _NODE.allocation_id == bindparam("allocation")
)


def _all_gone(connection: Connection, allocation_id: int) -> bool:
    """Whether every worker of an allocation has come, and gone again."""
    allocation = _locked(connection, allocation_id)
    came, left = connection.execute(_CAME, {"allocation": allocation_id}).one()
    return bool(came >= allocation.nodes and not left)
