"""Where a workflow stands: the same of every store, and of a file that is only glanced at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_node, a_report, an_allocation, begin, run_all

from slurmtorc.errors import NotFound
from slurmtorc.model import (
    ActionRun,
    ActionType,
    AllocationStatus,
    DraftAction,
    Ending,
    JobStatus,
    Mishap,
    Result,
    TriggerType,
)
from slurmtorc.store.glance import glance

if TYPE_CHECKING:
    from slurmtorc.model import Overview
    from slurmtorc.ports import Store

S = JobStatus


def seen(store: Store, workflow_id: int) -> Overview:
    """What the store says; of a file, a glance says the same."""
    said = store.overview(workflow_id)
    if store.url.startswith("sqlite:///"):
        assert glance(store.url, workflow_id) == said
    return said


def test_a_workflow_is_told_with_its_jobs_by_status(store: Store) -> None:
    other, node = begin(store, a_draft("x", "y"))
    run_all(store, node)
    workflow_id, _ = begin(store, a_draft("a", "b", "c"))
    told = seen(store, workflow_id)
    assert (told.name, told.user, told.progress.run_id) == ("test", "tester", 1)
    assert told.progress == store.progress(workflow_id)
    assert told.progress.counts == {S.READY: 3}
    assert seen(store, other).progress.counts == {S.COMPLETED: 2}
    store.cancel(workflow_id)
    assert seen(store, workflow_id).progress.is_canceled


def test_allocations_and_workers_are_counted(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    begin(store, a_draft("another's"))
    intents = [an_allocation(workflow_id, f"t{i}") for i in range(4)]
    ids = [one.id for one in store.intend(intents)]
    for number in ids[:3]:
        store.submitted(number, 100 + number)
    store.register(a_node(workflow_id, allocation_id=ids[0], slurm_job_id=101))
    store.closed(ids[1])
    store.retire(node)
    told = seen(store, workflow_id)
    assert told.active_workers == 1
    assert told.allocations == dict.fromkeys(AllocationStatus, 1)


def test_a_failure_is_told_by_the_last_attempt_that_counts(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    run_all(store, node, return_code=7, again=True)
    (first, second) = store.claim(node, PLENTY, 2)
    store.start(node, [first.job_id, second.job_id])
    store.give_up(node, [second.job_id])
    other = store.register(a_node(workflow_id)).id
    (again,) = store.claim(other, PLENTY, 1)
    store.start(other, [again.job_id])
    store.complete(other, [a_report(again, return_code=5, ending=Ending.OOM)])
    too_late = a_report(second, return_code=9, completion_time=1_700_000_009.0)
    store.complete(node, [too_late])
    last = store.rows(Result, job_id=again.job_id).items[-1]
    assert (last.return_code, last.superseded) == (9, True)
    store.complete(node, [a_report(first, return_code=3, stderr_path="/e", stderr_tail="no")])
    failures = {one.job_name: one for one in seen(store, workflow_id).failures}
    a = failures["a"]
    assert (a.attempt_id, a.return_code, a.status, a.ending) == (2, 3, S.FAILED, Ending.EXIT)
    assert (a.stderr_path, a.stderr_tail, a.exec_time_s) == ("/e", "no", 2.5)
    assert (failures["b"].return_code, failures["b"].ending) == (5, Ending.OOM)


def test_of_many_failures_the_first_ones_are_told(store: Store) -> None:
    workflow_id, node = begin(store, a_draft(*(f"j{i}" for i in range(30))))
    claims = store.claim(node, PLENTY, 30)
    store.start(node, [claim.job_id for claim in claims])
    kinds = (S.COMPLETED, S.FAILED, S.TERMINATED, S.PENDING_FAILED)
    reports = [
        a_report(claim, return_code=i % 4, status=kinds[i % 4]) for i, claim in enumerate(claims)
    ]
    store.complete(node, reports[::-1])
    failures = seen(store, workflow_id).failures
    assert [one.job_name for one in failures] == [f"j{i}" for i in range(30) if i % 4][:10]
    assert [one.status for one in failures[:3]] == list(kinds[1:])


def test_actions_that_failed_are_told_until_they_are_mended(store: Store) -> None:
    once = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.RUN_COMMANDS,
        commands=("x",),
    )
    workflow_id, _ = begin(store, a_draft("a", actions=[once]))
    (action,) = store.pending_actions(workflow_id)
    assert seen(store, workflow_id).mishaps == ()
    executed(store, action.id, 4, "said no", log_path="/log")
    mishap = Mishap(action.id, TriggerType.ON_WORKFLOW_START, False, 4, "said no", "/log")
    assert seen(store, workflow_id).mishaps == (mishap,)
    store.retry_action(action.id)
    executed(store, action.id, 0)
    assert seen(store, workflow_id).mishaps == ()


def test_an_action_that_failed_in_an_earlier_run_is_not_told(store: Store) -> None:
    once = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.RUN_COMMANDS,
        commands=("x",),
    )
    workflow_id, node = begin(store, a_draft("a", actions=[once]))
    (action,) = store.pending_actions(workflow_id)
    executed(store, action.id, 4)
    run_all(store, node)
    assert len(seen(store, workflow_id).mishaps) == 1
    store.initialize(workflow_id)
    after = seen(store, workflow_id)
    assert (after.progress.run_id, after.mishaps) == (2, ())


def executed(store: Store, action_id: int, code: int, reason: str | None = None, **by: Any) -> None:
    run = store.claim_action(action_id, ActionRun(action_id=action_id, hostname="n", **by))
    assert run is not None
    store.end_action(run.id, code, reason)


def test_an_unknown_workflow_is_said_to_be_unknown(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no workflow 5"):
        store.overview(5)
    if store.url.startswith("sqlite:///"):
        with pytest.raises(NotFound, match="there is no workflow 5"):
            glance(store.url, 5)
