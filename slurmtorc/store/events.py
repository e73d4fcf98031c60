"""Event rows: written by the transaction whose change they tell of, relayed by whoever likes.

One event tells of one attempt's start or end; what happens to many jobs at once (ready,
canceled by a cascade) is one event with their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert

from slurmtorc.store import schema as t
from slurmtorc.store.dialect import ring
from slurmtorc.store.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

NEWS = frozenset(
    {
        *("jobs_ready", "jobs_released", "job_retried", "jobs_reset"),
        *("workflow_started", "workflow_rerun", "workflow_canceled", "workflow_completed"),
    }
)
"""What those wait for who have nothing to do: somebody rings when it is committed."""

_INSERT = Prepared(
    insert(t.event).values(
        {name: bindparam(name) for name in ("workflow_id", "timestamp", "type", "data")}
    )
)


def write(
    connection: Connection,
    workflow_id: int,
    now: float,
    happened: Iterable[tuple[str, Mapping[str, Any]]],
) -> None:
    """Record (type, data) pairs of one workflow."""
    rows = [
        {"workflow_id": workflow_id, "timestamp": now, "type": kind, "data": data}
        for kind, data in happened
    ]
    if rows:
        _INSERT.many(connection, rows)
        if any(row["type"] in NEWS for row in rows):
            ring(connection)
