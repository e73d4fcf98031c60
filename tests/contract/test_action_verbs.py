"""Actions in the store: counted, pending, taken once, executed, lost, and made once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_node, a_report, a_scheduler, begin, run_all
from sqlalchemy import delete, update

from slurmtorc.errors import Conflict
from slurmtorc.model import (
    Action,
    ActionRun,
    ActionType,
    DraftAction,
    Ending,
    Event,
    Job,
    JobStatus,
    TriggerType,
)
from slurmtorc.store import actions
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from slurmtorc.clock import ManualClock
    from slurmtorc.store.sql import SqlStore

T, S = TriggerType, JobStatus


def running(trigger: TriggerType, *jobs: int, persistent: bool = False) -> DraftAction:
    return DraftAction(
        trigger_type=trigger,
        action_type=ActionType.RUN_COMMANDS,
        jobs=jobs,
        commands=("true",),
        persistent=persistent,
    )


def due(store: SqlStore, workflow_id: int, node: int | None = None) -> list[str]:
    return [one.trigger_type.value for one in store.pending_actions(workflow_id, node)]


def counts(store: SqlStore, workflow_id: int) -> list[tuple[int, int]]:
    found = store.rows(Action, workflow_id=workflow_id).items
    return [(one.trigger_count, one.required_triggers) for one in found]


def by(action_id: int, node: int | None = None, **values: Any) -> ActionRun:
    return ActionRun(action_id=action_id, compute_node_id=node, hostname="n1", **values)


def told(store: SqlStore, workflow_id: int) -> list[str]:
    found = store.rows(Event, workflow_id=workflow_id).items
    return [one.type for one in found if one.type.startswith("action_")]


def set_status(store: SqlStore, workflow_id: int, name: str, status: JobStatus) -> None:
    """As somebody does who changes jobs by hand, and counts anew in the same transaction."""

    def change(connection: Any) -> None:
        mine = (t.job.c.workflow_id == workflow_id) & (t.job.c.name == name)
        connection.execute(update(t.job).where(mine).values(status=int(status)))
        actions.recount(connection, workflow_id)

    store._change(change)


def end(store: SqlStore, node: int, name: str, **values: Any) -> None:
    """Run one job to its end; it must be ready."""
    claims = [claim for claim in store.claim(node, PLENTY, 100) if claim.name == name]
    store.start(node, [claim.job_id for claim in claims])
    store.complete(node, [a_report(claim, **values) for claim in claims])
    others = [job for job in store.held(node) if job not in {c.job_id for c in claims}]
    store.release(node, others)


# ── counting ─────────────────────────────────────────────────────────────────


def test_nothing_is_due_before_the_first_run(store: SqlStore) -> None:
    draft = a_draft("a", actions=[running(each) for each in sorted(T) if "jobs" not in each])
    workflow_id = store.create(draft)
    node = store.register(a_node(workflow_id)).id
    store._change(lambda c: actions.recount(c, workflow_id))
    assert due(store, workflow_id, node) == []
    store.initialize(workflow_id)
    assert set(due(store, workflow_id, node)) == set(T) - {
        T.ON_JOBS_READY,
        T.ON_JOBS_COMPLETE,
        T.ON_WORKFLOW_COMPLETE,
    }


def test_the_end_of_a_workflow_is_due_with_its_last_job(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", actions=[running(T.ON_WORKFLOW_COMPLETE)]))
    end(store, node, "a")
    assert due(store, workflow_id) == []
    end(store, node, "b", return_code=1)
    assert due(store, workflow_id) == ["on_workflow_complete"]


def test_a_workflow_of_which_all_jobs_are_disabled_is_over(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", actions=[running(T.ON_WORKFLOW_COMPLETE)]))
    end(store, node, "a")
    set_status(store, workflow_id, "b", S.DISABLED)
    assert due(store, workflow_id) == ["on_workflow_complete"]


def test_a_retry_is_counted_neither_twice_nor_too_early(store: SqlStore) -> None:
    gate = [running(T.ON_JOBS_READY, 0), running(T.ON_JOBS_COMPLETE, 0)]
    workflow_id, node = begin(store, a_draft("a", actions=gate))
    for attempt in (1, 2):
        end(store, node, "a", return_code=1, again=True, ending=Ending.EXIT)
        assert counts(store, workflow_id) == [(1, 1), (0, 1)], attempt
    end(store, node, "a")
    assert counts(store, workflow_id) == [(1, 1), (1, 1)]


def test_what_was_set_aside_counts_as_over_once_it_is_decided(store: SqlStore) -> None:
    gate = [running(T.ON_JOBS_READY, 0), running(T.ON_JOBS_COMPLETE, 0)]
    workflow_id, node = begin(store, a_draft("a", actions=gate))
    for retry in (True, False):
        end(store, node, "a", return_code=1, status=S.PENDING_FAILED)
        assert counts(store, workflow_id) == [(1, 1), (0, 1)]
        (job,) = store.rows(Job, workflow_id=workflow_id).items
        store.classify(workflow_id, [job.id], retry=retry)
    assert counts(store, workflow_id) == [(1, 1), (1, 1)]


def test_a_cascade_counts_those_it_cancels_for_both_triggers(store: SqlStore) -> None:
    gate = [running(T.ON_JOBS_READY, 1, 2), running(T.ON_JOBS_COMPLETE, 0, 1, 2)]
    draft = a_draft("a", a_job("b", 0), a_job("c", 1), actions=gate)
    workflow_id, node = begin(store, draft)
    run_all(store, node, return_code=1)
    assert counts(store, workflow_id) == [(2, 2), (3, 3)]


def test_a_cancel_counts_the_jobs_it_ends_and_nothing_can_be_taken_any_more(
    store: SqlStore,
) -> None:
    last = running(T.ON_WORKER_COMPLETE, persistent=True)
    draft = a_draft("a", actions=[running(T.ON_JOBS_COMPLETE, 0), last])
    workflow_id, node = begin(store, draft)
    store.start(node, [claim.job_id for claim in store.claim(node, PLENTY, 9)])
    store.cancel(workflow_id)
    gated, own = store.rows(Action, workflow_id=workflow_id).items
    assert gated.trigger_count == 1
    assert store.claim_action(gated.id, by(gated.id, node)) is None
    assert store.claim_action(own.id, by(own.id, node)) is not None  # workers clear up


def test_disabled_and_deleted_jobs_are_waited_for_no_more(store: SqlStore) -> None:
    gate = [running(T.ON_JOBS_COMPLETE, 0, 1, 2)]
    workflow_id, node = begin(store, a_draft("a", "b", "c", actions=gate))
    end(store, node, "a")
    set_status(store, workflow_id, "b", S.DISABLED)
    assert counts(store, workflow_id) == [(1, 2)]
    store._change(lambda c: c.execute(delete(t.job).where(t.job.c.name == "c")))
    store._change(lambda c: actions.recount(c, workflow_id))
    assert counts(store, workflow_id) == [(1, 1)]
    assert due(store, workflow_id) == ["on_jobs_complete"]
    set_status(store, workflow_id, "b", S.UNINITIALIZED)
    assert counts(store, workflow_id) == [(1, 2)]
    assert due(store, workflow_id) == []


def test_an_action_without_any_job_left_never_fires(store: SqlStore) -> None:
    gate = [running(T.ON_JOBS_READY, 0), running(T.ON_JOBS_COMPLETE, 0)]
    workflow_id, node = begin(store, a_draft("a", "b", actions=gate))
    set_status(store, workflow_id, "a", S.DISABLED)
    end(store, node, "b")
    assert counts(store, workflow_id) == [(0, 1), (0, 1)]
    assert due(store, workflow_id) == []


# ── taking ───────────────────────────────────────────────────────────────────


def test_an_action_is_taken_while_its_condition_holds_and_by_one(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", actions=[running(T.ON_JOBS_COMPLETE, 0)]))
    (action,) = store.rows(Action, workflow_id=workflow_id).items
    assert store.claim_action(action.id, by(action.id, node)) is None
    run_all(store, node)
    run = store.claim_action(action.id, by(action.id, node, log_path="/x.log"))
    assert run is not None
    assert store.claim_action(action.id, by(action.id, node)) is None
    row = store.get(ActionRun, run.id)
    assert (row.run_id, row.hostname, row.log_path, row.end_time) == (1, "n1", "/x.log", None)
    assert store.get(Action, action.id).executed_by == node


def test_a_persistent_action_is_taken_once_by_each_worker_and_once_without_one(
    store: SqlStore,
) -> None:
    each = [
        running(T.ON_WORKER_START, persistent=True),
        running(T.ON_WORKFLOW_START, persistent=True),
    ]
    workflow_id, first = begin(store, a_draft("a", actions=each))
    second = store.register(a_node(workflow_id)).id
    start, begun = store.rows(Action, workflow_id=workflow_id).items
    for node in (first, second):
        assert due(store, workflow_id, node) == ["on_worker_start", "on_workflow_start"]
        assert store.claim_action(start.id, by(start.id, node)) is not None
        assert store.claim_action(start.id, by(start.id, node)) is None
        assert due(store, workflow_id, node) == ["on_workflow_start"]
    assert due(store, workflow_id) == ["on_workflow_start"]
    assert store.claim_action(begun.id, by(begun.id)) is not None
    assert store.claim_action(begun.id, by(begun.id)) is None
    assert due(store, workflow_id) == []
    assert not store.get(Action, start.id).executed


def test_a_worker_that_was_given_up_takes_nothing(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", actions=[running(T.ON_WORKFLOW_START)]))
    (action,) = store.pending_actions(workflow_id)
    store.abandon(node)
    assert store.claim_action(action.id, by(action.id, node)) is None
    assert store.claim_action(action.id, by(action.id)) is not None


def test_an_action_that_asks_for_nodes_is_over_with_its_intents(store: SqlStore) -> None:
    asks = DraftAction(
        trigger_type=T.ON_WORKFLOW_START, action_type=ActionType.SCHEDULE_NODES, scheduler=0
    )
    draft = a_draft("a", schedulers=[a_scheduler()], actions=[asks])
    workflow_id, node = begin(store, draft)
    (action,) = store.pending_actions(workflow_id)
    run = store.claim_action(action.id, by(action.id, node))
    assert run is not None
    assert store.get(ActionRun, run.id).return_code == 0
    assert told(store, workflow_id) == ["action_started", "action_completed"]


# ── ends ─────────────────────────────────────────────────────────────────────


def taken(store: SqlStore, trigger: TriggerType = T.ON_WORKFLOW_START) -> tuple[int, int, int, int]:
    """A workflow with an action that is being executed: workflow, worker, action, execution."""
    workflow_id, node = begin(store, a_draft("a", actions=[running(trigger)]))
    (action,) = store.pending_actions(workflow_id)
    run = store.claim_action(action.id, by(action.id, node))
    assert run is not None
    return workflow_id, node, action.id, run.id


@pytest.mark.parametrize(
    ("code", "event"), [(0, "action_completed"), (3, "action_failed"), (None, "action_failed")]
)
def test_an_execution_ends_once(
    store: SqlStore, clock: ManualClock, code: int | None, event: str
) -> None:
    workflow_id, _, _, execution = taken(store)
    clock.sleep(5)
    assert store.end_action(execution, code, "so")
    assert not store.end_action(execution, 0)
    row = store.get(ActionRun, execution)
    assert (row.return_code, row.reason, row.end_time) == (code, "so", clock.now())
    assert told(store, workflow_id) == ["action_started", event]


def test_what_a_dead_worker_was_executing_is_lost_and_not_done_again(store: SqlStore) -> None:
    workflow_id, node, action_id, execution = taken(store)
    store.abandon(node)
    row = store.get(ActionRun, execution)
    assert row.return_code is None
    assert row.end_time is not None
    assert (row.reason or "").startswith("lost: its worker ended")
    assert store.get(Action, action_id).executed
    assert due(store, workflow_id) == []
    assert not store.end_action(execution, 0)  # a late word of it


def test_a_retry_lets_it_fire_once_more(store: SqlStore) -> None:
    workflow_id, node, action_id, execution = taken(store)
    with pytest.raises(Conflict, match=f"action {action_id} is being executed"):
        store.retry_action(action_id)
    store.end_action(execution, 1, "no")
    assert not store.retry_action(action_id).executed
    with pytest.raises(Conflict, match="has not been executed yet"):
        store.retry_action(action_id)
    again = store.claim_action(action_id, by(action_id, node))
    assert again is not None
    assert store.rows(ActionRun, action_id=action_id).total_count == 2
    assert "action_rearmed" in told(store, workflow_id)


def test_a_superseded_action_does_not_fire(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", actions=[running(T.ON_JOBS_COMPLETE, 0)]))
    (action,) = store.rows(Action, workflow_id=workflow_id).items
    assert store.supersede_action(action.id)
    assert not store.supersede_action(action.id)
    run_all(store, node)
    assert due(store, workflow_id) == []
    assert told(store, workflow_id) == ["action_superseded"]


def test_gates_are_told_by_action(store: SqlStore) -> None:
    gate = [running(T.ON_WORKFLOW_START), running(T.ON_JOBS_COMPLETE, 0, 1)]
    workflow_id, _ = begin(store, a_draft("a", "b", "c", actions=gate))
    first, second, _ = (job.id for job in store.rows(Job, workflow_id=workflow_id).items)
    _, action = store.rows(Action, workflow_id=workflow_id).items
    assert store.gates(workflow_id) == {action.id: [first, second]}
