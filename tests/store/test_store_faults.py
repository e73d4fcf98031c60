"""What no store may lose: killed writers, full disks, servers that go away, stopped neighbours."""

from __future__ import annotations

import _thread
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from cluster import eventually
from factories import PLENTY, a_draft, a_job, a_node, a_report, an_allocation
from sqlalchemy.engine import make_url

from slurmtorc.errors import StoreError, StoreFull, StoreRefused, StoreUnavailable
from slurmtorc.model import File, JobStatus, Result
from slurmtorc.store.postgres import Postgres
from slurmtorc.store.sql import SqlStore
from slurmtorc.store.sqlite import Sqlite
from slurmtorc.store.turn import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postgres import Server
    from torc import Torc

    from slurmtorc.model import Draft

TESTS = Path(__file__).parent.parent
ROUNDS = int(os.environ.get("TORC_TEST_ROUNDS", "2"))
KILLED = 32 if "TORC_TEST_ROUNDS" in os.environ else 12
"""By hand: TORC_TEST_ROUNDS=100 pytest tests/store/test_store_faults.py -k killed"""

COUNTED_WRONG = """
SELECT id FROM job WHERE status = 1 AND blockers <>
  (SELECT count(*) FROM job_depends_on AS d JOIN job AS other ON other.id = d.depends_on_job_id
   WHERE d.job_id = job.id AND other.status NOT IN (5, 6, 7, 8))
  + (SELECT count(*) FROM barrier_out AS o JOIN barrier ON barrier.id = o.barrier_id
     WHERE o.job_id = job.id AND barrier.blockers > 0)
"""
HALF_DONE = """
SELECT id FROM job WHERE (status IN (3, 4)) <> (compute_node_id IS NOT NULL)
  OR (status = 5) <> EXISTS (SELECT 1 FROM result WHERE result.id = job.result_id)
  OR (status = 5) <> EXISTS (SELECT 1 FROM event WHERE type = 'job_completed'
                             AND json_extract(data, '$.job_id') = job.id)
"""


def layered(width: int, *, layers: int = 3) -> Draft:
    """Each layer waits for all of the one before: the first behind barriers, then one by one."""
    jobs = [a_job(f"j{i}") for i in range(width)]
    for layer in range(1, layers):
        first = layer * width
        jobs += [
            a_job(f"j{first + i}", first - width + i, first - width + (i + 1) % width)
            for i in range(width)
        ]
    return a_draft(*jobs)


def write(url: str, workflow_id: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TESTS / "writers.py", url, workflow_id, *arguments]
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, timeout=300
    )


# ── killed and stopped writers ───────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_writers_that_are_killed_leave_whole_transactions(tmp_path: Path, seed: int) -> None:
    with closing(SqlStore(f"sqlite:///{tmp_path}/torc.db")) as store:
        workflow_id = store.create(layered(700))
        store.initialize(workflow_id)
        done = write(store.url, workflow_id, KILLED, seed)
        assert done.returncode > 0, "all had ended before they were killed"
        with closing(sqlite3.connect(tmp_path / "torc.db")) as connection:
            for question, answer in (
                ("PRAGMA integrity_check", [("ok",)]),
                ("PRAGMA foreign_key_check", []),
                (COUNTED_WRONG, []),
                (HALF_DONE, []),
            ):
                assert connection.execute(question).fetchall() == answer
        assert store.progress(workflow_id).counts.get(JobStatus.COMPLETED, 0) > 0


@pytest.mark.slow
def test_sixty_four_writers_all_get_their_turn(tmp_path: Path) -> None:
    with closing(SqlStore(f"sqlite:///{tmp_path}/torc.db")) as store:
        workflow_id = store.create(a_draft(*(a_job(f"j{i}") for i in range(1_920))))
        store.initialize(workflow_id)
        done = write(store.url, workflow_id, 64)
        assert done.returncode == 0, done.stderr
        shares = [int(line) for line in done.stdout.split()]
        assert len(shares) == 64
        assert sum(shares) == 1_920
        assert min(shares) > 0
        assert Counter(r.job_id for r in store.rows(Result).items).most_common(1)[0][1] == 1


@pytest.fixture
def held_lock(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Another process's turn at tmp_path/torc.db, until it is given back."""
    with (tmp_path / "torc.db.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(file, fcntl.LOCK_UN)


def test_a_writer_whose_turn_never_comes_writes_without_one(
    tmp_path: Path, held_lock: Callable[[], None]
) -> None:
    turns = Turns(tmp_path / "torc.db", patience_s=0.01)
    with turns.mine():
        pass
    held_lock()
    with turns.mine(), (tmp_path / "torc.db.lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    turns.close()


def test_a_writer_that_is_interrupted_while_it_waits_keeps_no_turn(
    tmp_path: Path, held_lock: Callable[[], None]
) -> None:
    turns, others = Turns(tmp_path / "torc.db", patience_s=60), threads()

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt), turns.mine():
            pytest.fail("it was another one's turn")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    (waiting,) = threads() - others
    held_lock()
    eventually(lambda: waiting not in threads())  # its turn has come
    with (tmp_path / "torc.db.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused if anybody has the turn
    with turns.mine():
        pass
    turns.close()


def threads() -> set[str]:
    """Those of this process, by the kernel's numbers."""
    return {path.name for path in Path("/proc/self/task").iterdir()}


def test_a_writer_waits_for_its_turn(tmp_path: Path, held_lock: Callable[[], None]) -> None:
    turns = Turns(tmp_path / "torc.db", patience_s=60)
    script = "import fcntl, sys; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX)"
    with (tmp_path / "torc.db.lock").open() as file:
        waiting = subprocess.Popen(
            [sys.executable, "-c", script, str(file.fileno())], pass_fds=[file.fileno()]
        )
        held_lock()
        assert waiting.wait(60) == 0
    with turns.mine():
        pass
    turns.close()


def test_where_there_are_no_such_locks_sqlite_alone_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_file: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with closing(SqlStore(f"sqlite:///{tmp_path}/torc.db")) as store:
        assert store.create(a_draft("a")) == 1


def test_a_journal_that_sqlite_cannot_have_is_refused(tmp_path: Path) -> None:
    dialect = Sqlite(f"{tmp_path}/torc.db", create=True)
    without_shared_memory = f"file:{tmp_path}/torc.db?vfs=unix-dotfile"
    with (
        closing(sqlite3.connect(without_shared_memory, uri=True)) as connection,
        pytest.raises(StoreRefused, match=r"journal mode WAL but has delete.*local disk"),
    ):
        dialect._on_connect(connection, None)
    dialect.close()


# ── full disks ───────────────────────────────────────────────────────────────

PAGE = 4096


def fill(disk: Path, pages: int) -> None:
    """Leave room for so many pages."""
    (disk / "filler").unlink(missing_ok=True)
    room = os.statvfs(disk)
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, (room.f_bavail - pages) * room.f_bsize)


def everything(disk: Path) -> list[str]:
    with closing(sqlite3.connect(disk / "torc.db")) as connection:
        return list(connection.iterdump())


class Verbs:
    """A workflow step by step, each step one verb that writes."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.claims: Any = []

    def create(self) -> None:
        files = [File(name=f"f{i}", path=f"f{i}") for i in range(20)]
        jobs = [a_job(f"j{i}{'y' * 200}", output_files=(i,)) for i in range(20)]
        jobs += [a_job(f"k{i}", i, command="z" * 500, input_files=(i,)) for i in range(20)]
        self.store.create(a_draft(*jobs, files=files))

    def initialize(self) -> None:
        self.store.initialize(1)

    def register(self) -> None:
        self.store.register(a_node(1, lease_until=0.0))

    def intend(self) -> None:
        self.store.intend([an_allocation(1, f"{i}{'t' * 300}") for i in range(20)])

    def claim(self) -> None:
        self.claims = self.store.claim(1, PLENTY, 20)

    def start(self) -> None:
        self.store.start(1, [claim.job_id for claim in self.claims])

    def complete(self) -> None:
        reports = [
            a_report(claim, return_code=i % 2, stderr_tail="e" * 1000)
            for i, claim in enumerate(self.claims)
        ]
        self.store.complete(1, reports)

    def reset(self) -> None:
        self.store.reset_jobs(1, [claim.job_id for claim in self.claims])


def why_refused(verb: Callable[[], None]) -> str:
    """Nothing, if there was room."""
    try:
        verb()
    except StoreFull as error:
        return str(error)
    return ""


STEPS = ("create", "initialize", "register", "intend", "claim", "start", "complete", "reset")


def test_a_disk_that_is_full_at_any_write_refuses_the_whole_verb(
    small_disk: Callable[[str], Path],
) -> None:
    disk = small_disk("4m")
    with closing(SqlStore(f"sqlite:///{disk}/torc.db")) as store:
        verbs = Verbs(store)
        refused: Counter[str] = Counter()
        for step in STEPS:
            with closing(sqlite3.connect(disk / "torc.db")) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # no room in the log either
            before = everything(disk)
            for pages in range(200):
                fill(disk, pages)
                said = why_refused(getattr(verbs, step))
                if not said:
                    break
                refused[step] += 1
                assert "disk is full; make room" in said
                assert everything(disk) == before
            (disk / "filler").unlink()
            assert everything(disk) != before, step
        assert min(refused[step] for step in STEPS) > 1, refused
        assert store.progress(1).counts[JobStatus.UNINITIALIZED] == 20


# ── a server that goes away ──────────────────────────────────────────────────

RUN = """
name: many
jobs:
- {name: "first{i:03d}", command: "echo first{i} >> ran", parameters: {i: "1:120"}}
- {name: "then{i:03d}", command: "echo then{i} >> ran", parameters: {i: "1:120"},
   depends_on: ["first{i:03d}"]}
"""


def jobs_in(ran: Path) -> int:
    return len(ran.read_text().split()) if ran.exists() else 0


@pytest.mark.postgres
@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_when_the_server_restarts(
    own_postgres: Server, torc: Torc, tmp_path: Path
) -> None:
    url = own_postgres.create()
    running = torc.start(
        "run", torc.write("many.yaml", RUN), "--max-parallel-jobs", "3", "--url", url
    )
    ran = tmp_path / "ran"
    for enough, mode in ((20, "immediate"), (110, "fast"), (170, "immediate")):
        while running.poll() is None and jobs_in(ran) < enough:
            os.sched_yield()
        own_postgres.stop(mode)
        own_postgres.start()
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, out + err
    names = Counter(ran.read_text().split())
    assert len(names) == 240
    assert set(names.values()) == {1}
    with closing(SqlStore(url)) as store:
        assert store.progress(1).counts == {JobStatus.COMPLETED: 240}
        assert store.rows(Result).total_count == 240


# ── what may pass ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("57014", StoreUnavailable),  # statement_timeout
        ("25P03", StoreUnavailable),  # idle_in_transaction_session_timeout
        ("58030", StoreUnavailable),  # an I/O error
        ("57P01", StoreUnavailable),
        ("42601", StoreError),
    ],
)
def test_what_a_server_may_do_better_next_time_is_tried_again(
    state: str, kind: type[StoreError]
) -> None:
    with closing(Postgres(make_url("postgresql://u@127.0.0.1:1/db"))) as dialect:
        assert type(dialect.translated(psycopg.errors.lookup(state)("said so"))) is kind


def test_only_a_connection_that_failed_is_taken_for_one() -> None:
    with closing(Postgres(make_url("postgresql://u@127.0.0.1:1/db"))) as dialect:
        lost, wrong = psycopg.OperationalError("gone"), psycopg.ProgrammingError("no such type")
        assert type(dialect.translated(lost)) is StoreUnavailable
        assert type(dialect.translated(wrong)) is StoreError


@pytest.mark.parametrize("said", ["disk I/O error", "unable to open database file"])
def test_a_file_that_was_in_use_may_be_had_again(tmp_path: Path, said: str) -> None:
    error = sqlite3.OperationalError(said)
    with closing(Sqlite(f"{tmp_path}/torc.db", create=True)) as dialect:
        assert type(dialect.translated(error)) is StoreRefused
        with dialect.connected():
            pass
        assert type(dialect.translated(error)) is StoreUnavailable


def test_a_writer_without_room_for_a_thread_goes_on_without_a_turn(
    tmp_path: Path, held_lock: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", no_room)
    turns, done = Turns(tmp_path / "torc.db", patience_s=60), []
    with turns.mine():
        done.append("written")
    turns.close()
    held_lock()
    assert done
