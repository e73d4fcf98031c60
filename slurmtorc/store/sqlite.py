"""SQLite: a file (or memory), whose writers queue on a fair lock."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from slurmtorc.errors import StoreBusy, StoreError, StoreFull, StoreRefused, StoreUnavailable
from slurmtorc.store import place
from slurmtorc.store.endings import ending
from slurmtorc.store.turn import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Table

_BUSY_MS = 45_000
_CHECKPOINT_PAGES = 4_000
"""16 MB. Pages that change again and again are copied, and synced, once for all of it."""


def absolute(database: str | None) -> Path | None:
    """The absolute path of a URL's database; None for one in memory."""
    if database in {None, "", ":memory:"}:
        return None
    return Path(os.path.abspath(str(database)))  # noqa: PTH100  resolve() would follow links


def url_of(path: Path | None) -> str:
    """The URL of a file, or of memory."""
    return f"sqlite:///{path}" if path else "sqlite://"


class Sqlite:
    """A file (or memory). Writers of several processes queue on a fair lock file."""

    def __init__(self, database: str | None, *, create: bool) -> None:
        self.path = absolute(database)
        if "?" in str(self.path):
            message = f"{self.path}: a store's path cannot hold a question mark"
            raise StoreRefused(f"{message}, which ends it in a URL; name another with --url")
        self.url = url_of(self.path)
        self.shown_url = self.url
        self._turns = Turns(self.path, _BUSY_MS / 1000) if self.path else None
        self._idle: list[Connection] = []
        self._witness: Any = None
        """A connection that never changes anything."""
        self._has_served = False
        """Whether the file could be used once: what is wrong later may pass."""
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
        if self._journal is not None:
            self._require_journal(connection, self._journal)

    def _require_journal(self, connection: Any, journal: place.Journal) -> None:
        """Where SQLite cannot have the journal it should, it takes another without an error."""
        (found,) = connection.execute("PRAGMA journal_mode").fetchone()
        if found.upper() != journal.value:
            connection.close()
            message = f"{self.path} needs SQLite's journal mode {journal.value} but has {found}"
            raise StoreRefused(f"{message}: {place.CHOICES}")

    def _pragmas(self) -> Iterator[str]:
        yield f"busy_timeout={_BUSY_MS}"
        yield "foreign_keys=ON"
        if self._journal is None:
            return
        yield f"journal_mode={self._journal.value}"
        yield f"synchronous={self._synchronous}"
        yield "cache_size=-65536"
        yield f"wal_autocheckpoint={_CHECKPOINT_PAGES}"

    @property
    def _synchronous(self) -> str:
        return "NORMAL" if self._journal is place.Journal.WAL else "FULL"

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Kept open from one to the next: to take one from the pool costs more than a commit."""
        connection = self._idle.pop() if self._idle else self.engine.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._has_served = True
        self._idle.append(connection)

    @contextmanager
    def writing(self, connection: Connection, *, durable: bool) -> Iterator[None]:
        """SQLite's own waiting starves some of many writers; the kernel's lock queue does not."""
        raise_sync = durable and self._journal is place.Journal.WAL
        with self._turns.mine() if self._turns else nullcontext():
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
    def transaction(self, connection: Connection) -> Iterator[None]:
        """Begun by text: SQLAlchemy's own way costs as much as the statements of a small verb."""
        connection.connection.cursor().execute("BEGIN IMMEDIATE")
        with ending(connection):
            yield

    def load(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
    ) -> int:
        """Tuples straight to the driver."""
        marks = ", ".join("?" * len(columns))
        names = ", ".join(f'"{name}"' for name in columns)
        cursor: Any = connection.connection.cursor()
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608  our names
        cursor.executemany(statement, rows)
        written: int = cursor.rowcount
        cursor.close()
        return max(0, written)

    def stamp(self) -> object:
        """SQLite counts the commits of other connections than the one that is asked."""
        if self._witness is None:
            self._witness = self.engine.raw_connection()
        cursor = self._witness.cursor()
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        cursor.close()
        return version

    def bell(self) -> None:
        """A file does not ring."""

    def translated(self, error: BaseException) -> StoreError:
        """By SQLite's message: it has codes, but the messages are as stable and say more."""
        message = str(error)
        for pattern, kind, remedy in _SQLITE_ERRORS:
            if re.search(pattern, message):
                if self._has_served and pattern in _MAY_PASS:
                    return StoreUnavailable(f"{self.path}: {message}; {remedy}, and try again")
                return kind(f"{self.path}: {message}; {remedy}")
        return StoreError(f"{self.path}: {message}")

    def close(self) -> None:
        """Give back connections and the lock file."""
        while self._idle:
            self._idle.pop().close()
        if self._witness is not None:
            self._witness.close()
            self._witness = None
        self.engine.dispose()
        if self._turns:
            self._turns.close()


_SQLITE_ERRORS: tuple[tuple[str, type[StoreError], str], ...] = (
    ("readonly database", StoreRefused, "make the file and its folder writable"),
    ("disk is full", StoreFull, "make room; nothing of this step was stored"),
    ("unable to open", StoreRefused, "check that the folder exists and may be written"),
    ("not a database|malformed", StoreRefused, "name another file with --url, or restore a backup"),
    ("disk I/O error", StoreRefused, "check the disk, its quota and its free space"),
    ("locked|busy", StoreBusy, "another process is writing; try again"),
)  # fmt: skip


_MAY_PASS = {"unable to open", "disk I/O error"}
"""A descriptor or a disk that was not to be had for a moment, once the file has been in use."""


def _pragma(connection: Connection, pragma: str) -> None:
    connection.connection.cursor().execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    if connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
        return  # SQLAlchemy joins one that it has not begun
    if not connection.get_execution_options().get("begins", True):
        return  # only reads, where nobody else writes
    mode = "BEGIN IMMEDIATE" if connection.info.get("writing") else "BEGIN"
    connection.connection.cursor().execute(mode)
