"""What people change in a stored workflow, and what later runs make of it, on every store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_node, a_report, begin, run_all

from slurmtorc.errors import Conflict, InvalidValue, NotFound
from slurmtorc.model import (
    Action,
    ActionRun,
    ActionType,
    ComputeNode,
    DraftAction,
    Event,
    Job,
    JobChange,
    JobStatus,
    Result,
    TriggerType,
    UserData,
    Workflow,
)
from slurmtorc.schedule.begin import begin as begin_run
from slurmtorc.schedule.reinit import begin_again, plan_reinit

if TYPE_CHECKING:
    from slurmtorc.clock import ManualClock
    from slurmtorc.store.sql import SqlStore

S = JobStatus


def ids(store: SqlStore, workflow_id: int) -> dict[str, int]:
    return {job.name: job.id for job in store.rows(Job, workflow_id=workflow_id).items}


def statuses(store: SqlStore, workflow_id: int) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=workflow_id).items}


def run(store: SqlStore, node: int, now: float, **values: Any) -> list[str]:
    """Whatever is ready, from now on for two seconds."""
    return run_all(store, node, start_time=now, completion_time=now + 2, **values)


def run_again(store: SqlStore, workflow_id: int, clock: ManualClock) -> list[str]:
    """Reinit, and run to the end; the names of what ran."""
    plan = plan_reinit(store, workflow_id)
    if not plan.is_needed:
        return []
    run_id = begin_again(store, plan).run_id
    node = store.register(a_node(workflow_id, lease_until=0.0)).id
    ran: list[str] = []
    while more := run(store, node, clock.now(), run_id=run_id):
        ran += more
        clock.sleep(10)
    return sorted(ran)


def why(store: SqlStore, workflow_id: int) -> dict[str, list[tuple[str, str]]]:
    plan = plan_reinit(store, workflow_id)
    return {
        plan.jobs[job].name: [(each.cause.value, each.what) for each in reasons]
        for job, reasons in plan.reasons.items()
    }


# ── jobs ─────────────────────────────────────────────────────────────────────


def ended(store: SqlStore, clock: ManualClock, *jobs: Any, **parts: Any) -> int:
    """A workflow all of whose jobs have run."""
    workflow_id, node = begin(store, a_draft(*jobs, **parts))
    while run(store, node, clock.now()):
        clock.sleep(10)
    return workflow_id


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"command": "false"}, "command"),
        ({"invocation_script": "wrap.sh"}, "invocation_script"),
        ({"env": {"A": "1"}}, "env"),
        ({"depends_on": ()}, "depends_on"),
        ({"name": "other"}, None),
        ({"priority": 7}, None),
    ],
)
def test_a_change_that_decides_the_output_makes_a_job_stale_until_it_has_run(
    store: SqlStore, clock: ManualClock, change: dict[str, Any], word: str | None
) -> None:
    workflow_id = ended(store, clock, "a", a_job("b", 0), a_job("c", 1))
    b = ids(store, workflow_id)["b"]
    store.update_job(b, JobChange(**change))
    if word is None:
        assert why(store, workflow_id) == {}
        return
    assert why(store, workflow_id) == {"b": [("edited", word)], "c": [("upstream", "b")]}
    assert run_again(store, workflow_id, clock) == ["b", "c"]
    assert why(store, workflow_id) == {}
    assert store.get(Job, b).changes is None


def test_a_change_before_the_job_has_run_or_to_what_it_is_makes_nothing_stale(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    a = ids(store, workflow_id)["a"]
    assert store.update_job(a, JobChange(command="echo")).changes is None
    run(store, node, clock.now())
    clock.sleep(10)
    assert store.update_job(a, JobChange(command="echo")).changed_at is None
    assert why(store, workflow_id) == {}


def test_requirements_priority_and_scheduler_are_changed_for_one_job_alone(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id = ended(store, clock, "a", "b")
    a, b = ids(store, workflow_id).values()
    store.update_job(a, JobChange(priority=5))
    assert (store.get(Job, a).priority, store.get(Job, b).priority) == (5, 0)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"depends_on": (2,)}, Conflict, "would wait for itself"),
        ({"depends_on": (99,)}, NotFound, "no jobs with these ids: 99"),
        ({"name": "b"}, Conflict, "a job named 'b' already"),
        ({"name": ""}, InvalidValue, "must have a name"),
        ({"command": " "}, InvalidValue, "must have a command"),
        ({"resource_requirements_id": 99}, NotFound, "no resource requirements 99"),
        ({"scheduler_id": 99}, NotFound, "no slurm scheduler 99"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_nothing_is_changed(
    store: SqlStore,
    clock: ManualClock,
    change: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    workflow_id = ended(store, clock, "a", a_job("b", 0))
    before = store.rows(Job, workflow_id=workflow_id).items
    with pytest.raises(error, match=match):
        store.update_job(1, JobChange(**change, env={"A": "1"}))
    assert store.rows(Job, workflow_id=workflow_id).items == before
    with pytest.raises(NotFound):
        store.update_job(77, JobChange(name="x"))


def test_a_job_that_a_worker_holds_is_neither_changed_nor_reset_nor_left_out(
    store: SqlStore,
) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    (claim,) = store.claim(node, PLENTY, 1)
    held = [claim.job_id]
    for refused in (
        lambda: store.update_job(held[0], JobChange(command="x")),
        lambda: store.reset_jobs(workflow_id, held, force=True),
        lambda: store.disable(workflow_id, held),
        lambda: store.delete_jobs(workflow_id, held),
    ):
        with pytest.raises(Conflict, match="is pending; nothing was changed"):
            refused()
    assert statuses(store, workflow_id) == {"a": "pending", "b": "ready"}


# ── user data ────────────────────────────────────────────────────────────────


def with_data(store: SqlStore, clock: ManualClock) -> tuple[int, int]:
    """`writer` has written what `reader` read, while they ran."""
    jobs = (
        a_job("writer", output_user_data=(0,)),
        a_job("reader", input_user_data=(0,)),
        a_job("last", 1),
    )
    workflow_id, node = begin(store, a_draft(*jobs, user_data=[UserData(name="d")]))
    (data,) = store.rows(UserData, workflow_id=workflow_id).items
    start = clock.now()
    claims = store.claim(node, PLENTY, 9)
    store.start(node, [claim.job_id for claim in claims])
    clock.sleep(5)
    store.set_data(data.id, {"found": 1})
    times = {"start_time": start, "completion_time": clock.now() + 1}
    store.complete(node, [a_report(claim, **times) for claim in claims])
    clock.sleep(1)
    assert run(store, node, clock.now() - 3) == ["reader"]  # its node's clock is behind
    clock.sleep(10)
    assert run(store, node, clock.now()) == ["last"]
    clock.sleep(10)
    return workflow_id, data.id


def test_data_that_a_job_writes_during_the_run_is_no_change_for_its_readers(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, _ = with_data(store, clock)
    assert why(store, workflow_id) == {}


def test_another_value_makes_readers_run_again_once_and_the_same_value_does_not(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, data = with_data(store, clock)
    assert store.set_data(data, {"found": 1}).changed_at is not None
    assert why(store, workflow_id) == {}
    store.set_data(data, {"found": True})  # not the same, whatever Python says
    assert why(store, workflow_id) == {
        "reader": [("user_data", "d")], "last": [("upstream", "reader")],
    }  # fmt: skip
    clock.sleep(1)
    assert run_again(store, workflow_id, clock) == ["last", "reader"]
    assert why(store, workflow_id) == {}


# ── left out ─────────────────────────────────────────────────────────────────


def gate(trigger: TriggerType, *jobs: int) -> DraftAction:
    return DraftAction(
        trigger_type=trigger, action_type=ActionType.RUN_COMMANDS, jobs=jobs, commands=("true",)
    )


def test_disabled_jobs_are_left_out_and_gates_do_not_wait_for_them(store: SqlStore) -> None:
    action = gate(TriggerType.ON_JOBS_COMPLETE, 0, 1)
    workflow_id, node = begin(store, a_draft("a", "b", a_job("c", 1), actions=[action]))
    _, b, _ = ids(store, workflow_id).values()
    assert store.disable(workflow_id, [b]) == [b]
    assert run_all(store, node) == ["a"]
    assert len(store.pending_actions(workflow_id)) == 1
    assert statuses(store, workflow_id) == {"a": "completed", "b": "disabled", "c": "blocked"}
    assert store.enable(workflow_id, [b]) == [b]
    assert store.enable(workflow_id, [b]) == []
    assert statuses(store, workflow_id)["b"] == "uninitialized"


def test_leaving_out_the_last_job_completes_the_workflow(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    b = ids(store, workflow_id)["b"]
    run_all(store, node, return_code=1)
    store.reset_jobs(workflow_id, [b])
    store.disable(workflow_id, [b])
    assert store.outlook(workflow_id).is_complete
    assert [event.type for event in store.events(workflow_id)][-1] == "workflow_completed"


def test_a_completed_job_is_not_left_out(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    run_all(store, node)
    with pytest.raises(Conflict, match="is completed, so it cannot be left out; reset it first"):
        store.disable(workflow_id, list(ids(store, workflow_id).values()))


def test_what_waited_for_a_deleted_job_waits_no_more_through_barriers_too(store: SqlStore) -> None:
    jobs = ("a", "b", a_job("c", 0), a_job("d", after=(0,)))
    action = gate(TriggerType.ON_JOBS_READY, 0, 2)
    workflow_id, node = begin(store, a_draft(*jobs, barriers=[(0, 1)], actions=[action]))
    a = ids(store, workflow_id)["a"]
    store.delete_jobs(workflow_id, [a])
    assert statuses(store, workflow_id) == {"b": "ready", "c": "ready", "d": "blocked"}
    assert len(store.pending_actions(workflow_id)) == 1
    assert sorted(run_all(store, node)) == ["b", "c"]
    assert run_all(store, node) == ["d"]
    with pytest.raises(NotFound, match=f"no jobs with these ids: {a}"):
        store.delete_jobs(workflow_id, [a])


# ── later runs ───────────────────────────────────────────────────────────────


def test_no_worker_lives_on_into_a_new_run_and_force_sends_idle_ones_away(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    run_all(store, node, return_code=1)
    (a,) = ids(store, workflow_id).values()
    store.heartbeat(node, clock.now() + 60)
    with pytest.raises(Conflict, match=r"active workers on n1 \(pid 1\); .* --force"):
        store.rerun(workflow_id, [a])
    with pytest.raises(Conflict, match="active workers"):
        store.reset_jobs(workflow_id, [a])
    store.rerun(workflow_id, [a], force=True)
    assert not store.heartbeat(node, clock.now() + 60)
    assert store.claim(node, PLENTY, 1) == []
    assert statuses(store, workflow_id) == {"a": "ready"}


def test_a_later_run_of_everything_begins_without_the_workers_of_the_last(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    run_all(store, node)
    store.heartbeat(node, clock.now() + 60)
    with pytest.raises(Conflict, match=r"active workers on n1 \(pid 1\); .* --force"):
        store.initialize(workflow_id)
    store.heartbeat(node, clock.now() - 1)
    assert store.initialize(workflow_id) == 2
    assert not store.get(ComputeNode, node).is_active
    assert not store.heartbeat(node, clock.now() + 60), "it was only asleep"


def test_not_even_force_begins_a_run_while_a_worker_holds_a_job(store: SqlStore) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    (claim,) = store.claim(node, PLENTY, 1)
    other = next(job for job in ids(store, workflow_id).values() if job != claim.job_id)
    with pytest.raises(Conflict, match="1 pending or running job on n1"):
        store.rerun(workflow_id, [other], force=True)
    assert store.held(node) == [claim.job_id]
    assert store.get(Workflow, workflow_id).run_id == 1


def test_a_forced_reset_beside_workers_cannot_be_taken_by_them(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", a_job("b", 0), "c"))
    a, b, c = ids(store, workflow_id).values()
    claims = {claim.name: claim for claim in store.claim(node, PLENTY, 9)}
    store.start(node, [a, c])
    store.heartbeat(node, clock.now() + 60)
    store.complete(node, [a_report(claims["a"])])
    assert store.reset_jobs(workflow_id, [a], force=True) == [a]
    assert store.claim(node, PLENTY, 9) == []
    assert statuses(store, workflow_id) == {
        "a": "uninitialized", "b": "blocked", "c": "running",
    }  # fmt: skip
    assert store.get(Job, b).ready_since is None


def test_of_two_plans_for_the_same_run_one_is_carried_out(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    run(store, node, clock.now(), return_code=1)
    a, b = ids(store, workflow_id).values()
    first = plan_reinit(store, workflow_id, reset=[a])
    second = plan_reinit(store, workflow_id, reset=[b])
    begin_again(store, first)
    with pytest.raises(Conflict, match="was begun meanwhile"):
        begin_again(store, second)
    assert statuses(store, workflow_id) == {"a": "ready", "b": "failed"}


def test_a_plan_of_jobs_that_have_changed_since_is_not_carried_out(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    run(store, node, clock.now(), return_code=1)
    a, _ = ids(store, workflow_id).values()
    plan = plan_reinit(store, workflow_id, reset=[a])
    store.disable(workflow_id, [a])
    with pytest.raises(Conflict, match="have changed meanwhile"):
        begin_again(store, plan)
    assert statuses(store, workflow_id) == {"a": "disabled", "b": "failed"}


def test_a_restart_begins_with_first_attempts_and_arms_every_action(
    store: SqlStore, clock: ManualClock
) -> None:
    start = gate(TriggerType.ON_WORKFLOW_START)
    workflow_id, node = begin(store, a_draft("a", "b", actions=[start]))
    (action,) = store.pending_actions(workflow_id)
    store.claim_action(action.id, ActionRun(action_id=action.id, compute_node_id=node))
    claims = store.claim(node, PLENTY, 9)
    store.start(node, [claim.job_id for claim in claims])
    store.complete(node, [a_report(claims[0], return_code=1, again=True), a_report(claims[1])])
    run(store, node, clock.now())
    assert store.rows(Job, workflow_id=workflow_id).items[0].attempt_id == 2
    begin_again(store, plan_reinit(store, workflow_id, anew=True))
    found = store.rows(Job, workflow_id=workflow_id).items
    assert [(job.status, job.attempt_id, job.origin) for job in found] == [(S.READY, 1, None)] * 2
    assert not store.get(Action, action.id).executed
    assert store.rows(Result, workflow_id=workflow_id).total_count == 3


def test_a_plain_later_run_goes_by_the_same_rules(store: SqlStore, clock: ManualClock) -> None:
    start, done = gate(TriggerType.ON_WORKFLOW_START), gate(TriggerType.ON_JOBS_COMPLETE, 0)
    workflow_id, node = begin(store, a_draft("a", a_job("b", 0), actions=[start, done]))
    run(store, node, clock.now())
    run(store, node, clock.now())
    for action in store.pending_actions(workflow_id):
        store.claim_action(action.id, ActionRun(action_id=action.id, compute_node_id=node))
    a, b = ids(store, workflow_id).values()
    store.reset_jobs(workflow_id, [b])
    assert begin_run(store, workflow_id, after_run=1).run_id == 2
    assert statuses(store, workflow_id) == {"a": "completed", "b": "ready"}
    assert store.pending_actions(workflow_id) == []
    store.reset_jobs(workflow_id, [a])
    begin_run(store, workflow_id, after_run=2)
    assert statuses(store, workflow_id) == {"a": "ready", "b": "blocked"}
    assert [a.executed for a in store.rows(Action, workflow_id=workflow_id).items] == [True, False]


def test_a_canceled_workflow_is_taken_up_again(store: SqlStore) -> None:
    workflow_id, _ = begin(store, a_draft("a", a_job("b", 0)))
    store.cancel(workflow_id)
    plan = plan_reinit(store, workflow_id)
    assert (plan.is_needed, dict(plan.reasons)) == (True, {})
    begin_again(store, plan)
    assert not store.get(Workflow, workflow_id).is_canceled
    assert statuses(store, workflow_id) == {"a": "ready", "b": "blocked"}


# ── the archive ──────────────────────────────────────────────────────────────


def test_nothing_is_changed_in_the_archive(store: SqlStore, clock: ManualClock) -> None:
    workflow_id = ended(store, clock, "a", user_data=[UserData(name="d", data=1)])
    (a,) = ids(store, workflow_id).values()
    store.archive(workflow_id, archived=True)
    for refused in (
        lambda: store.update_job(a, JobChange(command="x")),
        lambda: store.reset_jobs(workflow_id, [a], force=True),
        lambda: store.rerun(workflow_id, [a], force=True),
        lambda: store.initialize(workflow_id),
        lambda: store.disable(workflow_id, [a]),
        lambda: store.enable(workflow_id, [a]),
        lambda: store.delete_jobs(workflow_id, [a]),
        lambda: store.set_data(1, 2),
    ):
        with pytest.raises(Conflict, match=f"torc workflows archive false {workflow_id}"):
            refused()
    store.archive(workflow_id, archived=False)
    assert store.update_job(a, JobChange(command="x")).command == "x"


def test_a_workflow_with_a_living_worker_is_not_archived(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    store.heartbeat(node, clock.now() + 60)
    with pytest.raises(Conflict, match="active workers"):
        store.archive(workflow_id, archived=True)
    assert not store.get(Workflow, workflow_id).is_archived


# ── what waits follows a change ──────────────────────────────────────────────


def test_a_job_that_waits_for_nothing_any_more_is_ready_and_counts_for_its_gate(
    store: SqlStore,
) -> None:
    gate = DraftAction(
        trigger_type=TriggerType.ON_JOBS_READY,
        action_type=ActionType.RUN_COMMANDS,
        jobs=(1,),
        commands=("true",),
    )
    workflow_id, _ = begin(store, a_draft("a", a_job("b", 0), actions=[gate]))
    b = ids(store, workflow_id)["b"]
    store.update_job(b, JobChange(depends_on=()))
    assert statuses(store, workflow_id) == {"a": "ready", "b": "ready"}
    assert len(store.pending_actions(workflow_id)) == 1


def test_a_job_that_is_to_wait_is_blocked_from_then_on_and_freed_after(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    known = ids(store, workflow_id)
    store.update_job(known["b"], JobChange(depends_on=(known["a"],)))
    assert statuses(store, workflow_id) == {"a": "ready", "b": "blocked"}
    assert run(store, node, clock.now()) == ["a"]
    assert run(store, node, clock.now()) == ["b"]


def test_a_workflow_that_is_complete_is_not_completed_once_more_by_a_change(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", "c"))
    while run(store, node, clock.now(), return_code=1):
        pass
    known = ids(store, workflow_id)
    store.disable(workflow_id, [known["a"]])
    store.delete_jobs(workflow_id, [known["b"]])
    store.update_job(known["c"], JobChange(depends_on=(known["a"],)))
    told = [event.type for event in store.rows(Event, workflow_id=workflow_id).items]
    assert told.count("workflow_completed") == 1


def test_a_workflow_is_complete_when_the_last_job_that_was_left_is_disabled(
    store: SqlStore, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", a_job("b", 0)))
    assert run(store, node, clock.now()) == ["a"]
    store.disable(workflow_id, [ids(store, workflow_id)["b"]])
    told = [event.type for event in store.rows(Event, workflow_id=workflow_id).items]
    assert told.count("workflow_completed") == 1


# ── workers of the run before ────────────────────────────────────────────────


@pytest.mark.parametrize("force", [False, True])
def test_a_worker_that_slept_through_the_beginning_of_a_run_is_told_to_end(
    store: SqlStore, clock: ManualClock, force: bool
) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    run(store, node, clock.now(), return_code=1)
    store.rerun(workflow_id, list(ids(store, workflow_id).values()), force=force)
    assert not store.heartbeat(node, clock.now() + 60)
    assert store.claim(node, PLENTY, 1) == []


def test_a_worker_that_comes_for_a_run_that_is_over_is_refused(store: SqlStore) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    store.rerun(workflow_id, [], after_run=1)
    with pytest.raises(Conflict, match=r"run 2 of workflow 1 was begun .* came for run 1"):
        store.register(a_node(workflow_id), run_id=1)
    assert store.register(a_node(workflow_id), run_id=2).is_active
