"""Opening a store: every bad place is one clear line, and migrations reach the same schema."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from factories import a_draft
from sqlalchemy import create_engine, text

from slurmtorc.errors import StoreError, StoreFull, StoreRefused, StoreTooNew, StoreUnavailable
from slurmtorc.store import migrate, place
from slurmtorc.store.dialect import dialect_for
from slurmtorc.store.schema import TABLES
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_relative_sqlite_url_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqlStore("sqlite:///sub/dir/torc.db")
    store.close()
    assert store.url == f"sqlite:///{tmp_path}/sub/dir/torc.db"
    assert (tmp_path / "sub/dir/torc.db").exists()


def test_one_slash_is_accepted_for_an_absolute_path(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:{tmp_path}/torc.db")
    store.close()
    assert store.url == f"sqlite:///{tmp_path}/torc.db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "is no store URL; write sqlite:///PATH or postgresql://"),
        ("mysql://host/db", "is no store URL"),
        ("http://host:8080/torc-service/v1", "is a REST server"),
        ("", "is no store URL"),
    ],
)
def test_urls_of_other_kinds_are_refused(url: str, said: str) -> None:
    with pytest.raises(StoreRefused, match=said):
        SqlStore(url)


def test_an_unreachable_postgres_says_where_and_what_to_check() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1.*check that the server runs"):
        SqlStore("postgresql://u:secret@127.0.0.1:1/db")


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError) as raised:
        SqlStore("postgresql://u:secret@127.0.0.1:1/db")
    assert "secret" not in str(raised.value)


@pytest.mark.postgres
def test_a_missing_database_says_how_to_make_it(postgres_server) -> None:  # noqa: ANN001
    with pytest.raises(StoreRefused, match="createdb"):
        SqlStore(postgres_server.url("nosuch"))


def test_reading_commands_do_not_make_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="there is no store at"):
        SqlStore(f"sqlite:///{tmp_path}/torc.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match=r"is a directory; name a file"):
        SqlStore(f"sqlite:///{tmp_path}")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to have a header" * 50)
    with pytest.raises(StoreRefused, match="not a database"):
        SqlStore(f"sqlite:///{tmp_path}/notes.txt")


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreRefused, match=r"holds tables of something else \(theirs\)"):
        SqlStore(f"sqlite:///{tmp_path}/other.db")


def test_a_store_made_by_a_newer_version_is_refused(shared_store: Callable[[], SqlStore]) -> None:
    store = shared_store()
    with store._dialect.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match=r"newer version of this program \(schema 9999.*update"):
        shared_store()


TRY = """
import os, sqlite3, sys
sys.path.insert(0, sys.argv[2])
from factories import a_draft
from slurmtorc.errors import TorcError
from slurmtorc.store.sql import SqlStore
if os.getuid() == 0:  # whom no permission binds
    os.setgid(65534)
    os.setuid(65534)
try:
    SqlStore(sys.argv[1]).create(a_draft("a"))
except TorcError as error:
    print(f"{type(error).__name__}: {error}")
"""


def as_nobody(url: str) -> subprocess.CompletedProcess[str]:
    """Try to use a store as a user whom permissions bind."""
    command = [sys.executable, "-c", TRY, url, HERE]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


HERE = str(Path(__file__).parent.parent)


def readable_by_all(path: Path) -> None:
    for folder in [path, *path.parents]:
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o055)


def test_a_read_only_database_is_one_clear_line(tmp_path: Path) -> None:
    SqlStore(f"sqlite:///{tmp_path}/torc.db").close()
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    readable_by_all(tmp_path)
    tmp_path.chmod(0o555)
    done = as_nobody(f"sqlite:///{tmp_path}/torc.db")
    tmp_path.chmod(0o755)
    assert done.stdout.startswith("StoreRefused: "), done.stderr
    assert str(tmp_path) in done.stdout
    assert done.stderr == ""


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    readable_by_all(tmp_path)
    tmp_path.chmod(0o555)
    done = as_nobody(f"sqlite:///{tmp_path}/new/torc.db")
    tmp_path.chmod(0o755)
    assert "cannot be made: Permission denied" in done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_refuses_the_whole_transaction_and_work_goes_on(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        url = f"sqlite:///{disk}/torc.db"
        store = SqlStore(url)
        kept = store.create(a_draft("small"))
        big = a_draft(*(f"{i}{'y' * 1000}" for i in range(2000)))
        with pytest.raises(StoreFull, match="disk is full; make room"):
            store.create(big)
        assert store.progress(kept).total == 1
        assert store.create(a_draft("another")) == kept + 1
        store.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# ── migrations ───────────────────────────────────────────────────────────────


def test_migrations_reach_the_schema_that_a_fresh_store_gets(store_url: str) -> None:
    engine = dialect_for(store_url, create=True).engine
    with engine.begin() as connection:
        migrate.migrate(connection)
        opts: dict[str, object] = {"compare_type": True, "compare_server_default": True}
        if connection.dialect.name == "postgresql":
            opts["include_object"] = is_here
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, TABLES) == []
        assert migrate.stored_revision(connection) == migrate.HEAD
    engine.dispose()


SQLITE_ALONE = {"ix_job_class_id", "fk_job_class_id"}


def is_here(  # as Alembic calls it
    _item: object, name: str | None, _kind: object, reflected: object, _compared: object
) -> bool:
    return bool(reflected) or name not in SQLITE_ALONE


def test_every_revision_has_its_step() -> None:
    steps = Path(migrate.__file__).parent / "migrations" / "versions"
    found = sorted(path.name[:4] for path in steps.glob("[0-9]*.py"))
    assert tuple(found) == migrate.REVISIONS


def test_a_fresh_store_has_exactly_the_tables_of_the_migrations(tmp_path: Path) -> None:
    SqlStore(f"sqlite:///{tmp_path}/made.db").close()
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.db")
    with engine.begin() as connection:
        migrate.migrate(connection)
    engine.dispose()
    made, migrated = (shape(tmp_path / name) for name in ("made.db", "migrated.db"))
    assert made == migrated


@pytest.mark.postgres
def test_a_fresh_store_on_postgres_has_exactly_the_tables_of_the_migrations(
    fresh_postgres: str,
) -> None:
    engine = dialect_for(fresh_postgres, create=True).engine
    shapes = []
    for make in (partial(TABLES.create_all, checkfirst=False), migrate.migrate):
        with engine.connect() as connection, connection.begin() as transaction:
            make(connection)
            shapes.append(
                {tuple(row) for query in SHAPE for row in connection.execute(text(query))}
            )
            transaction.rollback()
    engine.dispose()
    made, migrated = shapes
    assert made == {row for row in migrated if "alembic_version" not in row}
    assert ("job", "name", "text", "C") in made
    assert not SQLITE_ALONE & {name for row in made for name in row}


SHAPE = (
    """SELECT table_name::text, column_name::text, data_type::text, collation_name::text
    FROM information_schema.columns WHERE table_schema = 'public'""",
    """SELECT tablename::text, indexname::text, indexdef FROM pg_indexes
    WHERE schemaname = 'public'""",
    """SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
)
"""What Postgres knows of each column, index and constraint."""


def shape(path: Path) -> dict[str, object]:
    """What SQLite knows of each table and index, whatever the words of its CREATE."""
    connection = sqlite3.connect(path)
    names = connection.execute(
        "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name"
    ).fetchall()
    known: dict[str, object] = {}
    for kind, name, table in names:
        pragma = "table_xinfo" if kind == "table" else "index_xinfo"
        known[name] = (kind, table, connection.execute(f"PRAGMA {pragma}({name})").fetchall())
        if kind == "table":
            keys = connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()
            known[f"{name}:keys"] = sorted(key[2:] for key in keys)  # without their numbers
    connection.close()
    return known


# ── where a file lies ────────────────────────────────────────────────────────

MOUNTS = [("/", "ext4"), ("/home", "nfs4"), ("/home/me/local", "xfs"), ("/scratch", "lustre")]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/home/me", "nfs4"),
        ("/home", "nfs4"),
        ("/homes", "ext4"),
        ("/home/me/local/x", "xfs"),
        ("/scratch/me", "lustre"),
    ],
)
def test_the_innermost_mount_decides(folder: str, kind: str) -> None:
    assert place.file_system(Path(folder), MOUNTS) == kind


def test_a_later_mount_covers_an_earlier_one() -> None:
    assert place.file_system(Path("/data"), [("/data", "ext4"), ("/data", "nfs")]) == "nfs"


@pytest.fixture
def network_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the mount table calls NFS."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/x / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    return tmp_path


def test_a_network_disk_with_locks_gets_a_rollback_journal(network_disk: Path) -> None:
    store = SqlStore(f"sqlite:///{network_disk}/torc.db")
    store.create(a_draft("a"))
    with store._dialect.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    store.close()


def test_a_network_disk_without_locks_is_refused_with_the_choices(
    network_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_another_process_is_refused", lambda _: False)
    said = r"\(nfs4\) without working locks.*local disk.*Postgres"
    with pytest.raises(StoreRefused, match=said):
        SqlStore(f"sqlite:///{network_disk}/torc.db")
    assert not (network_disk / "torc.db").exists()


def test_a_local_disk_gets_wal(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/torc.db")
    with store._dialect.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    store.close()
