"""Decisions of people about jobs, on every store: classify what was set aside, and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from factories import PLENTY, a_draft, a_job, a_node, a_report, begin, run_all
from sqlalchemy import update

from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import (
    ActionType,
    DraftAction,
    Job,
    JobStatus,
    Result,
    TriggerType,
    Workflow,
)
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from slurmtorc.clock import ManualClock
    from slurmtorc.model import DraftJob
    from slurmtorc.store.sql import SqlStore

S = JobStatus
ASIDE = {"return_code": 1, "status": S.PENDING_FAILED}


def statuses(store: SqlStore, workflow_id: int) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=workflow_id).items}


def ids(store: SqlStore, workflow_id: int, *names: str) -> list[int]:
    found = {job.name: job.id for job in store.rows(Job, workflow_id=workflow_id).items}
    return [found[name] for name in names]


def set_aside(store: SqlStore, *jobs: DraftJob | str, **parts: object) -> tuple[int, int]:
    """A workflow whose ready jobs have failed without a rule for it."""
    workflow_id, node = begin(store, a_draft(*jobs, **parts))
    run_all(store, node, **ASIDE)
    return workflow_id, node


def archive(store: SqlStore, workflow_id: int) -> None:
    change = update(t.workflow).where(t.workflow.c.id == workflow_id).values(is_archived=True)
    store._change(lambda connection: connection.execute(change))


# ── classify ─────────────────────────────────────────────────────────────────


def test_a_failure_classified_for_retry_is_ready_as_the_next_attempt(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, _ = set_aside(store, "a", a_job("b", 0), "c")
    clock.sleep(50)
    (a,) = ids(store, workflow_id, "a")
    assert store.classify(workflow_id, [a], retry=True) == [a]
    job = store.get(Job, a)
    assert (job.status, job.attempt_id, job.origin) == (S.READY, 2, "retry")
    assert (job.ready_since, job.spared_attempts) == (clock.now(), 0)
    assert statuses(store, workflow_id) == {"a": "ready", "b": "blocked", "c": "pending_failed"}
    told = store.events(workflow_id)[-1]
    assert (told.type, told.data["job_id"], told.data["attempt_id"]) == ("job_retried", a, 1)


def test_what_was_set_aside_runs_again_and_frees_its_dependents(store: SqlStore) -> None:
    workflow_id, node = set_aside(store, "a", a_job("b", 0))
    store.classify(workflow_id, ids(store, workflow_id, "a"), retry=True)
    (claim,) = store.claim(node, PLENTY, 9)
    assert (claim.name, claim.attempt_id) == ("a", 2)
    store.start(node, [claim.job_id])
    store.complete(node, [a_report(claim)])
    assert statuses(store, workflow_id) == {"a": "completed", "b": "ready"}
    results = [(r.attempt_id, r.status) for r in store.rows(Result).items]
    assert results == [(1, S.PENDING_FAILED), (2, S.COMPLETED)]


def test_a_failure_classified_as_such_settles_all_that_waited(store: SqlStore) -> None:
    gate = DraftAction(
        trigger_type=TriggerType.ON_JOBS_COMPLETE,
        action_type=ActionType.RUN_COMMANDS,
        jobs=(0, 1, 2),
        commands=("true",),
    )
    stoic = a_job("d", 0, cancel_on_blocking_job_failure=False)
    workflow_id, _ = set_aside(store, "a", a_job("b", 0), a_job("c", 1), stoic, actions=[gate])
    assert store.pending_actions(workflow_id) == []
    (a,) = ids(store, workflow_id, "a")
    assert store.classify(workflow_id, [a], retry=False) == [a]
    assert statuses(store, workflow_id) == {
        "a": "failed", "b": "canceled", "c": "canceled", "d": "ready",
    }  # fmt: skip
    assert len(store.pending_actions(workflow_id)) == 1
    (result,) = store.rows(Result).items
    assert (result.status, result.return_code, result.attempt_id) == (S.FAILED, 1, 1)
    told = [(e.type, e.data.get("job_ids")) for e in store.events(workflow_id)][-4:]
    b, c, d = ids(store, workflow_id, "b", "c", "d")
    assert told == [
        ("job_failed", None), ("jobs_ready", [d]), ("jobs_canceled", [b]), ("jobs_canceled", [c]),
    ]  # fmt: skip


def test_the_last_decision_completes_the_workflow(store: SqlStore) -> None:
    workflow_id, _ = set_aside(store, "a", "b")
    a, b = ids(store, workflow_id, "a", "b")
    store.classify(workflow_id, [a], retry=False)
    assert not store.outlook(workflow_id).is_complete
    store.classify(workflow_id, [b], retry=False)
    assert store.outlook(workflow_id).is_complete
    types = [event.type for event in store.events(workflow_id)]
    assert types.count("workflow_completed") == 1
    assert types[-1] == "workflow_completed"


@pytest.mark.parametrize("retry", [True, False])
def test_only_what_is_set_aside_in_this_workflow_can_be_classified(
    store: SqlStore, retry: bool
) -> None:
    other, _ = set_aside(store, "elsewhere")
    workflow_id, node = begin(store, a_draft("runs", "fails", "waits"))
    runs, fails, _ = store.claim(node, PLENTY, 3)
    store.start(node, [runs.job_id, fails.job_id])
    store.complete(node, [a_report(fails, return_code=1)])
    before = statuses(store, workflow_id)
    everything = [job.id for job in store.rows(Job).items]
    assert store.classify(workflow_id, [*everything, 10_000], retry=retry) == []
    assert statuses(store, workflow_id) == before
    assert statuses(store, other) == {"elsewhere": "pending_failed"}


def test_nothing_is_tried_again_in_a_canceled_workflow(store: SqlStore) -> None:
    workflow_id, _ = set_aside(store, "a")
    store.cancel(workflow_id)
    (a,) = ids(store, workflow_id, "a")
    with pytest.raises(Conflict, match="was canceled"):
        store.classify(workflow_id, [a], retry=True)
    assert store.classify(workflow_id, [a], retry=False) == [a]


def test_an_archived_workflow_stays_as_it_is(store: SqlStore) -> None:
    workflow_id, _ = set_aside(store, "a")
    archive(store, workflow_id)
    with pytest.raises(Conflict, match="archived"):
        store.classify(workflow_id, ids(store, workflow_id, "a"), retry=False)
    with pytest.raises(Conflict, match="archived"):
        store.reset_jobs(workflow_id, ids(store, workflow_id, "a"))
    assert statuses(store, workflow_id) == {"a": "pending_failed"}


# ── reset ────────────────────────────────────────────────────────────────────


def test_exactly_the_named_jobs_are_reset_and_keep_their_attempt(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("good", "bad", "worse", a_job("after", 1)))
    good, bad, worse = store.claim(node, PLENTY, 3)
    store.start(node, [claim.job_id for claim in (good, bad, worse)])
    again = a_report(bad, return_code=10, again=True, spared=True)
    store.complete(node, [a_report(good), again, a_report(worse, return_code=1)])
    run_all(store, node, return_code=1)
    assert statuses(store, workflow_id)["after"] == "canceled"
    chosen = [bad.job_id, *ids(store, workflow_id, "after")]
    assert store.reset_jobs(workflow_id, chosen) == sorted(chosen)
    assert statuses(store, workflow_id) == {
        "good": "completed", "bad": "uninitialized", "worse": "failed", "after": "uninitialized",
    }  # fmt: skip
    job = store.get(Job, bad.job_id)
    assert (job.attempt_id, job.spared_attempts) == (2, 1)
    last = store.events(workflow_id)[-1]
    assert (last.type, last.data) == ("jobs_reset", {"job_ids": sorted(chosen)})
    assert store.initialize(workflow_id) == 2
    assert statuses(store, workflow_id) == {
        "good": "completed", "bad": "ready", "worse": "failed", "after": "blocked",
    }  # fmt: skip


def test_a_reset_takes_any_status_that_no_worker_holds(store: SqlStore) -> None:
    workflow_id, _ = set_aside(store, "a", a_job("b", 0))
    everything = ids(store, workflow_id, "a", "b")
    assert store.reset_jobs(workflow_id, everything) == everything
    assert statuses(store, workflow_id) == {"a": "uninitialized", "b": "uninitialized"}
    assert store.reset_jobs(workflow_id, everything) == []
    assert [e.type for e in store.events(workflow_id)].count("jobs_reset") == 1


def test_what_waits_for_a_job_that_was_reset_waits_again(store: SqlStore) -> None:
    """Otherwise the end of the other job would set it free."""
    both = a_job("both", 0, 1, cancel_on_blocking_job_failure=False)
    workflow_id, node = begin(store, a_draft("fails", "later", both))
    fails, later = store.claim(node, PLENTY, 2)
    store.release(node, [later.job_id])
    store.start(node, [fails.job_id])
    store.complete(node, [a_report(fails, return_code=1)])
    store.reset_jobs(workflow_id, [fails.job_id])
    run_all(store, node)
    assert statuses(store, workflow_id) == {
        "fails": "uninitialized", "later": "completed", "both": "blocked",
    }  # fmt: skip


def test_an_action_whose_jobs_were_reset_waits_for_them_again(store: SqlStore) -> None:
    gate = DraftAction(
        trigger_type=TriggerType.ON_JOBS_COMPLETE,
        action_type=ActionType.RUN_COMMANDS,
        jobs=(0,),
        commands=("true",),
    )
    workflow_id, node = begin(store, a_draft("a", actions=[gate]))
    run_all(store, node, return_code=1)
    assert len(store.pending_actions(workflow_id)) == 1
    store.reset_jobs(workflow_id, ids(store, workflow_id, "a"))
    assert store.pending_actions(workflow_id) == []


def test_nothing_is_reset_while_a_worker_holds_jobs(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    a, b = store.claim(node, PLENTY, 2)
    store.start(node, [a.job_id, b.job_id])
    store.complete(node, [a_report(a, return_code=1)])
    with pytest.raises(Conflict, match="1 pending or running"):
        store.reset_jobs(workflow_id, [a.job_id])
    assert statuses(store, workflow_id) == {"a": "failed", "b": "running"}


def test_jobs_of_a_workflow_that_never_began_have_nothing_to_reset(store: SqlStore) -> None:
    start = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START, action_type=ActionType.RUN_COMMANDS
    )
    workflow_id = store.create(a_draft("a", actions=[start]))
    assert store.reset_jobs(workflow_id, ids(store, workflow_id, "a")) == []
    assert store.pending_actions(workflow_id) == []
    assert store.get(Workflow, workflow_id).run_id == 0


def test_decisions_about_unknown_workflows_are_errors(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        store.classify(77, [1], retry=True)
    with pytest.raises(NotFound):
        store.reset_jobs(77, [1])


def test_many_decisions_are_one_transaction(store: SqlStore) -> None:
    workflow_id, _ = set_aside(store, *(f"j{n}" for n in range(500)))
    everything = [job.id for job in store.rows(Job, workflow_id=workflow_id).items]
    assert store.classify(workflow_id, everything, retry=True) == everything
    assert store.progress(workflow_id).counts == {S.READY: 500}


def test_a_worker_may_claim_while_somebody_classifies(store: SqlStore) -> None:
    workflow_id, node = set_aside(store, "a", "b")
    a, b = ids(store, workflow_id, "a", "b")
    store.classify(workflow_id, [a], retry=True)
    second = store.register(a_node(workflow_id, hostname="n2")).id
    (claim,) = store.claim(second, PLENTY, 9)
    assert store.classify(workflow_id, [a, b], retry=True) == [b]
    assert (claim.job_id, store.held(second), store.held(node)) == (a, [a], [])


def test_beside_a_living_worker_every_refusal_advises_what_its_command_can_do(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    run_all(store, node)
    store.heartbeat(node, clock.now() + 100)
    with pytest.raises(Conflict, match=r"wait for them to end, or reset beside them with --force$"):
        store.reset_jobs(workflow_id, ids(store, workflow_id, "a"))
    with pytest.raises(Conflict, match=r"wait for them to end$"):
        store.archive(workflow_id, archived=True)
    remedy = f"wait for them to end, or .*: torc workflows reinit {workflow_id} --force$"
    with pytest.raises(Conflict, match=remedy):
        store.rerun(workflow_id, ids(store, workflow_id, "a"))
