"""A database is brought to this version's schema when it is opened; a newer one is refused.

A fresh database is made in one step from schema.py; an older one is migrated by Alembic, which
is imported only then. A test holds both ways to the same result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from slurmtorc.errors import StoreRefused, StoreTooNew
from slurmtorc.store.schema import TABLES

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003")
"""Oldest first; each has a file in migrations/versions/."""

HEAD = REVISIONS[-1]
_VERSION_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
"""As Alembic makes it."""

_OPENING = 0x746F7263  # any number, the same for all who open: 'torc'


def bring_up_to_date(connection: Connection, shown_url: str) -> None:
    """Make or migrate the tables. The caller holds a write transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING})
    revision = stored_revision(connection)
    if revision is None:
        _create(connection, shown_url)
    elif revision not in REVISIONS:
        raise StoreTooNew(too_new(shown_url, revision))
    elif revision != HEAD:
        migrate(connection)


def too_new(shown_url: str, revision: str) -> str:
    """What is said of a schema that this version does not know."""
    message = f"{shown_url} was made by a newer version of this program (schema {revision})"
    return f"{message}; this one knows up to {HEAD}: update it"


def stored_revision(connection: Connection) -> str | None:
    """The schema's revision; None for a database without one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision


def _create(connection: Connection, shown_url: str) -> None:
    strangers = set(inspect(connection).get_table_names())
    if strangers:
        some = ", ".join(sorted(strangers)[:3])
        message = f"{shown_url} holds tables of something else ({some})"
        raise StoreRefused(f"{message}; name a database of its own with --url")
    TABLES.create_all(connection, checkfirst=False)
    connection.execute(text(_VERSION_TABLE))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def migrate(connection: Connection, target: str = HEAD) -> None:
    """Run Alembic's steps from the stored revision to `target`."""
    from alembic import command  # noqa: PLC0415  slow to import, and rarely needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
