"""The list of a workflow's jobs by id, on whatever page, and what a run finds to link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from factories import a_draft, a_job, begin
from sqlalchemy import text

from slurmtorc.model import File, Job, JobStatus
from slurmtorc.ports import Page

if TYPE_CHECKING:
    from slurmtorc.store.sql import SqlStore


def names(store: SqlStore, workflow_id: int, page: Page) -> list[str]:
    found = store.rows(Job, page, workflow_id=workflow_id)
    assert found.total_count == 10
    assert found.offset == page.offset
    return [job.name for job in found.items]


@pytest.mark.parametrize("offset", [0, 3, 8, 10, 12])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with a stranger between"])
def test_a_page_of_jobs_is_cut_from_the_whole_list(
    store: SqlStore, offset: int, *, reverse: bool, alone: bool
) -> None:
    workflow_id = store.create(a_draft(*(f"j{n}" for n in range(10))))
    other = store.create(a_draft("other"))
    with store._dialect.engine.begin() as connection:
        if not alone:  # the others' job takes a place among ours
            connection.execute(text("UPDATE job SET id = 100 WHERE name = 'j9'"))
            connection.execute(text("UPDATE job SET status = 2 WHERE name = 'j4'"))
    whole = [f"j{n}" for n in range(10)]
    if reverse:
        whole.reverse()
    page = Page(offset=offset, limit=4, reverse_sort=reverse)
    assert names(store, workflow_id, page) == whole[offset : offset + 4]
    assert [job.name for job in store.rows(Job, workflow_id=other).items] == ["other"]


def test_a_list_of_no_jobs_is_empty(store: SqlStore) -> None:
    found = store.rows(Job, workflow_id=77)
    assert (found.items, found.total_count) == ([], 0)


def test_thousands_by_thousands_through_files_are_thousands_of_rows(store: SqlStore) -> None:
    count = 1000
    jobs = [a_job(f"w{n}", output_files=(0,)) for n in range(count)]
    jobs += [a_job(f"r{n}", input_files=(0,)) for n in range(count)]
    workflow_id, _ = begin(store, a_draft(*jobs, files=[File(name="f", path="f")]))
    tables = ("job_depends_on", "barrier", "barrier_in", "barrier_out")
    with store._dialect.engine.connect() as connection:
        rows = [
            connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in tables
        ]
    assert rows == [0, 1, count, count]
    assert store.progress(workflow_id).counts == {JobStatus.READY: count, JobStatus.BLOCKED: count}


def test_files_of_jobs_that_came_later_are_linked_when_the_next_run_begins(
    store: SqlStore,
) -> None:
    jobs = [a_job("w", output_files=(0,)), a_job("r", input_files=(0,))]
    workflow_id = store.create(a_draft(*jobs, files=[File(name="f", path="f")]))
    with store._dialect.engine.begin() as connection:  # as in a store of an older version
        connection.execute(text("UPDATE workflow SET linked_jobs = 0"))
        connection.execute(text("DELETE FROM job_depends_on"))
    assert store.links(workflow_id).waits_for
    store.initialize(workflow_id)
    reader = store.rows(Job, workflow_id=workflow_id).items[1].id
    assert store.dependencies([reader]) == {reader: [reader - 1]}
    with store._dialect.engine.connect() as connection:
        assert connection.execute(text("SELECT linked_jobs FROM workflow")).scalar() == reader
