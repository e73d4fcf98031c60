"""Stores of every earlier schema, with rows in them, become stores of this one; or stay whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from factories import a_node, run_all
from olden import OLDER, make_old
from sqlalchemy import inspect, text

from slurmtorc.errors import StoreRefused
from slurmtorc.model import Event, Job, JobStatus, Result
from slurmtorc.store import migrate
from slurmtorc.store.dialect import dialect_for
from slurmtorc.store.keeper import Keeper
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from torc import Torc

HERE = str(Path(__file__).parent.parent)


def rows(url: str) -> tuple[str | None, dict[str, int]]:
    """The schema a store has, and how many rows are in each table; looked at from outside."""
    dialect = dialect_for(url, create=False)
    with dialect.engine.connect() as connection:
        revision = migrate.stored_revision(connection)
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
        counts = {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
            for name in sorted(names)
        }
    dialect.close()
    return revision, {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("revision", OLDER)
def test_an_older_store_keeps_all_rows_and_goes_on(shared_url: str, revision: str) -> None:
    workflow_id = make_old(shared_url, revision)
    before = rows(shared_url)
    store = SqlStore(shared_url)
    try:
        assert before[0] == revision
        assert rows(shared_url) == (migrate.HEAD, before[1])
        statuses = Counter(job.status for job in store.rows(Job, workflow_id=workflow_id).items)
        assert statuses[JobStatus.COMPLETED] == 2
        assert len(store.rows(Result, workflow_id=workflow_id).items) == 2
        assert store.rows(Event, workflow_id=workflow_id).total_count == before[1]["event"]
        assert list(store.dependencies([3])[3]) == [1]
        node = store.register(a_node(workflow_id)).id
        assert [run_all(store, node) for _ in range(3)] == [["c"], ["d"], ["e"]]
        assert store.outlook(workflow_id).is_complete
        store.retire(node)
    finally:
        store.close()
    keeper = Keeper(shared_url)
    assert keeper.check() == []
    keeper.close()


OPEN = """
import sys
sys.stdin.readline()
from slurmtorc.store.sql import SqlStore
store = SqlStore(sys.argv[1])
print(store.progress(int(sys.argv[2])).total)
store.close()
"""


@pytest.mark.parametrize("revision", OLDER)
def test_of_processes_that_open_an_old_store_at_once_one_migrates_it(
    shared_url: str, revision: str
) -> None:
    workflow_id = make_old(shared_url, revision)
    before = rows(shared_url)[1]
    command = [sys.executable, "-c", OPEN, shared_url, str(workflow_id)]
    started = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in started:
        out, err = one.communicate(timeout=60)
        assert (one.returncode, out, err) == (0, "5\n", "")
    assert rows(shared_url) == (migrate.HEAD, before)


KILLED = """
import os, signal, sys
from slurmtorc.store import migrate
from slurmtorc.store.sql import SqlStore
whole = migrate.migrate
def and_no_further(connection):
    whole(connection)
    os.kill(os.getpid(), signal.SIGKILL)
migrate.migrate = and_no_further
SqlStore(sys.argv[1])
"""


@pytest.mark.parametrize("revision", OLDER)
def test_a_migration_that_is_killed_leaves_the_old_store_as_it_was(
    shared_url: str, revision: str
) -> None:
    workflow_id = make_old(shared_url, revision)
    before = rows(shared_url)
    command = [sys.executable, "-c", KILLED, shared_url]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert rows(shared_url) == before
    store = SqlStore(shared_url)
    assert store.progress(workflow_id).total == 5
    store.close()
    assert rows(shared_url) == (migrate.HEAD, before[1])


# ── by hand ──────────────────────────────────────────────────────────────────


def test_opening_for_care_does_not_migrate(shared_url: str) -> None:
    make_old(shared_url, "0001")
    keeper = Keeper(shared_url)
    assert keeper.outstanding() == ("0002", "0003")
    assert keeper.facts().revision == "0001"
    assert keeper.facts().rows["job"] == 5
    with pytest.raises(StoreRefused, match=r"has schema 0001, not 0003.*torc store migrate"):
        keeper.check()
    keeper.close()
    assert rows(shared_url)[0] == "0001"


def test_torc_store_migrate_says_first_what_it_would_do_and_makes_a_backup(
    torc: Torc, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/torc.db"
    make_old(url, "0001")
    before = rows(url)
    told = torc("--url", url, "store", "migrate", "--dry-run").out
    assert told == "Would migrate through 0002, 0003\n"
    assert rows(url) == before
    done = torc("--url", url, "-f", "json", "store", "migrate").json
    assert done["revisions"] == ["0002", "0003"]
    assert rows(url) == (migrate.HEAD, before[1])
    assert rows(f"sqlite:///{done['backup']}") == before
    assert torc("--url", url, "store", "migrate").out == "The schema is up to date.\n"
    assert len(list(tmp_path.glob("*.backup"))) == 1
