"""Postgres: a server, whose writers meet at rows."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text

from slurmtorc.errors import StoreBusy, StoreError, StoreFull, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.engine import URL


_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""A server whose host has vanished is noticed within a minute (seconds; the last one is in
milliseconds): a worker that waited longer could miss its allocation's end."""


POOL = 2
"""Connections that a process keeps: one for its verbs, one that hears of news. As many more come
when several of its threads ask at once; whoever wants another one waits."""


class Postgres:
    """A Postgres server. Rows are locked by the statements that need it."""

    def __init__(self, url: URL) -> None:
        self.url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.shown_url = url.set(drivername="postgresql").render_as_string(hide_password=True)
        try:
            self.engine = create_engine(
                url.set(drivername="postgresql+psycopg"),
                pool_size=POOL,
                max_overflow=POOL,
                pool_pre_ping=True,
                connect_args=_PATIENCE,
            )
        except ImportError:
            remedy = "pip install 'slurmtorc[postgres]'"
            raise StoreRefused(f"{self.shown_url} needs the psycopg package: {remedy}") from None
        event.listen(self.engine, "connect", _without_compiling)

    @contextmanager
    def writing(self, connection: Connection, *, durable: bool) -> Iterator[None]:  # noqa: ARG002
        """Every commit is durable here, and writers meet at rows, not at the door."""
        yield

    def load(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
    ) -> None:
        """COPY: an order of magnitude faster than INSERT."""
        driver: Any = connection.connection
        names = ", ".join(f'"{name}"' for name in columns)
        statement = f"COPY {table.name} ({names}) FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def stamp(self, connection: Connection) -> object:
        """Which transactions are over: it moves with every writer of the server that ends."""
        return connection.execute(text("SELECT pg_current_snapshot()::text")).scalar()

    def translated(self, error: BaseException) -> StoreError:
        """By SQLSTATE, or by the lost connection."""
        message = " ".join(str(error).split())
        state = getattr(error, "sqlstate", None) or _state_of_refusal(message)
        for prefix, kind, remedy in _POSTGRES_ERRORS:
            if state.startswith(prefix):
                return kind(f"{self.shown_url}: {message}; {remedy}")
        return StoreError(f"{self.shown_url}: {message}")

    def close(self) -> None:
        """Give back connections."""
        self.engine.dispose()


def _without_compiling(connection: Any, _record: object) -> None:
    """Compiling a statement takes the server longer than running any of ours."""
    connection.execute("SET jit = off")
    connection.commit()


def _state_of_refusal(message: str) -> str:
    """The SQLSTATE of a connection that was never made: the driver only passes on the text."""
    if re.search("authentication|password|role .* does not exist", message):
        return "28000"
    return "3D000" if re.search("database .* does not exist", message) else "08001"


_POSTGRES_ERRORS: tuple[tuple[str, type[StoreError], str], ...] = (
    ("28", StoreRefused, "check the user and password in --url, or ~/.pgpass"),
    ("3D000", StoreRefused, "make the database first: createdb NAME"),
    ("42501", StoreRefused, "ask the database's owner for the right to create and write tables"),
    ("53100", StoreFull, "the server's disk is full; nothing of this step was stored"),
    ("25006", StoreRefused, "the server is read-only; name the primary server in --url"),
    ("40", StoreBusy, "two writers met; try again"),
    ("55P03", StoreBusy, "another process holds a lock; try again"),
    ("57P", StoreUnavailable, "the server is restarting; try again"),
    ("08", StoreUnavailable, "check that the server runs at that host and port"),
    ("53", StoreUnavailable, "the server is short of a resource; try again"),
)
