"""No verb of a running workflow reads through a whole table: SQLite's own plans say so."""

from __future__ import annotations

from typing import Any

import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_report, begin

from slurmtorc.model import Job, JobStatus
from slurmtorc.store.sql import SqlStore

SCANNED = ("SCAN job", "SCAN other", "SCAN result", "SCAN event", "SCAN barrier", "SCAN file")


@pytest.fixture
def watched() -> tuple[SqlStore, list[str]]:
    """A store with some jobs, and the statements that SQLite has executed since."""
    store = SqlStore("sqlite://")
    executed: list[str] = []
    driver(store).set_trace_callback(executed.append)
    return store, executed


def driver(store: SqlStore) -> Any:
    """The one connection of a store in memory."""
    return store._dialect.engine.raw_connection().driver_connection


def plans(store: SqlStore, executed: list[str]) -> list[tuple[str, str]]:
    """(statement, line of its plan)"""
    connection = driver(store)
    connection.set_trace_callback(None)
    found = []
    for statement in [s for s in executed if s.split()[0] in {"SELECT", "UPDATE", "WITH"}]:
        lines = connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        found += [(statement, line[3]) for line in lines.fetchall()]
    return found


def use_every_verb(store: SqlStore, workflow_id: int, node: int) -> None:
    """What the worker, the watch and the status page ask of a store."""
    claims = store.claim(node, PLENTY, 12)
    store.claim_next(node, 2)
    store.start(node, [claim.job_id for claim in claims])
    store.release(node, store.held(node))
    store.complete(node, [a_report(claim, return_code=i % 3) for i, claim in enumerate(claims)])
    store.complete(node, [a_report(claims[0])])
    store.outlook(workflow_id)
    store.heartbeat(node, 1e10)
    store.pending_actions(workflow_id)
    store.rows(Job, workflow_id=workflow_id, status=JobStatus.FAILED)
    store.dependencies([claim.job_id for claim in claims])
    store.give_up(node, [1, 2])


def test_no_verb_scans_a_table(watched: tuple[SqlStore, list[str]]) -> None:
    store, executed = watched
    jobs = [a_job(f"j{i}", requirement=i % 2) for i in range(20)]
    jobs += [a_job(f"k{i}", i, after=(0,)) for i in range(20)]
    needs = [a_need("a"), a_need("b", num_cpus=2)]
    workflow_id, node = begin(store, a_draft(*jobs, requirements=needs, barriers=[(0, 1, 2)]))
    executed.clear()
    use_every_verb(store, workflow_id, node)
    seen = plans(store, executed)
    assert len(seen) > 30
    scans = [(statement, line) for statement, line in seen if line.startswith(SCANNED)]
    assert scans == []
    claiming = [line for statement, line in seen if "RECURSIVE ready" in statement]
    looked_up = [line for line in claiming if line.startswith("SEARCH job USING")]
    assert looked_up
    assert all("ix_job_ready" in line for line in looked_up), "one look-up for each class"
