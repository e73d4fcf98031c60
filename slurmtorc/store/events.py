"""Event rows: written by the transaction whose change they tell of, relayed by whoever likes.

One event tells of one attempt's start or end; what happens to many jobs at once (ready,
canceled by a cascade) is one event with their ids.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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
    texts={
        "sqlite": "INSERT INTO event (workflow_id, timestamp, type, data) "
        "SELECT :workflow, :now, json_extract(value, '$[0]'), json_extract(value, '$[1]') "
        "FROM json_each(:rows)",
        "postgresql": "INSERT INTO event (workflow_id, timestamp, type, data) "
        "SELECT CAST(:workflow AS bigint), CAST(:now AS double precision), one ->> 0, one -> 1 "
        "FROM json_array_elements(CAST(:rows AS json)) AS one",
    }
)
"""All in one statement, in their order: to count ids costs SQLite as much as to insert."""


def write(
    connection: Connection,
    workflow_id: int,
    now: float,
    happened: Iterable[tuple[str, Mapping[str, Any]]],
) -> None:
    """Record (type, data) pairs of one workflow."""
    rows = list(happened)
    if rows:
        _INSERT(connection, {"workflow": workflow_id, "now": now, "rows": json.dumps(rows)})
        if any(kind in NEWS for kind, _ in rows):
            ring(connection)
