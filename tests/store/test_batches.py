"""Verbs that do many jobs at once, held against the same verbs one job at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from factories import PLENTY, a_draft, a_job, a_report, begin
from sqlalchemy import select

from slurmtorc.errors import Conflict, StoreError
from slurmtorc.model import ComputeNode, Job, JobStatus
from slurmtorc.store import postgres_wire
from slurmtorc.store import schema as t
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDS: tuple[dict[str, Any], ...] = (
    {},
    {"return_code": 3},
    {"return_code": 1, "again": True},
    {"return_code": 1, "again": True, "spared": True},
    {"return_code": 9, "status": JobStatus.TERMINATED},
    {"return_code": 9, "status": JobStatus.PENDING_FAILED},
    {"stderr_tail": "café 'quoted' \\ {1,2} \U0001f40b", "peak_cpu_percent": 0.1 + 0.2},
    {"completion_time": 1_700_000_002.123_456_7, "peak_memory_bytes": 2**40},
)
SHOWN = ("attempt_id", "status", "completion_time", "stderr_tail", "peak_cpu_percent")


def ended(store: SqlStore, size: int) -> tuple[list[Any], list[Any], list[Counter[str]]]:
    """Jobs, results and kinds of events after all ENDS were reported, so many at a time."""
    first = [a_job(f"j{i}") for i in range(len(ENDS))]
    minds = [a_job(f"k{i}", i) for i in range(len(ENDS))]
    anyway = [a_job("all", *range(len(ENDS)), cancel_on_blocking_job_failure=False)]
    workflow_id, node = begin(store, a_draft(*first, *minds, *anyway))
    claims = sorted(store.claim(node, PLENTY, len(ENDS)), key=lambda claim: claim.name)
    reports = [a_report(claim, **end) for claim, end in zip(claims, ENDS, strict=True)]
    for i in range(0, len(claims), size):
        store.start(node, [claim.job_id for claim in claims[i : i + size]])
    for i in range(0, len(reports), size):
        store.complete(node, reports[i : i + size])
    jobs = [
        (j.name, j.status, j.attempt_id, j.spared_attempts, j.origin, j.compute_node_id)
        for j in store.rows(Job, workflow_id=workflow_id).items
    ]
    of_workflow = (t.result.c.workflow_id == workflow_id) & (t.job.c.id == t.result.c.job_id)
    shown = [t.job.c.name, t.job.c.result_id == t.result.c.id, *(t.result.c[n] for n in SHOWN)]
    results = store._ask(lambda c: c.execute(select(*shown).where(of_workflow)).all())
    happened = store.events(workflow_id)
    kinds = Counter(event.type for event in happened if event.type.startswith("job_"))
    moved = Counter((e.type, i) for e in happened for i in e.data.get("job_ids", ()))
    return sorted(jobs), sorted(map(tuple, results)), [kinds, Counter(what for what, _ in moved)]


def test_reports_of_one_batch_come_to_what_they_come_to_one_by_one(store: SqlStore) -> None:
    assert ended(store, len(ENDS)) == ended(store, 1)


def test_a_claim_takes_the_lowest_ids_and_no_more_than_it_is_to(store: SqlStore) -> None:
    _, node = begin(store, a_draft(*(a_job(f"j{i:02}") for i in range(30))))
    first, second = store.claim(node, PLENTY, 12), store.claim(node, PLENTY, 12)
    assert [claim.name for claim in first + second] == [f"j{i:02}" for i in range(24)]


# ── straight to the server ───────────────────────────────────────────────────


@pytest.fixture
def on_postgres(fresh_postgres: str) -> Iterator[SqlStore]:
    opened = SqlStore(fresh_postgres)
    yield opened
    opened.close()


@pytest.mark.postgres
def test_a_server_plans_a_statement_a_few_times_and_keeps_the_plan(on_postgres: SqlStore) -> None:
    first = [f"a{i}" for i in range(120)]
    draft = a_draft(*first, *(a_job(f"b{i}", i) for i in range(120)))
    _, node = begin(on_postgres, draft)
    on_postgres._ask(lambda c: c.exec_driver_sql("ANALYZE job"))
    claims = on_postgres.claim(node, PLENTY, 10, start=True)
    while claims:
        on_postgres.complete(node, [a_report(claim) for claim in claims])
        claims = on_postgres.claim(node, PLENTY, 10, start=True)
    plans = on_postgres._ask(
        lambda c: c.exec_driver_sql(
            "SELECT generic_plans + custom_plans, custom_plans, statement "
            "FROM pg_prepared_statements"
        ).all()
    )
    often = [(each, statement) for all_, each, statement in plans if all_ > 10]
    assert len(often) > 8
    assert [statement for each, statement in often if each > 5] == []


@pytest.mark.postgres
def test_statements_that_a_server_has_forgotten_are_prepared_again(on_postgres: SqlStore) -> None:
    workflow_id, node = begin(on_postgres, a_draft("a", "b"))
    assert [claim.name for claim in on_postgres.claim(node, PLENTY, 1)] == ["a"]
    on_postgres._ask(lambda c: c.exec_driver_sql("DEALLOCATE ALL"))
    assert [claim.name for claim in on_postgres.claim(node, PLENTY, 1)] == ["b"]
    assert on_postgres.progress(workflow_id).counts == {JobStatus.PENDING: 2}


@pytest.mark.postgres
def test_statements_are_still_known_after_a_transaction_that_was_undone(
    on_postgres: SqlStore,
) -> None:
    workflow_id, node = begin(on_postgres, a_draft("a", "b"))
    assert [claim.name for claim in on_postgres.claim(node, PLENTY, 1)] == ["a"]
    for _ in range(10):  # what a driver would prepare by itself
        on_postgres.get(ComputeNode, node)
    with pytest.raises(Conflict), on_postgres.together():
        on_postgres.rerun(workflow_id, [], after_run=77)
    with on_postgres.together():  # nothing in here can be tried again
        on_postgres.get(ComputeNode, node)
        assert [claim.name for claim in on_postgres.claim(node, PLENTY, 1)] == ["b"]


@pytest.mark.postgres
def test_a_zero_byte_is_refused_and_nothing_is_stored(on_postgres: SqlStore) -> None:
    workflow_id, node = begin(on_postgres, a_draft("a"))
    with pytest.raises(StoreError):
        on_postgres._change(lambda c: postgres_wire.execute(c, "SELECT $1::text", ["a\0b"]))
    assert on_postgres.claim(node, PLENTY, 1)
    assert on_postgres.progress(workflow_id).counts == {JobStatus.PENDING: 1}


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 'it\'s \\ "é" \U0001f40b'),
        ("text", ""),
        ("bigint", -(2**62)),
        ("float8", 0.1 + 0.2),
        ("float8", 1_700_000_002.123_456_7),
        ("bool", False),
        ("bigint[]", []),
        ("bigint[]", [1, 2**40]),
        ("text", None),
    ],
)
def test_values_come_back_as_they_were_given(
    on_postgres: SqlStore, kind: str, value: object
) -> None:
    query = f"SELECT $1::{kind}"
    rows = on_postgres._ask(lambda c: postgres_wire.execute(c, query, [value]))
    assert rows == [(value,)]


@pytest.mark.postgres
def test_a_connection_that_the_server_has_ended_is_not_used_again(on_postgres: SqlStore) -> None:
    _, node = begin(on_postgres, a_draft("a"))
    with psycopg.connect(on_postgres.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert on_postgres.claim(node, PLENTY, 1)
    assert on_postgres.get(ComputeNode, node).is_active
