"""What makes large workflows quick, seen where it can be seen without a large one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_report, begin
from sqlalchemy import text

from slurmtorc.errors import Conflict
from slurmtorc.model import Job, JobStatus, SpawnJob
from slurmtorc.ports import Page
from slurmtorc.store import dialect, pruning, workflows
from slurmtorc.store.keeper import Keeper
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from slurmtorc.clock import ManualClock
    from slurmtorc.model import Draft

S = JobStatus


def many(jobs: int = 1200) -> Draft:
    """The second half waits for the first, one for one."""
    half = jobs // 2
    return a_draft(*(f"a{i}" for i in range(half)), *(a_job(f"b{i}", i) for i in range(half)))


def answer(store: SqlStore, query: str) -> Any:
    return store._ask(lambda connection: connection.execute(text(query)).scalar())


def finish(store: SqlStore, node: int, jobs: int) -> list[int]:
    """Run so many jobs; their ids."""
    claims = store.claim(node, PLENTY, jobs)
    ids = [claim.job_id for claim in claims]
    store.start(node, ids)
    store.complete(node, [a_report(claim) for claim in claims])
    return ids


# ── how many there are ───────────────────────────────────────────────────────


def counted(store: SqlStore, workflow_id: int) -> tuple[int, int]:
    """The number that is kept, and the number that there is."""
    kept = store.rows(Job, Page(limit=1), workflow_id=workflow_id).total_count
    return kept, answer(store, f"SELECT count(*) FROM job WHERE workflow_id = {workflow_id}")


def test_the_number_of_jobs_is_kept_wherever_jobs_come_and_go(store: SqlStore) -> None:
    other = store.create(a_draft("other"))
    workflow_id, node = begin(store, a_draft("a", "b", "c"))
    assert counted(store, workflow_id) == (3, 3)
    by_name = store.rows(Job, Page(limit=2, sort_by="name"), workflow_id=workflow_id)
    assert ([job.name for job in by_name.items], by_name.total_count) == (["a", "b"], 3)
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    store.spawn(claim.job_id, None, [SpawnJob(name=n, command="true") for n in ("x", "y")])
    assert counted(store, workflow_id) == (5, 5)
    held = {claim.job_id}
    others = [job.id for job in store.rows(Job, workflow_id=workflow_id).items]
    store.delete_jobs(workflow_id, [job for job in others if job not in held][:2])
    assert counted(store, workflow_id) == (3, 3)
    assert counted(store, other) == (1, 1)


def test_the_number_of_jobs_is_kept_while_a_workflow_is_pruned(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STEP", 2)
    steps = {table: pruning._step(table) for table in pruning._IN_STEPS}
    monkeypatch.setattr(pruning, "_STEPS", steps)
    workflow_id = store.create(a_draft("a", "b", "c", "d", "e"))
    seen = [counted(store, workflow_id)]
    while store._change(lambda c: pruning.step(c, workflow_id)):
        seen.append(counted(store, workflow_id))
    assert sorted(set(seen)) == [(0, 0), (1, 1), (3, 3), (5, 5)]


def test_a_number_of_jobs_that_is_wrong_is_told_and_repaired(
    shared_url: str, clock: ManualClock
) -> None:
    with (
        closing(SqlStore(shared_url, clock)) as store,
        closing(Keeper(shared_url, clock)) as keeper,
    ):
        workflow_id = store.create(a_draft("a", "b"))
        store._change(lambda c: c.execute(text("UPDATE workflow SET job_count = 7")))
        (found,) = keeper.check()
        assert found.message == f"workflow {workflow_id} has 7 jobs by its counter; there are 2"
        keeper.repair()
        assert keeper.check() == []
        assert counted(store, workflow_id) == (2, 2)


@pytest.mark.parametrize("done", [0, 2, 5])
def test_progress_is_the_same_if_the_most_common_status_is_not_counted(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", "c", "d", "e", a_job("f", 0), a_job("g", 1)))
    store.create(a_draft(*(f"other{i}" for i in range(20))))
    finish(store, node, done)
    plain = store.progress(workflow_id)
    monkeypatch.setattr(workflows, "_MANY", 0)
    assert store.progress(workflow_id) == plain
    assert plain.total == 7
    assert list(store.progress(workflow_id).counts) == list(plain.counts)


def test_progress_of_no_jobs_is_empty_if_nothing_is_counted(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "_MANY", 0)
    assert store.progress(store.create(a_draft())).counts == {}


# ── what Postgres is told ────────────────────────────────────────────────────


@pytest.fixture
def postgres(fresh_postgres: str, clock: ManualClock) -> Any:
    with closing(SqlStore(fresh_postgres, clock)) as store:
        yield store


def known_statuses(store: SqlStore) -> str:
    query = "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'job'"
    return str(answer(store, f"{query} AND attname = 'status'"))


@pytest.mark.postgres
def test_postgres_knows_of_many_jobs_and_of_their_statuses_before_they_are_claimed(
    postgres: SqlStore,
) -> None:
    workflow_id = postgres.create(many())
    assert answer(postgres, "SELECT reltuples FROM pg_class WHERE relname = 'job'") == 1200
    links = "SELECT reltuples FROM pg_class WHERE relname = 'job_depends_on'"
    assert answer(postgres, links) == -1, "600 rows are not worth a look"
    assert known_statuses(postgres) == "{0}"
    postgres.initialize(workflow_id)
    assert sorted(known_statuses(postgres).strip("{}").split(",")) == ["1", "2"]


@pytest.mark.postgres
def test_rows_that_a_large_change_left_dead_are_gone_when_it_is_done(
    postgres: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "_LITTER", 1000)
    workflow_id = postgres.create(many())
    visible = "SELECT relallvisible FROM pg_class WHERE relname = 'job'"
    assert answer(postgres, visible) == 0
    postgres.initialize(workflow_id)
    assert answer(postgres, visible) > 0
    assert postgres.progress(workflow_id).counts == {S.BLOCKED: 600, S.READY: 600}


@pytest.mark.postgres
def test_a_change_that_is_not_committed_leaves_nothing_to_do(
    postgres: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "_LITTER", 1000)
    workflow_id = postgres.create(many())

    def begin_and_fail() -> None:
        with postgres.together():
            postgres.initialize(workflow_id)
            postgres.rerun(workflow_id, [], after_run=77)

    with pytest.raises(Conflict):
        begin_and_fail()
    postgres.archive(workflow_id, archived=True)
    assert answer(postgres, "SELECT relallvisible FROM pg_class WHERE relname = 'job'") == 0


@pytest.mark.postgres
def test_a_run_of_some_jobs_writes_no_row_of_the_others_anew(postgres: SqlStore) -> None:
    workflow_id, node = begin(postgres, a_draft("a", a_job("b", 0), "c", a_job("d", 2)))
    (job_id,) = finish(postgres, node, 1)

    def versions() -> dict[str, int]:
        query = text("SELECT name, xmin::text::bigint AS version FROM job")
        found = postgres._ask(lambda connection: connection.execute(query).all())
        return {row.name: row.version for row in found}

    before = versions()
    postgres.rerun(workflow_id, [job_id])
    after = versions()
    assert {name for name in before if before[name] != after[name]} == {"a", "b"}


READ = """
SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
FROM pg_stat_xact_user_tables WHERE relname = 'job'
"""


@pytest.mark.parametrize("how", ["claim", "claim_next"])
def test_a_claim_reads_no_more_the_more_jobs_are_over(postgres: SqlStore, how: str) -> None:
    jobs, over = 4000, 3600
    needs = [a_need("a"), a_need("b")]
    draft = a_draft(*(a_job(f"j{i}", requirement=i % 2) for i in range(jobs)), requirements=needs)
    _, node = begin(postgres, draft)
    done = 0
    while done < over:
        done += len(finish(postgres, node, 400))
    with postgres.together():
        before = answer(postgres, READ)
        if how == "claim":
            claims = postgres.claim(node, PLENTY, 10)
        else:
            claims = postgres.claim_next(node, 10)
        read = answer(postgres, READ) - before
    assert len(claims) == 10
    assert read < jobs / 10, "it went along jobs that are over"
