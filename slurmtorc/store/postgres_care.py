"""The care of a Postgres database: copy, damage, room, facts. What differs from SQLite.

The copy is pg_dump's: nothing else knows all that a server can hold.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from slurmtorc.errors import StoreError, StoreFull, StoreRefused
from slurmtorc.ports import Violation
from slurmtorc.store.copying import whole_file
from slurmtorc.store.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from slurmtorc.store.postgres import Postgres

_SIZE = text("SELECT pg_database_size(current_database())")
_BAD_INDEXES = text(
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE NOT i.indisvalid AND n.nspname = current_schema() ORDER BY c.relname"
)


class PostgresCare:
    """The care of one database."""

    path = None
    """It has no file of its own."""

    def __init__(self, dialect: Postgres) -> None:
        self._dialect = dialect

    def copy(self, path: Path, *, force: bool) -> None:
        """pg_dump in its own format, and pg_restore's word that it can be read."""
        url = make_url(self._dialect.url)
        env = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
        shown = url.set(password=None).render_as_string(hide_password=False)
        command = ["pg_dump", "--format=custom", "--no-owner"]
        if shutil.which("pg_dump") is None:
            by_hand = f"{' '.join(command)} --file={path} --dbname='{shown}'"
            raise StoreRefused(f"pg_dump is not on PATH; where it is, run: {by_hand}")
        with whole_file(path, needs=0, force=force) as part:
            _run([*command, f"--file={part}", f"--dbname={shown}"], env, path)
            if shutil.which("pg_restore"):
                _run(["pg_restore", "--list", str(part)], env, path)

    @staticmethod
    def damage(connection: Connection) -> list[Violation]:
        """Indexes that the server itself no longer trusts."""
        return [
            Violation("damage", f"index {name} is not valid", f"REINDEX INDEX {name};")
            for name in connection.execute(_BAD_INDEXES).scalars()
        ]

    def vacuum(self) -> None:
        """Give room back for new rows, and tell the planner what there is."""
        engine = self._dialect.engine.execution_options(isolation_level="AUTOCOMMIT")
        names = ", ".join(table.name for table in TABLES.sorted_tables)
        with engine.connect() as connection:
            connection.execute(text(f"VACUUM (ANALYZE) {names}"))

    @staticmethod
    def size(connection: Connection) -> int:
        """Bytes of the whole database."""
        size: int = connection.execute(_SIZE).scalar_one()
        return size

    @staticmethod
    def facts(connection: Connection) -> dict[str, Any]:
        """What is known of a server only."""
        version: str = connection.execute(text("SHOW server_version")).scalar_one()
        return {"kind": "postgresql", "version": version.partition(" ")[0]}


def _run(command: Sequence[str], env: Mapping[str, str], path: Path) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
    kind = StoreFull if "No space left" in done.stderr else StoreError
    raise kind(f"{path} was not written: {said}")
