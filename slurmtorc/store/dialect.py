"""What differs between SQLite and Postgres: opening, locking, bulk loading, errors.

The two kinds are in sqlite.py and postgres.py; this is what they have in common, and the choice
by URL. No other module of the store asks which database it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from slurmtorc.errors import StoreRefused
from slurmtorc.store.postgres import DEAD_ROWS, RINGS, Postgres
from slurmtorc.store.sqlite import Sqlite, absolute, url_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    ) -> int:
        """Insert many rows of some columns; the others get their defaults. How many they were."""

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


def many_changed(
    connection: Connection,
    rows: Mapping[Table, int],
    *,
    columns: Sequence[str] = (),
    dead: bool = True,
) -> None:
    """So many rows of these tables are new, or other ones now: Postgres is told, if it matters.

    Until it knows, it plans for a table that has none of them, and reads all of them for each of
    a few. Its autovacuum would look within a minute; a workflow's first claim comes sooner. To
    look at texts takes longest: of rows that are known, name the `columns` that are other ones.
    Rows that were changed have left others behind, `dead`, which go once this is committed.
    """
    if connection.dialect.name != "postgresql":
        return
    many = {table.name: count for table, count in rows.items() if count >= _MANY}
    if not many:
        return
    known = connection.execute(_KNOWN_ROWS, {"names": list(many)})
    grown = [(row.name, many[row.name] / max(1.0, row.rows)) for row in known]
    wrong = [name for name, share in grown if share > _SHARE]
    if wrong:
        which = f" ({', '.join(columns)})" if columns else ""
        connection.execute(text(f"ANALYZE {', '.join(name + which for name in wrong)}"))
    if dead:
        littered = [name for name, share in grown if many[name] >= _LITTER and share > _LITTERED]
        connection.info[DEAD_ROWS] = [*connection.info.get(DEAD_ROWS, ()), *littered]


_MANY = 1_000
_SHARE = 0.01
"""Of a table: fewer rows than that are not worth the second that a look at a large one takes."""
_LITTER = 200_000
_LITTERED = 0.1
"""And fewer than either are left to the server's own vacuum: nobody notices them much."""
_KNOWN_ROWS = text(
    "SELECT relname AS name, reltuples AS rows FROM pg_class WHERE oid IN "
    "(SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name) ORDER BY relname"
)


def all_at_once(connection: Connection) -> AbstractContextManager[None]:
    """Statements about most jobs of a workflow: Postgres joins them by hashing, in memory.

    Where it expects few rows it would look up each of many. And what it has to hash in parts it
    changes in no order, which takes twice as long as row after row.
    """
    return _planned_with(connection, work_mem=_ROOM, enable_nestloop="off")


def in_memory(connection: Connection) -> AbstractContextManager[None]:
    """Statements that may hash and sort most jobs of a workflow; how, is for Postgres to say."""
    return _planned_with(connection, work_mem=_ROOM)


@contextmanager
def _planned_with(connection: Connection, **settings: str) -> Iterator[None]:
    """What Postgres plans with for a while; after an error the transaction forgets it anyway."""
    if connection.dialect.name != "postgresql":
        yield
        return
    for name, value in settings.items():
        connection.execute(text(f"SET LOCAL {name} = '{value}'"))
    yield
    for name in settings:
        connection.execute(text(f"SET LOCAL {name} TO DEFAULT"))


_ROOM = "256MB"


def locks_rows(connection: Connection) -> bool:
    """Whether writers meet at rows, so that their order matters."""
    return connection.dialect.name == "postgresql"
