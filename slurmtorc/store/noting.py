"""What was done to the store itself, and when: rows of `upkeep`, one for each kind of care."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, text

from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from sqlalchemy import Connection

WHOLE_STORE = 0
"""The subject of care that is not of one workflow."""

_U = t.upkeep.c
_NOTE = text(
    "INSERT INTO upkeep (what, subject, at, detail) VALUES (:what, :subject, :at, :detail) "
    "ON CONFLICT (what, subject) DO UPDATE SET at = excluded.at, detail = excluded.detail "
    "WHERE upkeep.at <= :before"
)


def note(
    connection: Connection,
    what: str,
    now: float,
    *,
    detail: str | None = None,
    subject: int = WHOLE_STORE,
    before: float | None = None,
) -> bool:
    """Something was done now; False if it had been done since `before` already."""
    values = {"what": what, "subject": subject, "at": now, "detail": detail}
    last = now if before is None else before
    return bool(connection.execute(_NOTE, values | {"before": last}).rowcount)


def last(connection: Connection) -> dict[str, tuple[float, str | None]]:
    """What was done to the whole store -> when last, and what came of it."""
    query = select(_U.what, _U.at, _U.detail).where(_U.subject == WHOLE_STORE)
    return {row.what: (row.at, row.detail) for row in connection.execute(query)}


def subjects(connection: Connection, what: str) -> list[int]:
    """The workflows for which something is noted."""
    query = select(_U.subject).where(_U.what == what).order_by(_U.subject)
    return list(connection.execute(query).scalars())


def forget(connection: Connection, what: str, subject: int) -> None:
    """It is over."""
    connection.execute(delete(t.upkeep).where(_U.what == what, _U.subject == subject))
