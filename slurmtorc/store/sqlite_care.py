"""The care of a SQLite file: copy, damage, room, facts. What differs from Postgres."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import Conflict, StoreRefused
from slurmtorc.ports import Violation
from slurmtorc.store import place
from slurmtorc.store.copying import refuse_too_small, refused, whole_file

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from slurmtorc.store.sqlite import Sqlite

_RESTORE = "restore a backup, or save what can be read: sqlite3 FILE .recover"


class SqliteCare:
    """The care of one file."""

    def __init__(self, dialect: Sqlite) -> None:
        if dialect.path is None:
            raise StoreRefused("a store in memory ends with its process; name a file with --url")
        self._dialect = dialect
        self.path = dialect.path

    # ── a copy ───────────────────────────────────────────────────────────────

    def copy(self, path: Path, *, force: bool) -> None:
        """One step of SQLite's own backup: a reader, which keeps no writer waiting in WAL mode."""
        if path.exists() and path.samefile(self.path):
            raise Conflict(f"{path} is the store itself; name another file")
        with whole_file(path, needs=self.size(), force=force) as part:
            try:
                self._copy_to(part)
            except sqlite3.Error as error:
                if "disk is full" in str(error):
                    raise refused(path, OSError(errno.ENOSPC, "")) from error
                raise self._dialect.translated(error) from error

    def _copy_to(self, part: Path) -> None:
        with self._dialect.engine.connect() as connection:
            source: Any = connection.connection.driver_connection
            with closing(sqlite3.connect(part)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, and no others beside it
                damage = damages(target)
        if damage:
            raise StoreRefused(f"the store is damaged, and so would be its copy: {damage[0]}")
        shutil.copymode(self.path, part)

    # ── damage and room ──────────────────────────────────────────────────────

    def damage(self, connection: Connection) -> list[Violation]:
        """What SQLite finds wrong with the file."""
        found = damages(connection.connection.driver_connection)
        return [Violation("damage", one, _RESTORE) for one in found]

    def vacuum(self) -> None:
        """Write the file anew without its holes. It needs room for a copy, and in WAL for two."""
        engine = self._dialect.engine
        with (
            engine.connect() as connection,
            self._dialect.writing(connection, durable=False),
            closing(connection.connection.cursor()) as cursor,
        ):
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            size = self.size()
            refuse_too_small(self.path.parent, 2 * size)
            refuse_too_small(_scratch(), size)
            for statement in ("VACUUM", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"):
                cursor.execute(statement)

    def size(self, connection: Connection | None = None) -> int:  # noqa: ARG002  Postgres asks it
        """Bytes of the file and of its log."""
        return self.path.stat().st_size + self._wal()

    def _wal(self) -> int:
        log = self.path.with_name(self.path.name + "-wal")
        return log.stat().st_size if log.exists() else 0

    # ── facts ────────────────────────────────────────────────────────────────

    def facts(self, connection: Connection) -> dict[str, Any]:
        """What is known of a file only."""
        disk = os.statvfs(self.path.parent)

        def pragma(name: str) -> Any:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        return {
            "kind": "sqlite",
            "version": sqlite3.sqlite_version,
            "wal_bytes": self._wal(),
            "journal_mode": pragma("journal_mode"),
            "file_system": place.kind_of(self.path.parent) or None,
            "disk_free_bytes": disk.f_bavail * disk.f_frsize,
            "pages": pragma("page_count"),
            "free_pages": pragma("freelist_count"),
        }


def damages(connection: Any) -> list[str]:
    """SQLite's own complaints, of the file and of rows that refer to none."""
    try:
        said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        found = [line for text in said if text != "ok" for line in text.splitlines()]
        strays = connection.execute("PRAGMA foreign_key_check").fetchmany(100)
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return found + [
        f"row {row} of {table} refers to a row of {parent} that is not there"
        for table, row, parent, _ in strays
    ]


def _scratch() -> Path:
    """Where SQLite writes what it needs for a while."""
    wanted = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/tmp")  # noqa: S108  SQLite's own list
    for folder in wanted:
        if folder and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    return Path()
