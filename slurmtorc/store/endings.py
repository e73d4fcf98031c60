"""How a transaction ends, for both kinds of database: kept if all went well, else undone.

Apart from them because it is the same in both. The statements of hot verbs are the driver's
(prepared.py), so SQLAlchemy may not know that there is a transaction; where it does, because
another statement was executed through it, it must hear of the end.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@contextmanager
def ending(connection: Connection) -> Iterator[None]:
    """Commit what was executed inside, or roll it back and let the error pass."""
    try:
        yield
        (connection if connection.in_transaction() else connection.connection).commit()
    except BaseException:
        with suppress(Exception):  # of a connection that is lost: the first error tells more
            (connection if connection.in_transaction() else connection.connection).rollback()
        raise
