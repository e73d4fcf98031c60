"""Everything that differs between SQLite and Postgres: opening, locking, bulk loading, errors."""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    TypeDecorator,
    bindparam,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.sqltypes import NULLTYPE
from sqlalchemy.sql.visitors import InternalTraversal

from slurmtorc.errors import StoreBusy, StoreError, StoreFull, StoreRefused, StoreUnavailable
from slurmtorc.store import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.engine import URL

_BUSY_MS = 45_000
_KNOWN = "sqlite:///PATH or postgresql://USER@HOST/NAME"


class Dialect(Protocol):
    """One kind of database."""

    url: str
    """Absolute, so that other processes find the same store."""
    shown_url: str
    """The same without a password, for messages."""
    engine: Engine

    def writing(self, connection: Connection, *, durable: bool) -> AbstractContextManager[None]:
        """Be the next writer, fairly, for one transaction that begins and ends inside.

        A durable transaction survives a power failure, not only the end of this process.
        """

    def load(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
    ) -> None:
        """Insert many rows of some columns; the others get their defaults."""

    def stamp(self, connection: Connection) -> object:
        """A value that differs from the last one when another process may have committed."""

    def translated(self, error: BaseException) -> StoreError:
        """The same error in our words."""

    def close(self) -> None:
        """Give back connections and locks."""


def dialect_for(url: str, *, create: bool) -> Dialect:
    """The dialect of a URL; a SQLite file is made only if `create` says so.

    Raises StoreRefused for URLs that are none.
    """
    parsed = _parsed(url)
    if _is_sqlite(parsed):
        return Sqlite(parsed.database, create=create)
    return Postgres(parsed)


def shown_url(url: str) -> str:
    """A URL as other processes would be given it, without a password."""
    parsed = _parsed(url)
    if _is_sqlite(parsed):
        return _sqlite_url(_sqlite_path(parsed.database))
    return parsed.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    if url.startswith("sqlite:/") and not url.startswith("sqlite://"):
        url = "sqlite:///" + url.removeprefix("sqlite:")  # sqlite:/abs/path, as some write it
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreRefused(f"{url!r} is no store URL; write {_KNOWN}") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in {"http", "https"}:
        message = f"{url} is a REST server, which this version cannot use as a store"
        raise StoreRefused(f"{message}; write {_KNOWN}")
    if backend not in {"sqlite", "postgresql", "postgres"}:
        raise StoreRefused(f"{url!r} is no store URL; write {_KNOWN}")
    return parsed


def _is_sqlite(url: URL) -> bool:
    return url.drivername.partition("+")[0] == "sqlite"


def _sqlite_path(database: str | None) -> Path | None:
    """Absolute; None for a database in memory."""
    if database in {None, "", ":memory:"}:
        return None
    return Path(os.path.abspath(str(database)))  # noqa: PTH100  resolve() would follow links


def _sqlite_url(path: Path | None) -> str:
    return f"sqlite:///{path}" if path else "sqlite://"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


class among(ColumnElement[Any]):  # noqa: N801  a function for readers, as in_() is
    """`column` is one of the ids bound to `name`: any number of them in one parameter.

    So a statement has one text whatever the number of ids, and no limit to it.
    """

    inherit_cache = True
    type = NULLTYPE  # a boolean would be written "… = 1" for SQLite, which then uses no index
    _traverse_internals = [  # noqa: RUF012  SQLAlchemy's name and type
        ("column", InternalTraversal.dp_clauseelement),
        ("ids", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: ColumnElement[int], name: str = "ids") -> None:
        self.column = column
        self.ids: ColumnElement[Any] = bindparam(name, type_=_Ids())


class _Ids(TypeDecorator[Any]):
    """A list of ids: JSON text for SQLite, an array for Postgres."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """The type the driver is to see."""
        return dialect.type_descriptor(
            ARRAY(BigInteger) if dialect.name == "postgresql" else Text()
        )

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """As text or as a list."""
        return list(value) if dialect.name == "postgresql" else json.dumps(list(value))


@compiles(among, "sqlite")
def _among_json(element: among, compiler: Any, **how: Any) -> str:
    column, ids = compiler.process(element.column, **how), compiler.process(element.ids, **how)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608  compiled parts


@compiles(among, "postgresql")
def _among_array(element: among, compiler: Any, **how: Any) -> str:
    column, ids = compiler.process(element.column, **how), compiler.process(element.ids, **how)
    return f"{column} = ANY({ids})"


def analyze(connection: Connection, *tables: Table) -> None:
    """Tell Postgres how many rows there are now: after bulk loading it would plan for none."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in tables)
        connection.execute(text(f"ANALYZE {names}"))


def locks_rows(connection: Connection) -> bool:
    """Whether writers meet at rows, so that their order matters."""
    return connection.dialect.name == "postgresql"


# ── SQLite ───────────────────────────────────────────────────────────────────


class Sqlite:
    """A file (or memory). Writers of several processes queue on a fair lock file."""

    def __init__(self, database: str | None, *, create: bool) -> None:
        self.path = _sqlite_path(database)
        self.url = _sqlite_url(self.path)
        self.shown_url = self.url
        self._lock_file: int | None = None
        self._journal = self._prepared(self.path, create=create) if self.path else None
        pool: dict[str, Any] = {} if self.path else {"poolclass": StaticPool}
        self.engine = create_engine(
            self.url, connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False}, **pool
        )
        event.listen(self.engine, "connect", self._on_connect)
        event.listen(self.engine, "begin", _begin)

    @staticmethod
    def _prepared(path: Path, *, create: bool) -> place.Journal:
        if not create and not path.exists():
            message = f"there is no store at {path}; `torc run` and `torc submit` make one there"
            raise StoreRefused(f"{message}, --url names another")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefused(f"{path.parent} cannot be made: {error.strerror}") from error
        if path.is_dir():
            raise StoreRefused(f"{path} is a directory; name a file, as in {path}/torc.db")
        return place.journal_for(path)

    def _on_connect(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where _begin says, nowhere else
        for pragma in self._pragmas():
            connection.execute(f"PRAGMA {pragma}")

    def _pragmas(self) -> Iterator[str]:
        yield f"busy_timeout={_BUSY_MS}"
        yield "foreign_keys=ON"
        if self._journal is None:
            return
        yield f"journal_mode={self._journal.value}"
        yield f"synchronous={self._synchronous}"
        yield "cache_size=-65536"

    @property
    def _synchronous(self) -> str:
        return "NORMAL" if self._journal is place.Journal.WAL else "FULL"

    @contextmanager
    def writing(self, connection: Connection, *, durable: bool) -> Iterator[None]:
        """SQLite's own waiting starves some of many writers; the kernel's lock queue does not."""
        raise_sync = durable and self._journal is place.Journal.WAL
        with self._turn():
            connection.info["writing"] = True
            if raise_sync:
                _pragma(connection, "synchronous=FULL")
            try:
                yield
            finally:
                connection.info["writing"] = False
                if raise_sync:
                    _pragma(connection, "synchronous=NORMAL")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        if self._lock_file is None:
            self._lock_file = self._opened_lock(self.path)
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    @staticmethod
    def _opened_lock(path: Path) -> int:
        lock = path.with_name(path.name + ".lock")
        try:
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreRefused(f"{lock} cannot be opened: {error.strerror}") from error

    def load(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
    ) -> None:
        """Tuples straight to the driver."""
        marks, names = ", ".join("?" * len(columns)), _quoted(columns)
        cursor: Any = connection.connection.cursor()
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608  our names
        cursor.executemany(statement, rows)
        cursor.close()

    def stamp(self, connection: Connection) -> object:
        """SQLite counts the commits of other connections."""
        return connection.exec_driver_sql("PRAGMA data_version").scalar()

    def translated(self, error: BaseException) -> StoreError:
        """By SQLite's message: it has codes, but the messages are as stable and say more."""
        message = str(error)
        for pattern, kind, remedy in _SQLITE_ERRORS:
            if re.search(pattern, message):
                return kind(f"{self.path}: {message}; {remedy}")
        return StoreError(f"{self.path}: {message}")

    def close(self) -> None:
        """Give back connections and the lock file."""
        self.engine.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


_SQLITE_ERRORS: tuple[tuple[str, type[StoreError], str], ...] = (
    ("readonly database", StoreRefused, "make the file and its folder writable"),
    ("disk is full", StoreFull, "make room; nothing of this step was stored"),
    ("unable to open", StoreRefused, "check that the folder exists and may be written"),
    ("not a database|malformed", StoreRefused, "name another file with --url, or restore a backup"),
    ("disk I/O error", StoreRefused, "check the disk, its quota and its free space"),
    ("locked|busy", StoreBusy, "another process is writing; try again"),
)  # fmt: skip


def _pragma(connection: Connection, pragma: str) -> None:
    connection.connection.cursor().execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    mode = "BEGIN IMMEDIATE" if connection.info.get("writing") else "BEGIN"
    connection.exec_driver_sql(mode)


# ── Postgres ─────────────────────────────────────────────────────────────────


class Postgres:
    """A Postgres server. Rows are locked by the statements that need it."""

    def __init__(self, url: URL) -> None:
        self.url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.shown_url = url.set(drivername="postgresql").render_as_string(hide_password=True)
        try:
            self.engine = create_engine(
                url.set(drivername="postgresql+psycopg"),
                pool_size=2,
                pool_pre_ping=True,
                connect_args={"connect_timeout": 10},
            )
        except ImportError:
            remedy = "pip install 'slurmtorc[postgres]'"
            raise StoreRefused(f"{self.shown_url} needs the psycopg package: {remedy}") from None

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
        statement = f"COPY {table.name} ({_quoted(columns)}) FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def stamp(self, connection: Connection) -> object:
        """The last transaction id given out: it moves with every writer of the server."""
        return connection.execute(
            text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        ).scalar()

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
