"""A look at where a workflow stands that costs no more than SQLite itself.

To import SQLAlchemy takes a quarter of a second, which is far longer than any of the questions
behind a status. So this module reads a SQLite file with Python's own driver, by the statements
that SQLAlchemy has written of overview.py beforehand, in overview.sql. Whatever is not as it
should be (an older schema, a network file system, an error) is left to SqlStore, which also knows
what to say of it. What must never happen: an answer that differs from SqlStore's, or a write.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slurmtorc.errors import NotFound
from slurmtorc.model import (
    AllocationStatus,
    Ending,
    Failure,
    JobStatus,
    Mishap,
    Overview,
    Progress,
    TriggerType,
)
from slurmtorc.store import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRITTEN = Path(__file__).with_name("overview.sql")


class Ask(Protocol):
    """Asks one of overview.py's questions."""

    def __call__(self, question: str, **values: int) -> Sequence[Any]:
        """The rows."""


def glance(url: str, workflow_id: int) -> Overview | None:
    """Where a workflow stands; None if SqlStore must be asked. Raises NotFound."""
    path = url.removeprefix("sqlite:///")
    if path == url or "?" in path or not os.path.isfile(path):  # noqa: PTH113  '' is none
        return None
    if place.kind_of(Path(path).parent) in place.NETWORK_TYPES:
        return None
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return _seen(connection, workflow_id)
    except sqlite3.Error:
        return None


def _seen(connection: sqlite3.Connection, workflow_id: int) -> Overview | None:
    questions = _written()

    def ask(question: str, **values: int) -> list[Any]:
        return connection.execute(questions[question], values).fetchall()

    connection.execute("BEGIN")  # all of it at one moment
    return overview(ask, workflow_id) if ask("schema") else None


def _written() -> dict[str, str]:
    """The statements of overview.sql by their names."""
    parts = WRITTEN.read_text(encoding="utf-8").split("-- ")[1:]
    return {name: statement for name, _, statement in (part.partition("\n") for part in parts)}


def overview(ask: Ask, workflow_id: int) -> Overview:
    """The answers put together, whoever was asked. Raises NotFound."""
    found = ask("workflow", workflow=workflow_id)
    if not found:
        raise NotFound(f"there is no workflow {workflow_id}")
    name, user, run_id, is_canceled, workers = found[0]
    (numbers,) = ask("jobs", workflow=workflow_id)
    counts = {status: n for status, n in zip(JobStatus, numbers, strict=True) if n}
    allocations = ask("allocations", workflow=workflow_id)
    return Overview(
        name=name,
        user=user,
        progress=Progress(
            workflow_id=workflow_id, run_id=run_id, counts=counts, is_canceled=bool(is_canceled)
        ),
        allocations={AllocationStatus(status): n for status, n in allocations},
        active_workers=workers,
        failures=tuple(map(_failure, ask("failures", workflow=workflow_id))),
        mishaps=_mishaps(ask("actions", workflow=workflow_id, run=run_id)),
    )


def _failure(row: Iterable[Any]) -> Failure:
    job_id, name, attempt_id, return_code, status, ending, *rest = row
    return Failure(job_id, name, attempt_id, return_code, JobStatus(status), Ending(ending), *rest)


def _mishaps(rows: Iterable[Any]) -> tuple[Mishap, ...]:
    """Of each action the last execution, if that failed; of a persistent one any that did."""
    bad: dict[int, Mishap] = {}
    for action_id, trigger, persistent, end_time, return_code, reason, log_path in rows:
        if end_time is not None and return_code != 0:
            bad[action_id] = Mishap(
                action_id, TriggerType(trigger), bool(persistent), return_code, reason, log_path
            )
        elif not persistent:
            bad.pop(action_id, None)
    return tuple(bad.values())
