"""Blocks of ids: taken before the rows are written, so that links need no asking back.

An id is never given out twice, not even after its row was deleted: a log file or a late report
that names it can only ever mean one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

_TAKE = text(
    "INSERT INTO id_block (kind, next_id) VALUES (:kind, :count + 1) "
    "ON CONFLICT (kind) DO UPDATE SET next_id = id_block.next_id + :count "
    "RETURNING next_id"
)


def take(connection: Connection, kind: str, count: int) -> range:
    """The next `count` ids of one kind of row."""
    if not count:
        return range(0)
    end: int = connection.execute(_TAKE, {"kind": kind, "count": count}).scalar_one()
    return range(end - count, end)
