"""The care of a store: copies, checks, repairs, room, and what may go."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from factories import a_draft, a_job, a_node, a_report, an_allocation, begin, run_all
from sqlalchemy import text

from slurmtorc.errors import Conflict, StoreError, StoreFull, StoreRefused
from slurmtorc.model import (
    Action,
    ActionType,
    Event,
    Job,
    JobStatus,
    Result,
    TriggerType,
    WatchState,
    Workflow,
)
from slurmtorc.ports import Criteria, Keep
from slurmtorc.store import copying, pruning, sqlite_care
from slurmtorc.store.keeper import Keeper
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slurmtorc.clock import ManualClock

HERE = str(Path(__file__).parent.parent)
DAY = 86_400.0
EVERYTHING = Criteria(
    statuses={"completed", "failed", "canceled", "archived", "unstarted", "unfinished"}
)


@pytest.fixture
def cared(shared_url: str, clock: ManualClock) -> Iterator[tuple[SqlStore, Keeper]]:
    """A store, and its keeper."""
    store = SqlStore(shared_url, clock)
    keeper = Keeper(shared_url, clock)
    yield store, keeper
    keeper.close()
    store.close()


def change(store: SqlStore, statement: str) -> None:
    """What no verb does."""
    store._change(lambda connection: connection.execute(text(statement)))


def half_way(store: SqlStore) -> tuple[int, int]:
    """A workflow with jobs that are over, and others that wait for them and behind a barrier."""
    jobs = ("a", "b", a_job("c", 0), a_job("d", 2), a_job("e", after=(0,)))
    workflow_id, node_id = begin(store, a_draft(*jobs, barriers=[(2, 3)]))
    store.heartbeat(node_id, 2e9)
    run_all(store, node_id)
    return workflow_id, node_id


def an_action(workflow_id: int) -> Action:
    return Action(
        workflow_id=workflow_id,
        trigger_type=TriggerType.ON_JOBS_READY,
        action_type=ActionType.RUN_COMMANDS,
        action_config={"commands": ["true"]},
    )


def idle(store: SqlStore) -> int:
    """The same, with no worker any more."""
    workflow_id, node_id = half_way(store)
    store.retire(node_id)
    return workflow_id


def finished(store: SqlStore, name: str = "test", user: str = "me") -> int:
    """A workflow that ran to its end."""
    draft = a_draft("a", "b", workflow=Workflow(name=name, user=user))
    workflow_id, node_id = begin(store, draft)
    run_all(store, node_id)
    store.retire(node_id)
    return workflow_id


# ── backup ───────────────────────────────────────────────────────────────────

WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
from factories import a_draft
from slurmtorc.store.sql import SqlStore
store = SqlStore(sys.argv[1])
print("ready", flush=True)
while True:
    store.create(a_draft(*(f"j{i}" for i in range(50))))
"""


def test_a_backup_under_writers_is_one_moment_of_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/torc.db"
    with closing(SqlStore(url)) as store:
        for _ in range(20):
            store.create(a_draft(*(f"j{i}" for i in range(50))))
    command = [sys.executable, "-c", WRITE, url, HERE]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for one in writers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        with closing(Keeper(url)) as keeper:
            copies = [keeper.backup(tmp_path / f"copy{i}.db") for i in range(3)]
    finally:
        for one in writers:
            one.kill()
            one.communicate()
    for copy in copies:
        with closing(Keeper(f"sqlite:///{copy.path}")) as copied:
            facts = copied.facts()
            assert copied.check() == []
        assert facts.rows["job"] == 50 * facts.rows["workflow"] >= 1000
    names = {
        path.name for path in tmp_path.iterdir() if "copy" in path.name and "-" not in path.name
    }
    assert not any(name.endswith(".part") for name in names)


def test_a_backup_is_one_file_that_only_its_owner_reads_if_the_store_is(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/torc.db")
    idle(store)
    (tmp_path / "torc.db").chmod(0o600)
    with closing(Keeper(store.url)) as keeper:
        keeper.backup(tmp_path / "copy.db")
        assert keeper.facts().cared_for["backup"][1] == str(tmp_path / "copy.db")
    store.close()
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.db"]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/torc.db")
    idle(store)
    mine = tmp_path / "mine"
    mine.write_text("precious")
    with closing(Keeper(store.url)) as keeper:
        with pytest.raises(Conflict, match=r"is there already.*--force"):
            keeper.backup(mine)
        assert mine.read_text() == "precious"
        keeper.backup(mine, force=True)
        with pytest.raises(Conflict, match="is the store itself"):
            keeper.backup(tmp_path / "torc.db", force=True)
    store.close()
    with closing(Keeper(f"sqlite:///{mine}")) as copied:
        assert copied.facts().rows["job"] == 5


def test_a_damaged_store_is_told_and_not_copied_as_if_it_were_whole(tmp_path: Path) -> None:
    path = tmp_path / "torc.db"
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        idle(store)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("DELETE FROM job WHERE name = 'a'")
        connection.commit()
    with closing(Keeper(f"sqlite:///{path}")) as keeper:
        assert any("refers to a row" in one.message for one in keeper.check())
        with pytest.raises(StoreRefused, match="the store is damaged"):
            keeper.backup(tmp_path / "copy.db")
        assert keeper.repair()[0].kind == "damage"
    assert not list(tmp_path.glob("copy*"))


def test_a_disk_without_room_is_known_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/torc.db")
    idle(store)
    real = copying.os.statvfs(tmp_path)
    full = type("Disk", (), {"f_bavail": 1, "f_frsize": real.f_frsize})
    monkeypatch.setattr(copying.os, "statvfs", lambda _: full)
    with closing(Keeper(store.url)) as keeper:
        with pytest.raises(StoreFull, match="are needed; make room"):
            keeper.backup(tmp_path / "copy.db")
        store_now = sorted(path.name for path in tmp_path.glob("copy*"))
        assert store_now == []
    store.close()


def test_a_disk_that_fills_during_a_backup_is_one_line_and_leaves_nothing(
    small_disk: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = small_disk("1m")
    monkeypatch.setattr(copying, "refuse_too_small", lambda *_: None)
    store = SqlStore(f"sqlite:///{tmp_path}/torc.db")
    store.create(a_draft(*(f"job_{i}" for i in range(10_000))))
    with closing(Keeper(store.url)) as keeper:
        with pytest.raises(StoreFull, match=r"copy\.db.*the disk is full; make room"):
            keeper.backup(disk / "copy.db")
        assert list(disk.iterdir()) == []
        assert keeper.check() == []
    store.close()


def test_a_disk_without_room_for_a_vacuum_is_one_line_and_nothing_is_lost(
    small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = small_disk("1m")
    store = SqlStore(f"sqlite:///{disk}/torc.db")
    workflow_id = store.create(a_draft(*(f"job_{i}" for i in range(1000))))
    store.close()
    free = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - 150_000))
    with closing(Keeper(store.url)) as keeper:
        with pytest.raises(StoreFull, match=r"free and .* are needed; make room"):
            keeper.vacuum()
        monkeypatch.setattr(sqlite_care, "refuse_too_small", lambda *_: None)
        with pytest.raises(StoreFull, match="disk is full; make room"):
            keeper.vacuum()
        assert keeper.check() == []
    (disk / "filler").unlink()
    with closing(SqlStore(store.url)) as again:
        assert again.progress(workflow_id).total == 1000


@pytest.mark.postgres
def test_a_backup_of_postgres_can_be_restored(postgres_server, tmp_path: Path) -> None:  # noqa: ANN001
    url = postgres_server.create()
    store = SqlStore(url)
    idle(store)
    with closing(Keeper(url)) as keeper:
        done = keeper.backup(tmp_path / "copy.dump")
    store.close()
    assert done.bytes > 0
    other = postgres_server.create()
    subprocess.run(["pg_restore", f"--dbname={other}", done.path], check=True)
    with closing(Keeper(other)) as keeper:
        assert keeper.check() == []
        assert keeper.facts().rows["job"] == 5


@pytest.mark.postgres
def test_without_pg_dump_the_command_to_give_is_told(
    fresh_postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqlStore(fresh_postgres).close()
    monkeypatch.setenv("PATH", "/nowhere")
    with closing(Keeper(fresh_postgres)) as keeper:
        said = rf"pg_dump --format=custom --no-owner --file={tmp_path}/c --dbname='postgresql://"
        with pytest.raises(StoreRefused, match=said):
            keeper.backup(tmp_path / "c")


# ── check and repair ─────────────────────────────────────────────────────────


def test_a_store_is_sound_at_every_step_of_a_workflow(cared: tuple[SqlStore, Keeper]) -> None:
    store, keeper = cared
    workflow_id, node_id = half_way(store)
    store.add_action(an_action(workflow_id), [4, 5])
    for _ in range(3):
        assert keeper.check() == []
        run_all(store, node_id, return_code=0)
    assert keeper.check() == []
    store.heartbeat(node_id, 0.0)
    store.initialize(workflow_id)
    store.reset_jobs(workflow_id, [1])
    assert keeper.check() == []
    store.rerun(workflow_id, [2])
    assert keeper.check() == []
    store.cancel(workflow_id)
    assert keeper.check() == []


WRONG = {
    "a counter that is too high": ("UPDATE job SET blockers = 2 WHERE name = 'd'", "blockers"),
    "a counter that is too low": ("UPDATE job SET blockers = 0 WHERE name = 'd'", "blockers"),
    "a barrier's counter": ("UPDATE barrier SET blockers = 1", "barrier"),
    "a job that nobody runs": ("UPDATE job SET status = 4 WHERE name = 'c'", "holder"),
    "a job of a worker that ended": (
        "UPDATE job SET status = 4, start_time = 1, compute_node_id = 1 WHERE name = 'c'",
        "holder",
    ),
    "a holder of what is over": ("UPDATE job SET compute_node_id = 1 WHERE name = 'a'", "holder"),
    "no result": ("UPDATE job SET result_id = NULL WHERE name = 'a'", "result"),
    "another's result": ("UPDATE job SET result_id = 2 WHERE name = 'a'", "result"),
    "ids that would be given out again": (
        "UPDATE id_block SET next_id = 2 WHERE kind = 'job'", "ids",
    ),
    "an action's counter": ("UPDATE workflow_action SET trigger_count = 7", "action"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_contradicts_itself_is_told_and_repaired(
    cared: tuple[SqlStore, Keeper], wrong: str
) -> None:
    store, keeper = cared
    workflow_id = idle(store)
    store.add_action(an_action(workflow_id), [4])
    statement, kind = WRONG[wrong]
    change(store, statement)
    found = keeper.check()
    assert {one.kind for one in found} == {kind}
    assert all(one.can_repair and one.mend == "torc store check --repair" for one in found)
    assert keeper.repair() == found
    assert keeper.check() == []
    store.initialize(workflow_id)
    node_id = store.register(a_node(workflow_id)).id
    while run_all(store, node_id):
        pass
    assert {job.status for job in store.rows(Job).items} == {JobStatus.COMPLETED}


@pytest.mark.parametrize(("code", "becomes"), [(0, "ready"), (1, "canceled")])
def test_a_job_that_was_stuck_is_freed_or_canceled_with_what_follows(
    cared: tuple[SqlStore, Keeper], code: int, becomes: str
) -> None:
    store, keeper = cared
    draft = a_draft("a", a_job("b", 0), a_job("c", 1))
    workflow_id, node_id = begin(store, draft)
    change(store, "UPDATE job SET blockers = 2 WHERE name = 'b'")
    run_all(store, node_id, return_code=code)
    store.retire(node_id)
    assert [one.kind for one in keeper.check()] == ["blockers"]
    keeper.repair()
    assert keeper.check() == []
    b, c = store.rows(Job, workflow_id=workflow_id).items[1:]
    assert b.status.word == becomes
    assert c.status.word == ("canceled" if code else "blocked")


def test_nothing_is_repaired_under_active_workers(cared: tuple[SqlStore, Keeper]) -> None:
    store, keeper = cared
    half_way(store)
    change(store, "UPDATE job SET blockers = 2 WHERE name = 'd'")
    with pytest.raises(Conflict, match="workers are active on n1; repair the store once"):
        keeper.repair()
    assert len(keeper.check()) == 1


# ── room ─────────────────────────────────────────────────────────────────────


def test_vacuum_gives_back_what_was_deleted_and_refuses_under_workers(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/torc.db")
    workflow_id = store.create(a_draft(*(f"job_{i}" for i in range(5000))))
    store.delete_workflow(workflow_id)
    with closing(Keeper(store.url)) as keeper:
        before, after = keeper.vacuum()
        assert after < before / 2
        half_way(store)
        with pytest.raises(Conflict, match="workers are active on n1; vacuum the store once"):
            keeper.vacuum()
    store.close()


def test_vacuum_and_facts_work_on_both(cared: tuple[SqlStore, Keeper]) -> None:
    store, keeper = cared
    finished(store)
    keeper.vacuum()
    facts = keeper.facts()
    assert facts.rows["job"] == 2
    assert facts.bytes > 0
    assert facts.active_workers == 0
    assert "vacuum" in facts.cared_for


# ── prune ────────────────────────────────────────────────────────────────────


def statuses(keeper: Keeper) -> dict[int, str]:
    return {one.workflow_id: one.status for one in keeper.prunable(EVERYTHING)}


def test_workflows_are_told_apart_by_what_they_came_to(cared: tuple[SqlStore, Keeper]) -> None:
    store, keeper = cared
    done, waiting = finished(store), idle(store)
    failed, node = begin(store, a_draft("a"))
    run_all(store, node, return_code=1)
    store.retire(node)
    canceled, fresh = idle(store), store.create(a_draft("a"))
    store.cancel(canceled)
    assert statuses(keeper) == {
        done: "completed", waiting: "unfinished", failed: "failed",
        canceled: "canceled", fresh: "unstarted",
    }  # fmt: skip


def test_age_user_and_number_narrow_the_choice(
    cared: tuple[SqlStore, Keeper], clock: ManualClock
) -> None:
    store, keeper = cared
    old, hers = finished(store), finished(store, user="her")
    clock.sleep(10 * DAY)
    young = finished(store)

    def chosen(**values: object) -> list[int]:
        criteria = Criteria(statuses={"completed"}, **values)  # type: ignore[arg-type]
        return [one.workflow_id for one in keeper.prunable(criteria)]

    assert chosen() == [old, hers, young]
    assert chosen(user="me") == [old, young]
    assert chosen(idle_since=clock.now() - DAY) == [old, hers]
    assert chosen(keep_last=1) == [old]
    assert chosen(keep_last=2) == []


def test_a_pruned_workflow_is_gone_and_others_are_not(
    cared: tuple[SqlStore, Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keeper = cared
    steps = {table: pruning._step(table) for table in pruning._IN_STEPS}
    monkeypatch.setattr(pruning, "_STEPS", steps)
    gone, stays = finished(store), idle(store)
    keeper.prune(gone)
    assert [one.id for one in store.rows(Workflow).items] == [stays]
    assert {job.workflow_id for job in store.rows(Job).items} == {stays}
    assert store.events(gone) == []
    assert keeper.check() == []


@pytest.mark.parametrize("use", ["workers", "allocations", "watches"])
def test_a_workflow_in_use_is_never_pruned(
    cared: tuple[SqlStore, Keeper], clock: ManualClock, use: str
) -> None:
    store, keeper = cared
    workflow_id = finished(store)
    soon = clock.now() + 60
    if use == "workers":
        store.register(a_node(workflow_id, lease_until=soon))
    elif use == "allocations":
        store.intend([an_allocation(workflow_id)])
    else:
        watch = WatchState(workflow_id=workflow_id, holder="w", hostname="h", lease_until=soon)
        store.hold_watch(watch)
    (seen,) = keeper.prunable(EVERYTHING)
    assert seen.in_use == f"1 live {use}"
    with pytest.raises(Conflict, match=f"has 1 live {use}; cancel it"):
        keeper.prune(workflow_id)
    assert store.progress(workflow_id).total == 2


def test_a_workflow_that_was_started_again_since_it_was_listed_stays(
    cared: tuple[SqlStore, Keeper], clock: ManualClock
) -> None:
    store, keeper = cared
    workflow_id, other = finished(store), finished(store)
    listed, unchanged = keeper.prunable(EVERYTHING)
    clock.sleep(1)
    store.reset_jobs(workflow_id, [job.id for job in store.rows(Job, workflow_id=1).items])
    with pytest.raises(Conflict, match="has changed since it was listed"):
        keeper.prune(workflow_id, listed)
    keeper.prune(other, unchanged)
    assert [one.id for one in store.rows(Workflow).items] == [workflow_id]


def test_what_was_interrupted_cannot_run_and_is_finished_by_the_next(
    cared: tuple[SqlStore, Keeper], clock: ManualClock
) -> None:
    store, keeper = cared
    workflow_id = finished(store)
    keeper._change(lambda c: pruning.begin(c, workflow_id, clock.now()))
    assert keeper._change(lambda c: pruning.step(c, workflow_id))
    assert keeper.half_pruned() == [workflow_id]
    with pytest.raises(Conflict, match="is archived"):
        store.initialize(workflow_id)
    keeper.prune(workflow_id)
    assert keeper.half_pruned() == []
    assert store.rows(Workflow).items == []


# ── trim ─────────────────────────────────────────────────────────────────────


def runs(store: SqlStore, count: int) -> int:
    """A workflow of one job that was run so often."""
    workflow_id, node_id = begin(store, a_draft("a", "b"))
    for number in range(1, count + 1):
        for claim in store.claim_next(node_id, 1 if number > 1 else 2):
            store.start(node_id, [claim.job_id])
            store.complete(node_id, [a_report(claim, run_id=number)])
        if number < count:
            store.rerun(workflow_id, [1])
            node_id = store.register(a_node(workflow_id, lease_until=0.0)).id
    store.retire(node_id)
    return workflow_id


def test_results_of_old_runs_go_but_never_the_last_one_of_a_job(
    cared: tuple[SqlStore, Keeper],
) -> None:
    store, keeper = cared
    runs(store, 5)
    before = [(one.job_id, one.run_id) for one in store.rows(Result).items]
    assert sorted(before) == [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 1)]
    assert keeper.trim(Keep(runs=2), dry_run=True).results == 3  # type: ignore[union-attr]
    assert len(store.rows(Result).items) == 6
    assert keeper.trim(Keep(runs=2)).results == 3  # type: ignore[union-attr]
    left = sorted((one.job_id, one.run_id) for one in store.rows(Result).items)
    assert left == [(1, 4), (1, 5), (2, 1)]
    assert keeper.check() == []


def test_events_go_by_number_and_by_age_and_the_newest_stays(
    cared: tuple[SqlStore, Keeper], clock: ManualClock
) -> None:
    store, keeper = cared
    workflow_id = runs(store, 5)
    ids = [event.id for event in store.events(workflow_id)]
    keeper.trim(Keep(events=4))
    assert [event.id for event in store.events(workflow_id)] == ids[-4:]
    clock.sleep(10 * DAY)
    store.initialize(workflow_id)
    keeper.trim(Keep(event_days=9))
    assert len(store.events(workflow_id)) == 1
    clock.sleep(10 * DAY)
    keeper.trim(Keep(event_days=9))
    assert store.rows(Event, workflow_id=workflow_id).total_count == 1


def test_nothing_goes_where_everything_is_kept(cared: tuple[SqlStore, Keeper]) -> None:
    store, keeper = cared
    runs(store, 3)
    gone = keeper.trim(Keep())
    assert gone is not None
    assert (gone.events, gone.results) == (0, 0)


def test_what_is_done_daily_is_done_by_one_and_once(
    cared: tuple[SqlStore, Keeper], clock: ManualClock
) -> None:
    store, keeper = cared
    runs(store, 3)
    assert keeper.trim(Keep(events=1), every_s=DAY) is not None
    assert keeper.trim(Keep(events=1), every_s=DAY) is None
    clock.sleep(DAY + 1)
    assert keeper.trim(Keep(events=1), every_s=DAY) is not None


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        Keeper(f"sqlite:///{tmp_path}/torc.db")
    with pytest.raises(StoreRefused, match="in memory"):
        Keeper("sqlite://")
