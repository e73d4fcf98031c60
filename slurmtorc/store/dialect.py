"""What differs between SQLite and Postgres: opening, locking, bulk loading, errors.

The two kinds are in sqlite.py and postgres.py; this is what they have in common, and the choice
by URL. No other module of the store asks which database it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from slurmtorc.errors import StoreRefused
from slurmtorc.store.postgres import RINGS, Postgres
from slurmtorc.store.sqlite import Sqlite, absolute, url_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.engine import URL

    from slurmtorc.errors import StoreError

_KNOWN = "sqlite:///PATH or postgresql://USER@HOST/NAME"


class Dialect(Protocol):
    """One kind of database."""

    url: str
    """Absolute, so that other processes find the same store."""
    shown_url: str
    """The same without a password, for messages."""
    engine: Engine

    def connected(self) -> AbstractContextManager[Connection]:
        """A connection that nobody else has, for one transaction or question."""

    def writing(self, connection: Connection, *, durable: bool) -> AbstractContextManager[None]:
        """Be the next writer, fairly, for one transaction that begins and ends inside.

        A durable transaction survives a power failure, not only the end of this process.
        """

    def transaction(self, connection: Connection) -> AbstractContextManager[None]:
        """All that is executed inside is committed at its end, or rolled back by an error."""

    def load(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
    ) -> None:
        """Insert many rows of some columns; the others get their defaults."""

    def stamp(self) -> object:
        """A value that differs from the last one when another process may have committed.

        Asked a hundred times a second by every worker that waits.
        """

    def bell(self) -> int | None:
        """A descriptor that becomes readable when another process has committed; if one does."""

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
        return url_of(absolute(parsed.database))
    return parsed.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    if url.startswith("sqlite:/") and not url.startswith("sqlite://"):
        url = "sqlite:///" + url.removeprefix("sqlite:")  # sqlite:/abs/path, as some write it
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
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


def ring(connection: Connection) -> None:
    """Wake those who wait for news, once this is committed; SQLite's watch the file."""
    if connection.dialect.name == "postgresql":
        connection.info[RINGS] = True


def analyze(connection: Connection, *tables: Table) -> None:
    """Tell Postgres how many rows there are now: after bulk loading it would plan for none."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in tables)
        connection.execute(text(f"ANALYZE {names}"))


def locks_rows(connection: Connection) -> bool:
    """Whether writers meet at rows, so that their order matters."""
    return connection.dialect.name == "postgresql"
