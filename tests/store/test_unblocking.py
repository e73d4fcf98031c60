"""Set-based unblocking against the plain rule, on drawn graphs with barriers and failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factories import PLENTY, a_draft, a_job, a_node, a_report
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurmtorc.model import Ending, File, Job, JobStatus
from slurmtorc.rules.unblocking import settled

if TYPE_CHECKING:
    from slurmtorc.model import Draft
    from slurmtorc.store.sql import SqlStore

S = JobStatus
FILES = 4


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """A few jobs that wait for earlier ones, directly or in a group, and mind failure or not."""
    count = draw(st.integers(1, 12))
    made = draw(st.integers(0, count))
    """The jobs before this one write files, the others read them."""
    some = st.sets(st.sampled_from(range(FILES)), max_size=FILES).map(sorted).map(tuple)
    lists = draw(st.lists(some, min_size=1, max_size=3))
    barriers: list[tuple[int, ...]] = []
    jobs = []
    for i in range(count):
        earlier = st.sampled_from(range(i)) if i else st.nothing()
        direct = draw(st.sets(earlier, max_size=3)) if i else set()
        if i > 1 and draw(st.booleans()):
            barriers.append(tuple(sorted(draw(st.sets(earlier, min_size=2, max_size=4)))))
        usable = [b for b, group in enumerate(barriers) if max(group) < i]
        after = draw(st.sets(st.sampled_from(usable), max_size=2)) if usable else set()
        minds = draw(st.booleans())
        key = "output_files" if i < made else "input_files"
        files = {key: draw(st.sampled_from(lists) | some)}
        jobs.append(
            a_job(f"j{i}", *sorted(direct), after=tuple(sorted(after)),
                  cancel_on_blocking_job_failure=minds, **files)
        )  # fmt: skip
    files = [File(name=f"f{n}", path=f"f{n}") for n in range(FILES)]
    return a_draft(*jobs, barriers=barriers, files=files)


def waits_for(draft: Draft) -> list[set[int]]:
    """Pair by pair."""
    numbered = list(enumerate(draft.jobs))
    return [
        {
            *job.depends_on,
            *(other for b in job.after for other in draft.barriers[b]),
            *(n for n, other in numbered if {*job.input_files} & {*other.output_files}),
        }
        for job in draft.jobs
    ]


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(draft=drafts(), data=st.data())
def test_the_store_settles_jobs_as_the_plain_rule_does(
    one_store: SqlStore, draft: Draft, data: st.DataObject
) -> None:
    workflow_id = one_store.create(draft)
    one_store.initialize(workflow_id)
    node = one_store.register(a_node(workflow_id)).id
    graph = waits_for(draft)
    minds = [job.cancel_on_blocking_job_failure for job in draft.jobs]
    plain = settled(graph, [S.BLOCKED] * len(graph), minds)
    first = one_store.rows(Job, workflow_id=workflow_id).items[0].id
    listed = one_store.dependencies(range(first, first + len(graph)))
    assert [{other - first for other in listed[first + n]} for n in range(len(graph))] == graph
    assert seen(one_store, workflow_id) == plain
    while S.READY in plain:
        claims = one_store.claim(node, PLENTY, data.draw(st.integers(1, 4)))
        one_store.start(node, [claim.job_id for claim in claims])
        reports = []
        for claim in claims:
            status, code = data.draw(
                st.sampled_from([(S.COMPLETED, 0), (S.FAILED, 1), (S.TERMINATED, 152)])
            )
            ending = Ending.TIMEOUT if status is S.TERMINATED else Ending.EXIT
            reports.append(a_report(claim, status=status, return_code=code, ending=ending))
            plain[claim.job_id - first] = status
        one_store.complete(node, reports)
        plain = settled(graph, plain, minds)
        assert seen(one_store, workflow_id) == plain


def seen(store: SqlStore, workflow_id: int) -> list[JobStatus]:
    return [job.status for job in store.rows(Job, workflow_id=workflow_id).items]


def test_a_failure_cancels_more_dependents_than_fit_into_one_statement(store: SqlStore) -> None:
    many = 12_000
    jobs = [a_job("root"), *(a_job(f"j{i}", 0) for i in range(many))]
    workflow_id = store.create(a_draft(*jobs))
    store.initialize(workflow_id)
    node = store.register(a_node(workflow_id)).id
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    store.complete(node, [a_report(claim, return_code=1)])
    assert store.progress(workflow_id).counts == {S.FAILED: 1, S.CANCELED: many}
