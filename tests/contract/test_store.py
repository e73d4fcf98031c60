"""What every store must do: the same tests for SQLite in memory, SQLite in a file, Postgres."""

from __future__ import annotations

import select
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cluster import eventually
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

from slurmtorc.errors import Conflict, InvalidValue, NotFound
from slurmtorc.model import (
    ActionRun,
    ActionType,
    Allocation,
    AllocationStatus,
    Capacity,
    ComputeNode,
    DraftAction,
    Ending,
    File,
    Job,
    JobStatus,
    ResourceRequirements,
    Result,
    SlurmScheduler,
    TriggerType,
    UserData,
    Workflow,
)
from slurmtorc.ports import Page

if TYPE_CHECKING:
    from slurmtorc.clock import ManualClock
    from slurmtorc.ports import Store

S = JobStatus


def statuses(store: Store, workflow_id: int) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=workflow_id).items}


def event_types(store: Store, workflow_id: int) -> list[str]:
    return [event.type for event in store.events(workflow_id)]


# ── create ───────────────────────────────────────────────────────────────────


def test_create_stores_every_part_of_a_draft(store: Store) -> None:
    draft = a_draft(
        a_job("first", output_files=(0,), env={"A": "1"}, requirement=0, priority=3),
        a_job("second", 0, input_files=(0,), stdio={"mode": "combined"}, scheduler=0),
        workflow=Workflow(name="whole", user="u", metadata={"k": [1, None]}, env={"E": "x"}),
        requirements=[a_need("big", num_cpus=2, memory="8g", runtime="PT2H", num_gpus=1)],
        schedulers=[a_scheduler("gpu", gres="gpu:2", nodes=3)],
        files=[File(name="f", path="out/f.txt")],
        user_data=[UserData(name="d", data={"a": "text"}), UserData(name="t", data="text")],
        spec='{"name": "whole"}',
    )
    workflow_id = store.create(draft)
    workflow = store.get(Workflow, workflow_id)
    assert (workflow.name, workflow.metadata, workflow.env) == (
        "whole",
        {"k": [1, None]},
        {"E": "x"},
    )
    assert workflow.run_id == 0
    first, second = store.rows(Job, workflow_id=workflow_id).items
    assert (first.name, first.priority, first.env) == ("first", 3, {"A": "1"})
    assert second.stdio == {"mode": "combined"}
    assert first.status is S.UNINITIALIZED
    default, big = store.rows(ResourceRequirements, workflow_id=workflow_id).items
    assert (default.name, default.memory, big.memory_bytes, big.runtime_s) == (
        "default", "1m", 8 << 30, 7200,
    )  # fmt: skip
    assert first.resource_requirements_id == big.id
    assert second.resource_requirements_id == default.id
    (scheduler,) = store.rows(SlurmScheduler, workflow_id=workflow_id).items
    assert (scheduler.gres, scheduler.nodes, second.scheduler_id) == ("gpu:2", 3, scheduler.id)
    assert [d.data for d in store.rows(UserData, workflow_id=workflow_id).items] == [
        {"a": "text"},
        "text",
    ]
    assert store.dependencies([second.id]) == {second.id: [first.id]}
    assert store.spec(workflow_id) == '{"name": "whole"}'


def test_create_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(Conflict, match="already has a record like it"):
        store.create(a_draft("twice", "twice"))
    assert store.rows(Workflow).items == []
    assert store.rows(Job).items == []


def test_ids_are_never_given_out_twice(store: Store) -> None:
    first = store.create(a_draft("a", "b"))
    jobs = [job.id for job in store.rows(Job, workflow_id=first).items]
    store.delete_workflow(first)
    second = store.create(a_draft("a", "b"))
    assert second > first
    assert min(job.id for job in store.rows(Job, workflow_id=second).items) > max(jobs)


def test_a_data_token_without_data_becomes_the_record_id(store: Store) -> None:
    draft = a_draft(
        a_job("j", command="put ${user_data.output.d} ${user_data.output.other}"),
        user_data=[UserData(name="d")],
    )
    workflow_id = store.create(draft)
    (data,) = store.rows(UserData, workflow_id=workflow_id).items
    (job,) = store.rows(Job, workflow_id=workflow_id).items
    assert job.command == f"put {data.id} ${{user_data.output.other}}"


# ── initialize ───────────────────────────────────────────────────────────────


def test_initialize_blocks_what_waits_and_frees_the_rest(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft("root", a_job("leaf", 0), "other"))
    assert statuses(store, workflow_id) == {"root": "ready", "leaf": "blocked", "other": "ready"}
    assert store.get(Workflow, workflow_id).run_id == 1


def test_initialize_links_jobs_by_files_and_user_data(store: Store) -> None:
    draft = a_draft(
        a_job("writer", output_files=(0,), output_user_data=(0,)),
        a_job("reader", input_files=(0,)),
        a_job("asker", input_user_data=(0,)),
        files=[File(name="f", path="f")],
        user_data=[UserData(name="d")],
    )
    workflow_id, node = begin(store, draft)
    assert statuses(store, workflow_id) == {
        "writer": "ready",
        "reader": "blocked",
        "asker": "blocked",
    }
    run_all(store, node)
    assert statuses(store, workflow_id)["reader"] == "ready"


def test_initialize_is_refused_while_jobs_are_held(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    store.claim(node, PLENTY, 1)
    with pytest.raises(Conflict, match="1 pending or running"):
        store.initialize(workflow_id)
    assert store.get(Workflow, workflow_id).run_id == 1


def test_initialize_again_keeps_what_is_complete_and_runs_what_was_terminated(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("good", "cut"))
    claims = store.claim(node, PLENTY, 2)
    store.start(node, [claim.job_id for claim in claims])
    cut = a_report(claims[1], return_code=152, status=S.TERMINATED, ending=Ending.TIMEOUT)
    store.complete(node, [a_report(claims[0]), cut])
    assert store.initialize(workflow_id) == 2
    assert statuses(store, workflow_id) == {"good": "completed", "cut": "ready"}


def test_initialize_again_frees_what_was_blocked_behind_what_will_not_run(store: Store) -> None:
    jobs = [a_job("held"), a_job("freed", 0), a_job("after", 1), a_job("behind", after=(0,))]
    workflow_id, node = begin(store, a_draft(*jobs, barriers=[(0, 1)]))
    store.claim(node, PLENTY, 1)
    store.cancel(workflow_id)
    assert statuses(store, workflow_id)["freed"] == "blocked"
    store.initialize(workflow_id)
    assert statuses(store, workflow_id) == {
        "held": "canceled",
        "freed": "ready",
        "after": "blocked",
        "behind": "blocked",
    }
    worker = store.register(a_node(workflow_id)).id
    assert [run_all(store, worker) for _ in range(2)] == [["freed"], ["after"]]
    assert statuses(store, workflow_id)["behind"] == "canceled"


def test_unknown_workflows_are_not_found(store: Store) -> None:
    for question in (
        store.initialize,
        store.cancel,
        store.delete_workflow,
        store.progress,
        store.spec,
    ):
        with pytest.raises(NotFound, match="no workflow 77"):
            question(77)


# ── claim ────────────────────────────────────────────────────────────────────


def test_claims_come_by_priority_gpus_runtime_memory_cpus_and_id(store: Store) -> None:
    needs = [
        a_need("plain"),
        a_need("cpus", num_cpus=4),
        a_need("memory", memory="9g"),
        a_need("long", runtime="PT9H"),
        a_need("gpu", num_gpus=1),
    ]
    jobs = [a_job(f"{need.name}{i}", requirement=n) for i in (1, 2) for n, need in enumerate(needs)]
    jobs.append(a_job("urgent", priority=1))
    _, node = begin(store, a_draft(*jobs, requirements=needs))
    names = [claim.name for claim in store.claim(node, PLENTY, 100)]
    assert names == [
        "urgent", "gpu1", "gpu2", "long1", "long2", "memory1", "memory2", "cpus1", "cpus2",
        "plain1", "plain2",
    ]  # fmt: skip


def test_requirements_of_equal_size_are_claimed_by_id(store: Store) -> None:
    needs = [a_need("one"), a_need("same")]
    jobs = [a_job(f"j{i}", requirement=i % 2) for i in range(6)]
    _, node = begin(store, a_draft(*jobs, requirements=needs))
    assert [claim.name for claim in store.claim(node, PLENTY, 4)] == ["j0", "j1", "j2", "j3"]


def test_a_claim_takes_only_what_fits_together(store: Store) -> None:
    need = a_need(num_cpus=2, memory="1g")
    _, node = begin(
        store, a_draft(*(a_job(f"j{i}", requirement=0) for i in range(9)), requirements=[need])
    )
    free = Capacity(cpus=7, memory_bytes=2 << 30)
    assert len(store.claim(node, free, 100)) == 2
    free = Capacity(cpus=7, memory_bytes=9 << 30)
    assert len(store.claim(node, free, 100)) == 3


def test_what_is_claimed_ahead_is_like_what_fits(store: Store) -> None:
    draft = a_draft(
        *(a_job(f"fits{i}", requirement=0) for i in range(4)), a_job("large", requirement=1),
        *(a_job(f"wide{i}", requirement=2) for i in range(2)),
        requirements=[
            a_need("fits", num_cpus=2), a_need("large", num_cpus=9), a_need("wide", num_nodes=2)
        ],
    )  # fmt: skip
    _, node = begin(store, draft)
    free = Capacity(cpus=3, memory_bytes=1 << 40)
    names = [claim.name for claim in store.claim(node, free, 10, ahead=2)]
    assert names == ["fits0", "fits1", "fits2"]
    pair = Capacity(cpus=3, memory_bytes=1 << 40, nodes=2)
    assert [claim.name for claim in store.claim(node, pair, 10, ahead=2)] == ["wide0"]


@pytest.mark.parametrize(
    ("need", "free"),
    [
        ({"num_cpus": 5}, {"cpus": 4}),
        ({"memory": "2g"}, {"memory_bytes": 1 << 30}),
        ({"num_gpus": 1}, {"gpus": 0}),
        ({"num_nodes": 2}, {"nodes": 1}),
        ({"runtime": "PT2M"}, {"seconds": 119.0}),
    ],
)
def test_a_job_that_does_not_fit_is_left_and_does_not_hide_others(
    store: Store, need: dict[str, object], free: dict[str, object]
) -> None:
    draft = a_draft(
        a_job("big", requirement=0, priority=9), a_job("small"), requirements=[a_need(**need)]
    )
    _, node = begin(store, draft)
    capacity = replace(Capacity(cpus=100, memory_bytes=1 << 40, gpus=4), **free)
    assert [claim.name for claim in store.claim(node, capacity, 10)] == ["small"]


def test_jobs_of_another_scheduler_are_taken_only_when_there_are_no_others(store: Store) -> None:
    draft = a_draft(
        a_job("theirs", scheduler=1, priority=9),
        a_job("mine", scheduler=0),
        a_job("anybodys"),
        schedulers=[a_scheduler("a"), a_scheduler("b")],
    )
    workflow_id, node = begin(store, draft)
    mine = store.rows(SlurmScheduler, workflow_id=workflow_id).items[0].id
    free = replace(PLENTY, scheduler_id=mine)
    assert {claim.name for claim in store.claim(node, free, 10)} == {"mine", "anybodys"}
    assert [claim.name for claim in store.claim(node, free, 10)] == ["theirs"]


def test_claim_next_ignores_what_jobs_need(store: Store) -> None:
    draft = a_draft(
        a_job("huge", requirement=0), "plain", a_job("urgent", priority=2),
        requirements=[a_need(num_cpus=10_000, memory="900t")],
    )  # fmt: skip
    _, node = begin(store, draft)
    assert [claim.name for claim in store.claim_next(node, 2)] == ["urgent", "huge"]
    assert [claim.name for claim in store.claim_next(node, 2)] == ["plain"]
    assert store.claim_next(node, 2) == []


def test_a_claim_brings_all_it_takes_to_run_the_job(store: Store) -> None:
    draft = a_draft(
        a_job("j", command="do it", invocation_script="wrap", output_files=(1, 0), env={"K": "v"}),
        files=[File(name="a", path="a.txt"), File(name="b", path="b.txt")],
    )
    _, node = begin(store, draft)
    (claim,) = store.claim(node, PLENTY, 1)
    assert (claim.command, claim.invocation_script, claim.env) == ("do it", "wrap", {"K": "v"})
    assert [path for _, path in claim.outputs] == ["a.txt", "b.txt"]
    assert (claim.attempt_id, claim.requirement.name) == (1, "default")


@pytest.mark.parametrize("whatever", [False, True])
def test_jobs_that_are_started_by_their_claim_are_running_and_that_is_told(
    store: Store, clock: ManualClock, whatever: bool
) -> None:
    draft = a_draft(a_job("a", output_files=(0,)), "b", "c", files=[File(name="f", path="f.txt")])
    workflow_id, node = begin(store, draft)
    seen = store.events(workflow_id)[-1].id
    claims = (
        store.claim_next(node, 2, start=True)
        if whatever
        else store.claim(node, PLENTY, 2, start=True)
    )
    assert [(claim.name, [path for _, path in claim.outputs]) for claim in claims] == [
        ("a", ["f.txt"]),
        ("b", []),
    ]
    assert statuses(store, workflow_id) == {"a": "running", "b": "running", "c": "ready"}
    assert {store.get(Job, claim.job_id).start_time for claim in claims} == {clock.now()}
    told = [(event.type, event.data) for event in store.events(workflow_id, seen)]
    assert told == [
        ("job_started", {"job_id": claim.job_id, "job_name": claim.name, "attempt_id": 1})
        for claim in claims
    ]
    assert store.held(node) == [claim.job_id for claim in claims]
    assert store.complete(node, [a_report(claim) for claim in claims]) == [
        claim.job_id for claim in claims
    ]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_claim_of_nothing_takes_nothing(store: Store, limit: int) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    assert store.claim(node, PLENTY, limit) == []
    assert store.claim_next(node, limit) == []
    assert statuses(store, workflow_id) == {"a": "ready"}


def test_workers_of_a_canceled_workflow_and_retired_workers_claim_nothing(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    retired = store.register(a_node(workflow_id)).id
    store.retire(retired)
    assert store.claim(retired, PLENTY, 1) == []
    store.cancel(workflow_id)
    assert store.claim(node, PLENTY, 1) == []


# ── start, release, complete ─────────────────────────────────────────────────


def test_a_job_is_started_only_by_the_worker_that_holds_it(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    other = store.register(a_node(workflow_id)).id
    (claim,) = store.claim(node, PLENTY, 1)
    assert store.start(other, [claim.job_id]) == []
    assert store.start(node, [claim.job_id]) == [claim.job_id]
    assert store.start(node, [claim.job_id]) == []
    job = store.get(Job, claim.job_id)
    assert (job.status, job.compute_node_id) == (S.RUNNING, node)
    assert job.start_time is not None


def test_release_gives_back_what_was_not_started(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))
    claims = store.claim(node, PLENTY, 2)
    store.start(node, [claims[0].job_id])
    assert store.release(node, [claim.job_id for claim in claims]) == [claims[1].job_id]
    assert statuses(store, workflow_id) == {"a": "running", "b": "ready"}
    assert store.held(node) == [claims[0].job_id]


def test_a_job_that_never_began_is_withdrawn_at_its_attempt(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", "c"))
    claims = store.claim(node, PLENTY, 2)
    ids = [claim.job_id for claim in claims]
    store.start(node, ids[:1])
    other = store.register(a_node(workflow_id)).id
    assert store.withdraw(other, ids) == []
    assert store.withdraw(node, ids) == ids[:1]
    (job,) = store.rows(Job, workflow_id=workflow_id, id=ids[:1]).items
    assert (job.status, job.attempt_id, job.start_time) == (JobStatus.READY, 1, None)
    assert store.rows(Result, workflow_id=workflow_id).items == []


def test_completing_a_job_records_its_result_and_frees_dependents(
    store: Store, clock: ManualClock
) -> None:
    draft = a_draft(
        a_job("a", output_files=(0,)), a_job("b", 0), files=[File(name="f", path="f.txt")]
    )
    workflow_id, node = begin(store, draft)
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    report = a_report(
        claim,
        peak_memory_bytes=5,
        avg_cpu_percent=93.5,
        stdout_path="/o",
        stderr_tail="last words",
        files=((claim.outputs[0][0], 123.5),),
    )
    clock.sleep(7)
    assert store.complete(node, [report]) == [claim.job_id]
    assert statuses(store, workflow_id) == {"a": "completed", "b": "ready"}
    (result,) = store.rows(Result, workflow_id=workflow_id).items
    assert (result.job_name, result.return_code, result.exec_time_s) == ("a", 0, 2.5)
    assert (result.peak_memory_bytes, result.avg_cpu_percent) == (5, 93.5)
    assert (result.stderr_tail, result.ending, result.status) == ("last words", "exit", S.COMPLETED)
    assert not result.superseded
    assert store.rows(File, workflow_id=workflow_id).items[0].st_mtime == 123.5
    assert store.get(Job, claim.job_id + 1).ready_since == clock.now()


def test_a_dependent_waits_for_all_it_depends_on(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", a_job("c", 0, 1)))
    first, second = store.claim(node, PLENTY, 2)
    store.start(node, [first.job_id, second.job_id])
    store.complete(node, [a_report(first)])
    assert statuses(store, workflow_id)["c"] == "blocked"
    store.complete(node, [a_report(second)])
    assert statuses(store, workflow_id)["c"] == "ready"


def test_failure_cancels_dependents_down_the_line_unless_they_do_not_mind(store: Store) -> None:
    draft = a_draft(
        "root",
        a_job("child", 0),
        a_job("grandchild", 1),
        a_job("stoic", 1, cancel_on_blocking_job_failure=False),
        a_job("after stoic", 3),
    )
    workflow_id, node = begin(store, draft)
    run_all(store, node, return_code=3)
    assert statuses(store, workflow_id) == {
        "root": "failed",
        "child": "canceled",
        "grandchild": "canceled",
        "stoic": "ready",
        "after stoic": "blocked",
    }


def test_a_barrier_means_that_each_waits_for_all(store: Store) -> None:
    draft = a_draft(
        "a", "b", "c",
        *(a_job(f"after{i}", after=(0,)) for i in range(3)),
        a_job("also direct", 0, after=(0,)),
        barriers=[(0, 1, 2)],
    )  # fmt: skip
    workflow_id, node = begin(store, draft)
    jobs = {job.name: job.id for job in store.rows(Job, workflow_id=workflow_id).items}
    waits = store.dependencies([jobs["after0"], jobs["also direct"]])
    three = [jobs["a"], jobs["b"], jobs["c"]]
    assert waits == {jobs["after0"]: three, jobs["also direct"]: three}
    claims = store.claim(node, PLENTY, 9)
    store.start(node, [claim.job_id for claim in claims])
    store.complete(node, [a_report(claims[0]), a_report(claims[1])])
    assert store.progress(workflow_id).counts[S.BLOCKED] == 4
    store.complete(node, [a_report(claims[2])])
    assert store.progress(workflow_id).counts == {S.COMPLETED: 3, S.READY: 4}


def test_a_failure_behind_a_barrier_cancels_everybody_in_front_of_it(store: Store) -> None:
    draft = a_draft("a", "b", a_job("x", after=(0,)), a_job("y", after=(0,)), barriers=[(0, 1)])
    workflow_id, node = begin(store, draft)
    claims = store.claim(node, PLENTY, 9)
    store.start(node, [claim.job_id for claim in claims])
    store.complete(node, [a_report(claims[0], return_code=1), a_report(claims[1])])
    assert statuses(store, workflow_id) == {
        "a": "failed", "b": "completed", "x": "canceled", "y": "canceled",
    }  # fmt: skip


def test_a_late_report_is_kept_but_changes_nothing(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    store.abandon(node)
    other = store.register(a_node(workflow_id)).id
    (second,) = store.claim(other, PLENTY, 1)
    store.start(other, [second.job_id])
    assert store.complete(node, [a_report(claim)]) == []
    assert statuses(store, workflow_id) == {"a": "running"}
    assert store.complete(other, [a_report(second)]) == [second.job_id]
    assert store.complete(other, [a_report(second)]) == []
    results = store.rows(Result, workflow_id=workflow_id).items
    assert [(r.attempt_id, r.ending.value, r.superseded) for r in results] == [
        (1, "orphaned", False), (1, "exit", True), (2, "exit", False),
    ]  # fmt: skip


def test_a_report_that_says_again_makes_the_next_attempt_ready(
    store: Store, clock: ManualClock
) -> None:
    workflow_id, node = begin(store, a_draft("a", a_job("b", 0)))
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    clock.sleep(5)
    store.complete(node, [a_report(claim, return_code=10, again=True)])
    job = store.get(Job, claim.job_id)
    assert (job.status, job.attempt_id, job.origin, job.compute_node_id) == (
        S.READY,
        2,
        "retry",
        None,
    )
    assert job.ready_since == clock.now()
    assert statuses(store, workflow_id)["b"] == "blocked"
    assert store.claim(node, PLENTY, 1)[0].attempt_id == 2
    (result,) = store.rows(Result, workflow_id=workflow_id).items
    assert (result.attempt_id, result.return_code, result.status) == (1, 10, S.FAILED)


def test_a_job_set_aside_keeps_its_dependents_waiting(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", a_job("b", 0)))
    run_all(store, node, return_code=1, status=S.PENDING_FAILED)
    assert statuses(store, workflow_id) == {"a": "pending_failed", "b": "blocked"}
    assert not store.progress(workflow_id).is_complete


def test_many_reports_are_one_transaction(store: Store) -> None:
    names = [f"j{i}" for i in range(300)]
    workflow_id, node = begin(store, a_draft(*names, a_job("last", *range(300))))
    assert run_all(store, node) == names
    assert statuses(store, workflow_id)["last"] == "ready"
    assert event_types(store, workflow_id).count("job_completed") == 300


# ── workers ──────────────────────────────────────────────────────────────────


def test_abandoning_a_worker_brings_its_jobs_back(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("started", "claimed", "free"))
    started, claimed = store.claim(node, PLENTY, 2)
    store.start(node, [started.job_id])
    assert store.abandon(node) == [started.job_id, claimed.job_id]
    assert statuses(store, workflow_id) == dict.fromkeys(("started", "claimed", "free"), "ready")
    assert store.get(Job, started.job_id).attempt_id == 2
    assert store.get(Job, claimed.job_id).attempt_id == 1
    (result,) = store.rows(Result, workflow_id=workflow_id).items
    assert (result.return_code, result.ending) == (-128, Ending.ORPHANED)
    assert not store.get(ComputeNode, node).is_active
    assert not store.heartbeat(node, 9e9)
    assert store.abandon(node) == []


def test_a_heartbeat_renews_the_lease(store: Store, clock: ManualClock) -> None:
    _, node = begin(store, a_draft("a"))
    clock.sleep(10)
    assert store.heartbeat(node, 12_345.0)
    row = store.get(ComputeNode, node)
    assert (row.heartbeat, row.lease_until) == (clock.now(), 12_345.0)


# ── workflows ────────────────────────────────────────────────────────────────


def test_cancel_takes_held_jobs_and_leaves_the_rest(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("running", "pending", "ready", a_job("blocked", 0)))
    claims = store.claim(node, PLENTY, 2)
    store.start(node, [claims[0].job_id])
    assert store.cancel(workflow_id) == 2
    assert statuses(store, workflow_id) == {
        "running": "canceled", "pending": "canceled", "ready": "ready", "blocked": "blocked",
    }  # fmt: skip
    progress = store.progress(workflow_id)
    assert progress.is_canceled
    assert progress.is_complete
    assert store.held(node) == []
    canceled = store.events(workflow_id)[-1]
    assert canceled.type == "workflow_canceled"
    assert canceled.data["job_ids"] == [claim.job_id for claim in claims]


def test_the_attempt_that_a_cancel_has_ended_is_told_of(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    store.cancel(workflow_id)
    report = a_report(
        claim, return_code=143, status=S.TERMINATED, ending=Ending.CANCELED, completion_time=2e9
    )
    for _ in range(2):
        assert store.complete(node, [report]) == []
    (result,) = store.rows(Result, workflow_id=workflow_id).items
    assert (result.ending, result.superseded) == (Ending.CANCELED, False)
    assert statuses(store, workflow_id) == {"a": "canceled"}


def test_delete_removes_everything_of_a_workflow_and_nothing_else(store: Store) -> None:
    kept = store.create(a_draft("kept"))
    workflow_id, node = begin(store, a_draft("a", files=[File(name="f", path="f")]))
    store.heartbeat(node, 2e9)
    run_all(store, node)
    with pytest.raises(Conflict, match="active workers on n1"):
        store.delete_workflow(workflow_id)
    store.retire(node)
    store.delete_workflow(workflow_id)
    assert [w.id for w in store.rows(Workflow).items] == [kept]
    for kind in (Job, File, Result, ComputeNode):
        assert store.rows(kind, workflow_id=workflow_id).items == []
    assert store.events(workflow_id) == []


def test_progress_counts_jobs_by_status(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", "b", a_job("c", 0)))
    run_all(store, node, return_code=1)
    progress = store.progress(workflow_id)
    assert progress.counts == {S.FAILED: 2, S.CANCELED: 1}
    assert (progress.total, progress.unsuccessful, progress.is_complete) == (3, 3, True)


def test_of_two_that_begin_a_workflow_one_does(store: Store) -> None:
    workflow_id = store.create(a_draft("a"))
    assert [store.initialize(workflow_id, after_run=0) for _ in range(2)] == [1, 1]
    assert event_types(store, workflow_id).count("workflow_started") == 1
    assert store.initialize(workflow_id) == 2


def test_an_intent_is_asked_for_by_one_at_a_time(store: Store, clock: ManualClock) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    (intent,) = store.intend([an_allocation(workflow_id)])
    now = clock.now()
    assert store.asking(intent.id, now - 150)
    assert not store.asking(intent.id, now - 150)
    clock.sleep(200)
    assert store.asking(intent.id, clock.now() - 150)
    store.submitted(intent.id, 5)
    clock.sleep(200)
    assert not store.asking(intent.id, clock.now() - 150)


def test_together_inside_together_is_one_transaction(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a"))

    def claim_and_fail() -> None:
        with store.together():
            with store.together():
                store.claim(node, PLENTY, 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        claim_and_fail()
    assert statuses(store, workflow_id) == {"a": "ready"}


def test_an_empty_workflow_is_complete(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft())
    assert store.progress(workflow_id).is_complete


# ── actions ──────────────────────────────────────────────────────────────────


def scheduling(trigger: TriggerType, *jobs: int) -> DraftAction:
    return DraftAction(
        trigger_type=trigger, action_type=ActionType.SCHEDULE_NODES, jobs=jobs, scheduler=0
    )


def test_actions_become_pending_when_their_condition_holds(store: Store) -> None:
    draft = a_draft(
        "a", "b", a_job("c", 0, 1), a_job("d", 2),
        schedulers=[a_scheduler()],
        actions=[
            scheduling(TriggerType.ON_WORKFLOW_START),
            scheduling(TriggerType.ON_JOBS_READY, 0, 1),
            scheduling(TriggerType.ON_JOBS_READY, 1, 2),
            scheduling(TriggerType.ON_JOBS_COMPLETE, 0, 2),
            scheduling(TriggerType.ON_JOBS_READY, 3),
        ],
    )  # fmt: skip
    workflow_id, node = begin(store, draft)

    def pending() -> list[int]:
        first = store.pending_actions(workflow_id)
        return [action.id - first[0].id for action in first]

    assert pending() == [0, 1]
    run_all(store, node)
    assert pending() == [0, 1, 2]
    run_all(store, node, return_code=1)
    assert pending() == [0, 1, 2, 3, 4]


def test_an_action_is_claimed_once_with_its_intents(store: Store, clock: ManualClock) -> None:
    draft = a_draft(
        "a", schedulers=[a_scheduler()], actions=[scheduling(TriggerType.ON_WORKFLOW_START)]
    )
    workflow_id, node = begin(store, draft)
    (action,) = store.pending_actions(workflow_id)
    assert action.action_config["num_allocations"] == 1
    by = ActionRun(action_id=action.id, compute_node_id=node)
    run = store.claim_action(action.id, by, [an_allocation(workflow_id, "t1")])
    assert run is not None
    assert store.get(ActionRun, run.id).return_code == 0
    (intent,) = store.rows(Allocation, workflow_id=workflow_id).items
    assert (intent.status, intent.created_at) == (AllocationStatus.INTENDED, clock.now())
    assert store.claim_action(action.id, by, [an_allocation(workflow_id, "t2")]) is None
    assert store.pending_actions(workflow_id) == []
    assert [a.token for a in store.rows(Allocation, workflow_id=workflow_id).items] == ["t1"]


# ── allocations ──────────────────────────────────────────────────────────────


def test_an_allocation_goes_from_intent_to_its_end(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    (intent,) = store.intend([an_allocation(workflow_id, nodes=2)])
    assert store.submitted(intent.id, 4711).status is AllocationStatus.PENDING
    first = store.register(a_node(workflow_id, allocation_id=intent.id, slurm_job_id=4711))
    assert store.get(Allocation, intent.id).status is AllocationStatus.ACTIVE
    store.retire(first.id)
    assert store.get(Allocation, intent.id).status is AllocationStatus.ACTIVE
    second = store.register(a_node(workflow_id, allocation_id=intent.id, slurm_job_id=4711))
    store.retire(second.id)
    after = store.get(Allocation, intent.id)
    assert (after.status, after.scheduler_id) == (AllocationStatus.COMPLETE, 4711)
    told = [e for e in store.events(workflow_id) if e.type.startswith("allocation_")]
    assert [event.type for event in told] == [
        "allocation_intended", "allocation_submitted", "allocation_active", "allocation_closed",
    ]  # fmt: skip
    assert {event.data["allocation_id"] for event in told} == {intent.id}
    assert told[1].data["slurm_job_id"] == 4711


def test_a_worker_may_be_faster_than_the_answer_of_sbatch(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    (intent,) = store.intend([an_allocation(workflow_id)])
    store.register(a_node(workflow_id, allocation_id=intent.id, slurm_job_id=5))
    assert store.submitted(intent.id, 5).status is AllocationStatus.ACTIVE


def test_a_second_slurm_job_for_one_intent_is_turned_away(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    (intent,) = store.intend([an_allocation(workflow_id)])
    store.submitted(intent.id, 5)
    with pytest.raises(Conflict, match="Slurm job 6 is one too many"):
        store.register(a_node(workflow_id, allocation_id=intent.id, slurm_job_id=6))
    with pytest.raises(Conflict, match="cannot also be 6"):
        store.submitted(intent.id, 6)


def test_a_worker_of_a_closed_allocation_is_turned_away(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    (intent,) = store.intend([an_allocation(workflow_id)])
    assert store.closed(intent.id, "surplus").reason == "surplus"
    assert store.closed(intent.id, "again").reason == "surplus"
    with pytest.raises(Conflict, match=r"closed \(surplus\)"):
        store.register(a_node(workflow_id, allocation_id=intent.id, slurm_job_id=6))


def test_a_token_names_one_allocation(store: Store) -> None:
    workflow_id, _ = begin(store, a_draft("a"))
    store.intend([an_allocation(workflow_id, "same")])
    with pytest.raises(Conflict, match="token"):
        store.intend([an_allocation(workflow_id, "same")])


# ── lists, events, transactions ──────────────────────────────────────────────


def test_lists_are_filtered_sorted_and_paged(store: Store) -> None:
    workflow_id, node = begin(store, a_draft(*(f"j{i}" for i in range(5)), a_job("z", 0)))
    run_all(store, node)
    done = store.rows(Job, Page(limit=2), workflow_id=workflow_id, status=S.COMPLETED)
    assert ([job.name for job in done.items], done.total_count, done.has_more) == (
        ["j0", "j1"],
        5,
        True,
    )
    last = store.rows(Job, Page(offset=4, limit=2), workflow_id=workflow_id, status=[S.COMPLETED])
    assert ([job.name for job in last.items], last.total_count, last.has_more) == (["j4"], 5, False)
    backwards = store.rows(
        Job, Page(sort_by="name", reverse_sort=True, limit=2), name=["j1", "j3", "j2"]
    )
    assert [job.name for job in backwards.items] == ["j3", "j2"]
    assert store.rows(Job, Page(offset=99), workflow_id=workflow_id).total_count == 6
    assert len(store.rows(Job, compute_node_id=None).items) == 6


@pytest.mark.parametrize("name", ["nosuch", "id; DROP TABLE job", "blockers"])
def test_only_fields_can_be_filtered_and_sorted_by(store: Store, name: str) -> None:
    with pytest.raises(InvalidValue, match="is no field"):
        store.rows(Job, **{name: 1})
    with pytest.raises(InvalidValue, match="is no field"):
        store.rows(Job, Page(sort_by=name))


def test_records_that_do_not_exist_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="no job 99"):
        store.get(Job, 99)
    with pytest.raises(NotFound, match="no resource requirements 99"):
        store.get(ResourceRequirements, 99)


def test_events_tell_the_story_in_order(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", a_job("b", 0), a_job("c", 1)))
    run_all(store, node)
    run_all(store, node, return_code=2)
    store.retire(node)
    assert event_types(store, workflow_id) == [
        "workflow_created",
        "workflow_started",
        "compute_node_started",
        "job_started", "job_completed", "jobs_ready",
        "job_started", "job_failed", "jobs_canceled", "workflow_completed",
        "compute_node_stopped",
    ]  # fmt: skip
    events = store.events(workflow_id)
    failed = next(event for event in events if event.type == "job_failed")
    assert (failed.data["job_name"], failed.data["return_code"]) == ("b", 2)
    assert store.events(workflow_id, after=events[-2].id) == events[-1:]


def test_verbs_together_commit_together_or_not_at_all(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("a", "b"))

    class Stop(Exception):
        pass

    def half() -> None:
        with store.together():
            store.claim(node, PLENTY, 1)
            assert store.progress(workflow_id).counts[S.PENDING] == 1
            raise Stop

    with pytest.raises(Stop):
        half()
    assert statuses(store, workflow_id) == {"a": "ready", "b": "ready"}
    before = len(store.events(workflow_id))
    with store.together():
        (claim,) = store.claim(node, PLENTY, 1)
        store.start(node, [claim.job_id])
    assert statuses(store, workflow_id) == {"a": "running", "b": "ready"}
    assert len(store.events(workflow_id)) == before + 1


def test_what_must_exist_before_a_run(store: Store) -> None:
    draft = a_draft(
        a_job("a", input_files=(0,), output_files=(1,), input_user_data=(0, 1)),
        a_job("b", input_files=(1,), input_user_data=(2,)),
        a_job("c", output_user_data=(2,)),
        files=[File(name=name, path=name) for name in ("raw", "made", "unused")],
        user_data=[UserData(name="empty"), UserData(name="full", data=0), UserData(name="made")],
    )
    workflow_id = store.create(draft)
    (raw,) = store.required_files(workflow_id)
    assert raw.name == "raw"
    assert [data.name for data in store.missing_user_data(workflow_id)] == ["empty"]
    store.note_files({raw.id: 42.5})
    assert store.get(File, raw.id).st_mtime == 42.5


def test_the_stamp_moves_when_somebody_else_commits(shared_store) -> None:  # noqa: ANN001
    mine, theirs = shared_store(), shared_store()
    before = mine.stamp()
    theirs.create(a_draft("a"))
    eventually(lambda: mine.stamp() != before)


def test_a_store_that_has_a_bell_rings_it_when_jobs_become_ready(shared_store) -> None:  # noqa: ANN001
    mine, theirs = shared_store(), shared_store()
    workflow_id = theirs.create(a_draft("a"))
    before = mine.stamp()
    bell = mine.bell()
    if bell is None:  # a file: whoever waits looks at the stamp
        assert mine.url.startswith("sqlite")
        return
    while select.select([bell], [], [], 0.2)[0]:  # what creating it has rung for
        before = mine.stamp()
    theirs.initialize(workflow_id)
    assert select.select([bell], [], [], 10.0)[0]
    assert mine.stamp() != before
    assert not select.select([bell], [], [], 0.0)[0]
