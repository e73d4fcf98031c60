"""How statements speak of statuses: as numbers in their text, never as parameters.

So both databases see which index suffices, and keep a plan for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, FromClause

    from slurmtorc.model import JobStatus


def has_status(table: FromClause, *statuses: JobStatus) -> ColumnElement[bool]:
    """Whether a job has one of these statuses, written out rather than bound.

    So both databases see which index suffices, and nothing has to be expanded at each call. A
    single status is an equation: SQLite takes a partial index for nothing else.
    """
    numbers = [literal(status) for status in sorted(statuses)]
    status = table.c.status
    return status == numbers[0] if len(numbers) == 1 else status.in_(numbers)


def literal(status: JobStatus) -> ColumnElement[int]:
    """A status as a number in the statement's text."""
    return literal_column(str(int(status)))


ONE: ColumnElement[int] = literal_column("1")
"""For `limit`. Where that is a parameter, Postgres expects many rows and plans anew each time."""


def written(statuses: Iterable[JobStatus]) -> str:
    """The same for a statement that is a text: what stands between the brackets of IN."""
    return ", ".join(str(int(status)) for status in sorted(statuses))
