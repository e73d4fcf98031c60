"""A glance at a SQLite file: what it may not do, and when it leaves the answer to the store."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from factories import a_draft, begin
from sqlalchemy import text

from slurmtorc.store import glance, overview, place
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store whose workflow 1 has begun."""
    url = f"sqlite:///{tmp_path}/torc.db"
    store = SqlStore(url)
    begin(store, a_draft("a", "b"))
    store.close()
    return url


def test_its_statements_are_those_that_the_store_uses() -> None:
    assert glance.WRITTEN.read_text("utf-8") == overview.written(), "run: python docs/make.py"


def test_a_status_does_without_sqlalchemy(url: str) -> None:
    program = (
        "import sys; from slurmtorc.cli import main; "
        f"assert main(['status', '1', '--url', {url!r}, '-f', 'json']) == 0; "
        "assert 'sqlalchemy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"workflow_name": "test"' in done.stdout


def test_it_waits_for_no_writer_and_sees_what_is_committed(url: str) -> None:
    store = SqlStore(url)
    with store.together():
        store.cancel(1)
        seen = glance.glance(url, 1)
        assert seen is not None
        assert not seen.progress.is_canceled
    assert glance.glance(url, 1) == store.overview(1)
    store.close()


def test_a_store_of_another_schema_is_left_to_be_migrated_or_refused(url: str) -> None:
    store = SqlStore(url)
    store._change(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    store.close()
    assert glance.glance(url, 1) is None


def test_what_is_no_store_is_left_to_be_explained(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 1000)
    (tmp_path / "empty.db").touch()
    for name in ("text.db", "empty.db", "absent.db", "", "empty.db?mode=ro"):
        assert glance.glance(f"sqlite:///{tmp_path}/{name}", 1) is None
    for url in ("sqlite://", "sqlite:///:memory:", "postgresql://host/name", "nonsense"):
        assert glance.glance(url, 1) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.db", "text.db"]


def test_a_network_file_system_is_left_to_the_store(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    assert glance.glance(url, 1) is None
