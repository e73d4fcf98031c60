"""Postgres: a server, whose writers meet at rows."""

from __future__ import annotations

import math
import re
import select
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from slurmtorc.errors import StoreBusy, StoreError, StoreFull, StoreRefused, StoreUnavailable
from slurmtorc.store.endings import ending
from slurmtorc.store.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.engine import URL

CHANNEL = "torc"
"""What writers ring and waiting workers listen to, of whichever workflow."""
RINGS = "rings"
"""Among what is known of a connection: whether its transaction has news."""
_RING = f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{CHANNEL}', '')".encode()
SNAPSHOT_S = 1.0
"""How often the server is asked by those that listen."""
DEAD_ROWS = "dead rows"
"""Under this a connection knows the tables that its transaction has left many in."""

_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""A server whose host has vanished is noticed within a minute (seconds; the last one is in
milliseconds): a worker that waited longer could miss its allocation's end."""

_OURS_ALONE = {"prepare_threshold": None}
"""The driver prepares no statements: after a rollback it would have the server forget all that
there are, ours too (postgres_wire.py)."""

POOL = 2
"""Connections that a process keeps: one for its verbs, one that hears of news. As many more come
when several of its threads ask at once; whoever wants another one waits."""


KEPT = 1
"""How many of them are kept at hand, beside the pool."""
FRESH_S = 5.0
"""For so long a connection at hand is trusted that has not been heard to end."""


class Postgres:
    """A Postgres server. Rows are locked by the statements that need it."""

    def __init__(self, url: URL) -> None:
        self.url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.shown_url = url.set(drivername="postgresql").render_as_string(hide_password=True)
        _share_conditions()
        self._idle: deque[tuple[Connection, float]] = deque()
        self._listener: Any = None
        self._rings = 0
        self._snapshot: object = None
        self._asked_at = -math.inf
        try:
            self.engine = create_engine(
                url.set(drivername="postgresql+psycopg"),
                pool_size=POOL,
                max_overflow=POOL,
                pool_pre_ping=True,
                connect_args=_PATIENCE | _OURS_ALONE,
            )
        except ImportError:
            remedy = "pip install 'slurmtorc[postgres]'"
            raise StoreRefused(f"{self.shown_url} needs the psycopg package: {remedy}") from None
        event.listen(self.engine, "connect", _without_compiling)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """The one used last, if the server still knows it; else from the pool, which asks."""
        connection = self._kept()
        connection.info.pop(DEAD_ROWS, None)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        dead = connection.info.pop(DEAD_ROWS, ())
        self._idle.append((connection, time.monotonic()))
        while len(self._idle) > KEPT:
            self._idle.popleft()[0].close()
        if dead:
            self._vacuum(dead)

    def _vacuum(self, tables: Sequence[str]) -> None:
        """Let nobody step over rows that a verb left dead; what it did is committed by now.

        The server's own vacuum would come within a minute or two. While that is at work, and
        after any error, this is left to it.
        """
        engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with suppress(SQLAlchemyError), engine.connect() as connection:
            connection.execute(text(f"VACUUM (SKIP_LOCKED) {', '.join(tables)}"))

    def _kept(self) -> Connection:
        """To ask the server each time would cost a verb as much as one of its statements."""
        with suppress(IndexError):  # two threads may both have seen the last one
            connection, since = self._idle.pop()
            if time.monotonic() < since + FRESH_S and not _has_word(connection):
                return connection
            connection.close()
        return self.engine.connect()

    @contextmanager
    def writing(self, connection: Connection, *, durable: bool) -> Iterator[None]:  # noqa: ARG002
        """Every commit is durable here, and writers meet at rows, not at the door."""
        yield

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """The driver begins it. Whoever waits for news hears of it once it is there to be seen.

        A NOTIFY of the transaction itself would make commits of the whole database wait for one
        another, each for the disk. What is lost with a server in between, a look at its snapshot
        finds.
        """
        connection.info[RINGS] = False
        with ending(connection):
            yield
        if connection.info[RINGS]:
            from slurmtorc.store import postgres_wire  # noqa: PLC0415  an extra

            with suppress(Exception):  # what was to be told is committed, told or not
                postgres_wire.say(connection, _RING)

    def load(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
    ) -> int:
        """COPY: an order of magnitude faster than INSERT."""
        driver: Any = connection.connection
        names = ", ".join(f'"{name}"' for name in columns)
        statement = f"COPY {table.name} ({names}) FROM STDIN"
        with driver.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
            written: int = cursor.rowcount
            return written

    def stamp(self) -> object:
        """How often writers have rung, and now and then which transactions are over.

        The second is for what is not worth ringing for, and for a ring that came to nothing in a
        pool of connections before the server.
        """
        try:
            return self._heard()
        except Exception:
            self._hang_up()
            raise

    def _heard(self) -> tuple[int, object]:
        now = time.monotonic()
        if self._listener is None:
            self._listener = self.engine.raw_connection()
            self._listener.detach()
            self._driver.autocommit = True
            self._driver.execute(f"LISTEN {CHANNEL}")
            self._asked_at = -math.inf
        if now >= self._asked_at + SNAPSHOT_S:
            self._asked_at = now
            query = "SELECT pg_current_snapshot()::text"
            self._snapshot = self._driver.execute(query).fetchone()
        self._rings += len(list(self._driver.notifies(timeout=0)))
        return self._rings, self._snapshot

    def bell(self) -> int | None:
        """The connection that listens."""
        if self._listener is None or self._driver.closed:
            return None
        fd: int = self._driver.fileno()
        return fd

    @property
    def _driver(self) -> Any:
        return self._listener.dbapi_connection

    def _hang_up(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def translated(self, error: BaseException) -> StoreError:
        """By SQLSTATE, or by the lost connection."""
        message = " ".join(str(error).split())
        state = getattr(error, "sqlstate", None) or _state_of_refusal(error, message)
        for prefix, kind, remedy in _POSTGRES_ERRORS:
            if state.startswith(prefix):
                return kind(f"{self.shown_url}: {message}; {remedy}")
        return StoreError(f"{self.shown_url}: {message}")

    def close(self) -> None:
        """Give back connections."""
        self._hang_up()
        while self._idle:
            self._idle.pop()[0].close()
        self.engine.dispose()


def _has_word(connection: Connection) -> bool:
    """Whether the server has said something unasked, such as that it ends."""
    driver: Any = connection.connection.driver_connection
    if driver.closed:
        return True
    ears = select.poll()
    ears.register(driver.fileno(), select.POLLIN)
    return bool(ears.poll(0))


def _without_compiling(connection: Any, _record: object) -> None:
    """Compiling a statement takes the server longer than running any of ours."""
    connection.execute("SET jit = off")
    connection.commit()


def _share_conditions() -> None:
    """The partial indexes of SQLite are partial here as well."""
    for table in TABLES.tables.values():
        for index in table.indexes:
            condition = index.dialect_options["sqlite"]["where"]
            index.dialect_options["postgresql"]["where"] = condition


def _state_of_refusal(error: BaseException, message: str) -> str:
    """The SQLSTATE of a connection that was never made: the driver only passes on the text.

    Empty for what the driver itself finds fault with: to try that again would end the same way.
    """
    if not {kind.__name__ for kind in type(error).__mro__} & _OF_CONNECTIONS:
        return ""
    if re.search("authentication|password|role .* does not exist", message):
        return "28000"
    return "3D000" if re.search("database .* does not exist", message) else "08001"


_OF_CONNECTIONS = {"OperationalError", "InterfaceError"}
"""The driver's errors of a connection, by name: the driver is only there where it is used."""

_POSTGRES_ERRORS: tuple[tuple[str, type[StoreError], str], ...] = (
    ("28", StoreRefused, "check the user and password in --url, or ~/.pgpass"),
    ("3D000", StoreRefused, "make the database first: createdb NAME"),
    ("42501", StoreRefused, "ask the database's owner for the right to create and write tables"),
    ("53100", StoreFull, "the server's disk is full; nothing of this step was stored"),
    ("25006", StoreRefused, "the server is read-only; name the primary server in --url"),
    ("40", StoreBusy, "two writers met; try again"),
    ("26000", StoreBusy, "the server has forgotten a statement; try again"),
    ("0A000", StoreBusy, "the store was migrated meanwhile; try again"),
    ("55P03", StoreBusy, "another process holds a lock; try again"),
    ("57P", StoreUnavailable, "the server is restarting; try again"),
    ("57", StoreUnavailable, "the server ended the statement before it was done; try again"),
    ("25P03", StoreUnavailable, "the server ended a transaction that was idle; try again"),
    ("58", StoreUnavailable, "the server has trouble with its disk or system; try again"),
    ("08", StoreUnavailable, "check that the server runs at that host and port"),
    ("53", StoreUnavailable, "the server is short of a resource; try again"),
)
