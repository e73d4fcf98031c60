"""Two transactions that meet on Postgres: neither sees what the other has not committed yet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from factories import PLENTY, a_draft, a_job, a_report, begin

from slurmtorc.model import ComputeNode
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.postgres

WAITS = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.fixture
def stores(fresh_postgres: str) -> Iterator[tuple[SqlStore, SqlStore]]:
    one, two = SqlStore(fresh_postgres), SqlStore(fresh_postgres)
    yield one, two
    one.close()
    two.close()


def begun(url: str, work: Callable[[], object]) -> threading.Thread:
    """A thread that has done its work, or waits for somebody else's transaction."""
    thread = threading.Thread(target=work)
    thread.start()
    with psycopg.connect(url, autocommit=True) as connection:
        while thread.is_alive() and not connection.execute(WAITS).fetchall():
            thread.join(0.01)
    return thread


def test_an_end_and_the_cancellation_of_the_last_blocked_job_complete_the_workflow(
    stores: tuple[SqlStore, SqlStore], fresh_postgres: str
) -> None:
    one, two = stores
    workflow_id, node = begin(one, a_draft("fails", "done", a_job("canceled", 0)))
    fails, done = one.claim(node, PLENTY, 2)
    one.start(node, [fails.job_id, done.job_id])
    with one.together():
        one.complete(node, [a_report(done)])
        thread = begun(fresh_postgres, lambda: two.complete(node, [a_report(fails, return_code=1)]))
    thread.join()
    assert one.progress(workflow_id).is_complete
    happened = [event.type for event in one.events(workflow_id)]
    assert happened.count("workflow_completed") == 1


def test_a_worker_that_is_given_up_while_it_claims_holds_nothing(
    stores: tuple[SqlStore, SqlStore], fresh_postgres: str
) -> None:
    one, two = stores
    _, node = begin(one, a_draft("a", "b"))
    with one.together():
        claims = one.claim(node, PLENTY, 1)
        one.start(node, [claim.job_id for claim in claims])
        thread = begun(fresh_postgres, lambda: two.abandon(node))
    thread.join()
    assert not one.get(ComputeNode, node).is_active
    assert one.held(node) == []
