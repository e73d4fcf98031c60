"""The verbs for planning again and for running chosen jobs again, on every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from factories import (
    PLENTY,
    a_draft,
    a_job,
    a_need,
    a_node,
    a_report,
    a_scheduler,
    an_allocation,
    begin,
    run_all,
)

from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import (
    Action,
    ActionType,
    Allocation,
    Capacity,
    DraftAction,
    File,
    Job,
    JobStatus,
    ResourceRequirements,
    SlurmScheduler,
    TriggerType,
    Workflow,
)

if TYPE_CHECKING:
    from slurmtorc.ports import Store

S = JobStatus
READY = TriggerType.ON_JOBS_READY


def statuses(store: Store, workflow_id: int) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=workflow_id).items}


def ids(store: Store, workflow_id: int) -> dict[str, int]:
    return {job.name: job.id for job in store.rows(Job, workflow_id=workflow_id).items}


def end(store: Store, node: int, **codes: int) -> None:
    """Run what is ready; jobs that are named end with that code."""
    claims = store.claim(node, PLENTY, 100)
    store.start(node, [claim.job_id for claim in claims])
    run = store.get(Workflow, 1).run_id
    reports = [a_report(one, run_id=run, return_code=codes.get(one.name, 0)) for one in claims]
    store.complete(node, reports)


def an_action(workflow_id: int, **values: object) -> Action:
    given = {
        "workflow_id": workflow_id,
        "trigger_type": READY,
        "action_type": ActionType.SCHEDULE_NODES,
        "action_config": {"scheduler_id": 1, "num_allocations": 1},
        "is_recovery": True,
    }
    return Action(**given | values)  # type: ignore[arg-type]


# ── links ────────────────────────────────────────────────────────────────────


def test_links_name_who_waits_for_whom_with_barriers_as_nodes(store: Store) -> None:
    draft = a_draft(
        "a",
        "b",
        a_job("c", 0, after=(0,)),
        barriers=[(0, 1)],
        actions=[
            DraftAction(trigger_type=READY, action_type=ActionType.RUN_COMMANDS, jobs=(2, 0)),
        ],
    )
    workflow_id = store.create(draft)
    a, b, c = ids(store, workflow_id).values()
    links = store.links(workflow_id)
    (barrier,) = (node for node in links.waits_for if node < 0)
    assert links.waits_for == {barrier: [a, b], c: [barrier, a]}
    assert list(links.gates.values()) == [[a, c]]


def test_links_of_files_are_there_before_the_first_run_and_after_it(store: Store) -> None:
    draft = a_draft(
        a_job("writer", output_files=(0,)),
        a_job("reader", input_files=(0,), output_files=(0,)),
        files=[File(name="f", path="f")],
    )
    workflow_id = store.create(draft)
    writer, reader = ids(store, workflow_id).values()
    before = store.links(workflow_id)
    assert before.waits_for == {reader: [writer]}
    store.initialize(workflow_id)
    assert store.links(workflow_id) == before


def test_links_of_an_unknown_workflow_are_an_error(store: Store) -> None:
    with pytest.raises(NotFound, match="no workflow 77"):
        store.links(77)


# ── bind ─────────────────────────────────────────────────────────────────────


def test_bound_jobs_get_what_was_made_for_them_and_others_keep_theirs(store: Store) -> None:
    draft = a_draft(
        a_job("one", requirement=0, scheduler=0, priority=2),
        a_job("two", requirement=0, scheduler=0, priority=2),
        a_job("three", requirement=0),
        requirements=[a_need("small")],
        schedulers=[a_scheduler("first")],
    )
    workflow_id = store.create(draft)
    names = ids(store, workflow_id)
    before = {job.name: job for job in store.rows(Job, workflow_id=workflow_id).items}
    (big,) = store.add_requirements(workflow_id, [a_need("big", memory="9g", num_cpus=3)])
    (other,) = store.add_schedulers(workflow_id, [a_scheduler("second", mem="9g")])
    assert store.get(ResourceRequirements, big.id) == big
    assert store.get(SlurmScheduler, other.id) == other
    chosen = [names["one"], names["three"]]
    store.bind(workflow_id, chosen, requirement_id=big.id)
    store.bind(workflow_id, chosen, scheduler_id=other.id)
    after = {job.name: job for job in store.rows(Job, workflow_id=workflow_id).items}
    assert after["two"] == before["two"]
    for name in ("one", "three"):
        assert after[name].resource_requirements_id == big.id
        assert after[name].scheduler_id == other.id
        assert after[name].priority == before[name].priority


def test_binding_makes_no_class_that_is_there_already(store: Store) -> None:
    workflow_id = store.create(
        a_draft(
            a_job("one", scheduler=0),
            a_job("two", scheduler=1),
            schedulers=[a_scheduler("s"), a_scheduler("t")],
        )
    )
    names = ids(store, workflow_id)
    one, two = (store.get(Job, names[name]) for name in ("one", "two"))
    for _ in range(3):
        store.bind(workflow_id, [one.id], scheduler_id=two.scheduler_id)
        store.bind(workflow_id, [one.id], scheduler_id=one.scheduler_id)
    (another,) = store.add_schedulers(workflow_id, [a_scheduler("u")])
    store.bind(workflow_id, [one.id, two.id], scheduler_id=another.id)
    assert {store.get(Job, job).scheduler_id for job in names.values()} == {another.id}


def test_a_bound_job_is_claimed_by_its_new_requirement(store: Store) -> None:
    workflow_id, node = begin(store, a_draft(a_job("j", requirement=0), requirements=[a_need()]))
    (job,) = ids(store, workflow_id).values()
    (big,) = store.add_requirements(workflow_id, [a_need("big", num_cpus=3)])
    store.bind(workflow_id, [job], requirement_id=big.id)
    assert store.claim(node, Capacity(cpus=2, memory_bytes=1 << 40), 1) == []
    (claim,) = store.claim(node, Capacity(cpus=3, memory_bytes=1 << 40), 1)
    assert claim.requirement == big


# ── actions ──────────────────────────────────────────────────────────────────


def test_an_added_action_counts_who_is_ready_already_and_fires_with_the_last(
    store: Store,
) -> None:
    workflow_id, node = begin(store, a_draft("root", "other", a_job("leaf", 0)))
    names = ids(store, workflow_id)
    action = store.add_action(an_action(workflow_id), [names["other"], names["leaf"]])
    assert (action.trigger_count, action.required_triggers) == (1, 2)
    assert store.pending_actions(workflow_id) == []
    run_all(store, node)
    (fired,) = store.pending_actions(workflow_id)
    assert fired.id == action.id
    assert fired.is_recovery
    assert store.links(workflow_id).gates[action.id] == [names["other"], names["leaf"]]


def test_verbs_together_are_durable_when_asked_and_all_or_nothing(store: Store) -> None:
    workflow_id = store.create(a_draft("a"))

    def make() -> None:
        with store.together(durable=True):
            store.add_schedulers(workflow_id, [a_scheduler("new")])
            store.intend([an_allocation(workflow_id)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make()
    assert store.rows(SlurmScheduler).items == []
    assert store.rows(Allocation).items == []


# ── rerun ────────────────────────────────────────────────────────────────────


def test_rerun_runs_the_chosen_and_what_is_behind_them_and_nothing_else(store: Store) -> None:
    draft = a_draft("good", "bad", "worse", a_job("after_bad", 1), a_job("after_worse", 2))
    workflow_id, node = begin(store, draft)
    end(store, node, bad=1, worse=1)
    names = ids(store, workflow_id)
    assert statuses(store, workflow_id)["after_bad"] == "canceled"
    assert store.rerun(workflow_id, [names["bad"], names["after_bad"]]) == 2
    node = store.register(a_node(workflow_id, lease_until=0.0)).id
    assert statuses(store, workflow_id) == {
        "good": "completed",
        "bad": "ready",
        "worse": "failed",
        "after_bad": "blocked",
        "after_worse": "canceled",
    }
    assert run_all(store, node, run_id=2) == ["bad"]
    assert run_all(store, node, run_id=2) == ["after_bad"]
    assert store.progress(workflow_id).is_complete


def test_rerun_leaves_a_terminated_job_that_was_not_chosen(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("one", "two", a_job("both", 0, 1)))
    claims = store.claim(node, PLENTY, 9)
    store.start(node, [claim.job_id for claim in claims])
    ended = [a_report(one, return_code=152, status=S.TERMINATED) for one in claims]
    store.complete(node, ended)
    names = ids(store, workflow_id)
    store.rerun(workflow_id, [names["one"], names["both"]])
    node = store.register(a_node(workflow_id, lease_until=0.0)).id
    assert statuses(store, workflow_id) == {"one": "ready", "two": "terminated", "both": "blocked"}
    run_all(store, node, run_id=2)
    assert statuses(store, workflow_id)["both"] == "canceled", "two still has not succeeded"


def test_rerun_sees_through_barriers(store: Store) -> None:
    draft = a_draft("a", "b", a_job("c", after=(0,)), a_job("d", after=(0,)), barriers=[(0, 1)])
    workflow_id, node = begin(store, draft)
    end(store, node, a=1)
    names = ids(store, workflow_id)
    store.rerun(workflow_id, [names["a"], names["c"], names["d"]])
    node = store.register(a_node(workflow_id, lease_until=0.0)).id
    assert statuses(store, workflow_id) == {
        "a": "ready",
        "b": "completed",
        "c": "blocked",
        "d": "blocked",
    }
    run_all(store, node, run_id=2)
    assert statuses(store, workflow_id)["d"] == "ready"


def test_an_attempt_keeps_its_number_and_every_result_is_kept(store: Store) -> None:
    from slurmtorc.model import Result

    workflow_id, node = begin(store, a_draft("a"))
    end(store, node, a=1)
    store.rerun(workflow_id, list(ids(store, workflow_id).values()))
    node = store.register(a_node(workflow_id, lease_until=0.0)).id
    run_all(store, node, run_id=2)
    results = store.rows(Result, workflow_id=workflow_id).items
    assert [(one.run_id, one.attempt_id, one.return_code) for one in results] == [
        (1, 1, 1),
        (2, 1, 0),
    ]


@pytest.mark.parametrize("held", [True, False])
def test_rerun_is_refused_while_anything_runs_or_was_never_run(store: Store, held: bool) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    names = ids(store, workflow_id)
    end(store, node, a=1)
    if held:
        store.rerun(workflow_id, [names["a"]])
        node = store.register(a_node(workflow_id, lease_until=0.0)).id
        store.claim(node, PLENTY, 1)
    before = store.get(Workflow, workflow_id), statuses(store, workflow_id)
    with pytest.raises(Conflict):
        store.rerun(workflow_id, [names["a"]] if held else [names["a"], 4711])
    assert (store.get(Workflow, workflow_id), statuses(store, workflow_id)) == before


def test_rerun_of_a_workflow_that_has_not_begun_is_refused(store: Store) -> None:
    workflow_id = store.create(a_draft("a"))
    with pytest.raises(Conflict, match="has not been run yet"):
        store.rerun(workflow_id, list(ids(store, workflow_id).values()))
    with pytest.raises(NotFound):
        store.rerun(99, [1])


def test_rerun_arms_what_comes_again_and_keeps_what_does_not(store: Store) -> None:
    run = ActionType.RUN_COMMANDS
    draft = a_draft(
        "good",
        "bad",
        actions=[
            DraftAction(trigger_type=TriggerType.ON_WORKFLOW_START, action_type=run),
            DraftAction(trigger_type=READY, action_type=run, jobs=(0,)),
            DraftAction(trigger_type=READY, action_type=run, jobs=(0, 1)),
            DraftAction(trigger_type=TriggerType.ON_JOBS_COMPLETE, action_type=run, jobs=(1,)),
            DraftAction(trigger_type=TriggerType.ON_WORKFLOW_COMPLETE, action_type=run),
        ],
    )
    workflow_id, node = begin(store, draft)
    end(store, node, bad=1)
    names = ids(store, workflow_id)
    recovery = store.add_action(an_action(workflow_id), [names["bad"]])
    for action in store.rows(Action, workflow_id=workflow_id).items:
        store.supersede_action(action.id)
    store.rerun(workflow_id, [names["bad"]])
    after = store.rows(Action, workflow_id=workflow_id).items
    assert recovery.id not in [one.id for one in after]
    assert [one.executed for one in after] == [True, True, False, False, False]
    assert [one.trigger_count for one in after] == [1, 1, 2, 0, 0]
