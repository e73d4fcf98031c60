"""Prepared statements straight to a Postgres server: the driver's protocol without its cursors.

A cursor of the driver costs more than the server needs for a statement of ours: it looks at the
query, at each value and at the answer anew each time. Here the statement is prepared once for
each connection and its values are given as text. The driver still waits, converts what comes
back, knows the state of the transaction, and makes the errors. Imported only where there is a
Postgres, as its driver is an extra.
"""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Any

from psycopg import DataError
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.generators import execute as answers
from psycopg.pq import ExecStatus, TransactionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_KNOWN = "prepared by us"
"""Among what is known of a connection: the statements it has, and their names there."""
_names = map(f"torc_{secrets.token_hex(4)}_{{}}".format, itertools.count(1))
"""Nobody else's, not even behind a pool that gives one connection to several processes."""
OUTDATED = ("26000", "0A000")
"""The server has forgotten a statement, or a table has changed since it was prepared."""


def execute(connection: Connection, statement: str, values: Sequence[Any]) -> list[Any]:
    """Execute a statement whose values are $1, $2, …; its rows, if it gives any."""
    driver: Any = connection.connection.driver_connection
    given = [None if value is None else _written(value) for value in values]
    if driver.pgconn.transaction_status == TransactionStatus.IDLE:
        say(connection, b"BEGIN")
    name = _prepared(connection, driver, statement)
    driver.pgconn.send_query_prepared(name, given)
    try:
        answer = _answer(driver)
    except driver.Error as error:
        if error.sqlstate in OUTDATED:
            del connection.info[_KNOWN]
        raise
    if answer.status != ExecStatus.TUPLES_OK:
        return []
    reader = Transformer(driver)
    reader.set_pgresult(answer)
    return reader.load_rows(0, answer.ntuples, tuple)


def say(connection: Connection, words: bytes) -> None:
    """Execute a statement without values; outside of a transaction it is one of its own."""
    driver: Any = connection.connection.driver_connection
    driver.pgconn.send_query(words)
    _answer(driver)


def _prepared(connection: Connection, driver: Any, statement: str) -> bytes:
    """The name of a statement on this connection."""
    known: dict[str, bytes] = connection.info.setdefault(_KNOWN, {})
    if statement not in known:
        name = next(_names).encode()
        driver.pgconn.send_prepare(name, statement.encode())
        _answer(driver)
        known[statement] = name
    return known[statement]


def _answer(driver: Any) -> Any:
    """What the server says to what was sent. Raises the driver's error."""
    answer = driver.wait(answers(driver.pgconn))[-1]
    if answer.status not in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
        raise error_from_result(answer)
    return answer


def _written(value: Any) -> bytes:
    """A value as Postgres reads it."""
    if isinstance(value, str):
        if "\0" in value:  # the text would end there
            raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return value.encode()
    if isinstance(value, list):
        return ("{" + ",".join(map(str, value)) + "}").encode()
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return repr(value if isinstance(value, float) else int(value)).encode()
