"""`torc workflows sync-status`: the dead, found by hand."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
from factories import a_node

from slurmtorc.model import Job, WatchState
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torc import Torc

SPEC = "name: w\njobs:\n- {name: a, command: 'true'}\n- {name: b, command: 'true'}\n"


@pytest.fixture
def store(torc: Torc) -> Iterator[SqlStore]:
    """A workflow that a worker was in the middle of when it died, some minutes ago."""
    torc("create", torc.write("w.yaml", SPEC))
    opened = SqlStore(f"sqlite:///{torc.folder}/torc_output/torc.db")
    opened.initialize(1)
    long_ago = time.time() - 1000
    node = opened.register(a_node(1, hostname="n9", lease_until=long_ago))
    first, _ = opened.claim_next(node.id, 2)
    opened.start(node.id, [first.job_id])
    _age(torc.folder, long_ago)
    yield opened
    opened.close()


def _age(folder: Path, moment: float) -> None:
    with sqlite3.connect(folder / "torc_output/torc.db") as connection:
        connection.execute("UPDATE compute_node SET missed_since = ?", (moment,))
    connection.close()


def _dump(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "torc_output/torc.db") as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def statuses(store: SqlStore) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job).items}


def test_a_dry_run_tells_and_changes_nothing(torc: Torc, store: SqlStore) -> None:
    assert statuses(store) == {"a": "running", "b": "pending"}
    before = _dump(torc.folder)
    said = torc("workflows", "sync-status", "1", "--dry-run").out
    assert "worker 1 on n9 is gone: it gives no sign of life" in said
    assert "1 claimed jobs go back" in said
    assert "job 1 (a) attempt 1: orphaned, return code -128; no failure handler" in said
    assert _dump(torc.folder) == before


def test_what_is_dead_is_ended(torc: Torc, store: SqlStore) -> None:
    report = torc("workflows", "sync-status", "1", "-f", "json").json
    assert (report["slurm_jobs_failed"], report["running_jobs_failed"]) == (0, 1)
    assert report["failed_job_details"][0]["job_name"] == "a"
    assert statuses(store) == {"a": "failed", "b": "ready"}
    assert torc("workflows", "sync-status", "1").out == "Nothing is dead.\n"


def test_a_watch_at_work_is_left_alone(torc: Torc, store: SqlStore) -> None:
    me = WatchState(
        workflow_id=1, holder="x", hostname="login1", pid=7, lease_until=time.time() + 1000
    )
    store.hold_watch(me)
    said = torc("workflows", "sync-status", "1", code=1).one_line()
    assert "a watch of workflow 1 is at work on login1 (process 7)" in said
    assert statuses(store) == {"a": "running", "b": "pending"}
