"""Jobs that add jobs, on every store: what a running job may spawn, and that nothing doubles."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_node, a_report, a_scheduler, begin, run_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurmtorc.errors import Conflict, InvalidValue, NotFound, TorcError
from slurmtorc.model import (
    ActionType,
    DraftAction,
    FailureHandler,
    Job,
    JobStatus,
    SpawnJob,
    TriggerType,
    UserData,
    Workflow,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.model import Claim, Draft
    from slurmtorc.ports import Store
    from slurmtorc.store.sql import SqlStore

S = JobStatus
LINEAGE, GENERATION = "TORC_ORCHESTRATOR_LINEAGE_ID", "TORC_ORCHESTRATOR_GENERATION"


def job(name: str, *depends_on: str, **values: Any) -> SpawnJob:
    return SpawnJob(**{"name": name, "command": "true", "depends_on": depends_on} | values)


def statuses(store: Store, workflow_id: int) -> dict[str, str]:
    return {one.name: one.status.word for one in store.rows(Job, workflow_id=workflow_id).items}


def jobs_by_name(store: Store, workflow_id: int) -> dict[str, Job]:
    return {one.name: one for one in store.rows(Job, workflow_id=workflow_id).items}


def records(store: Store, workflow_id: int) -> dict[str, Any]:
    found = store.rows(UserData, workflow_id=workflow_id).items
    assert all(one.is_ephemeral for one in found)
    return {one.name: one.data for one in found}


def running(store: Store, draft: Draft | None = None) -> tuple[int, int, Claim]:
    """A workflow whose first ready job runs: its id, the worker's, and the claim."""
    workflow_id, node = begin(store, draft or a_draft("seed"))
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    return workflow_id, node, claim


# ── what a call does ─────────────────────────────────────────────────────────


def test_spawned_jobs_wait_for_the_one_that_spawned_them_and_then_run(store: Store) -> None:
    workflow_id, node, claim = running(store)
    spawned = store.spawn(claim.job_id, None, [job("a"), job("b", "a"), job("c")], {"best": 1.5})
    assert spawned.iteration == 1
    found = jobs_by_name(store, workflow_id)
    assert spawned.job_ids == [found[name].id for name in "abc"]
    assert statuses(store, workflow_id) == {
        "seed": "running", "a": "blocked", "b": "blocked", "c": "blocked",
    }  # fmt: skip
    assert store.dependencies(spawned.job_ids)[found["b"].id] == [claim.job_id, found["a"].id]
    store.complete(node, [a_report(claim)])
    assert run_all(store, node) == ["a", "c"]
    assert run_all(store, node) == ["b"]
    assert store.progress(workflow_id).is_complete


def test_a_spawned_job_is_what_it_was_said_to_be(store: Store) -> None:
    draft = a_draft(
        "seed",
        requirements=[a_need("big", num_cpus=3)],
        schedulers=[a_scheduler("gpu")],
        failure_handlers=[FailureHandler(name="again", rules=())],
    )
    workflow_id, _, claim = running(store, draft)
    every = job(
        "x", command="run me", invocation_script="sh in.sh", env={"A": "1"}, priority=7,
        resource_requirements="big", scheduler="gpu", failure_handler="again",
        cancel_on_blocking_job_failure=False,
    )  # fmt: skip
    store.spawn(claim.job_id, "search", [every, job("plain")])
    found = jobs_by_name(store, workflow_id)
    x, plain, seed = found["x"], found["plain"], found["seed"]
    assert (x.command, x.invocation_script, x.priority) == ("run me", "sh in.sh", 7)
    assert x.env == {"A": "1", LINEAGE: "search", GENERATION: "1"}
    assert not x.cancel_on_blocking_job_failure
    assert (x.origin, plain.origin, seed.origin) == ("spawn", "spawn", None)
    assert None not in {x.scheduler_id, x.failure_handler_id}
    assert x.resource_requirements_id != seed.resource_requirements_id
    assert plain.resource_requirements_id == seed.resource_requirements_id
    assert plain.cancel_on_blocking_job_failure


def test_each_generation_leaves_a_record_that_torcs_clients_can_read(store: Store) -> None:
    workflow_id, node, claim = running(store)
    store.spawn(claim.job_id, "l_x%", [job("a"), job("b")], {"best": 1.5})
    store.complete(node, [a_report(claim)])
    first, _ = store.claim(node, PLENTY, 9)
    store.start(node, [first.job_id])
    assert store.spawn(first.job_id, None, [job("c")], [1]).iteration == 2
    assert store.spawn(first.job_id, "other", [job("d")]).iteration == 1
    assert store.spawn(first.job_id, "lyx1", [job("e")]).iteration == 1
    assert records(store, workflow_id) == {
        "__torc_lineage__l_x%__g000001": {
            "generation": 1, "spawn_count": 2, "state": {"best": 1.5},
        },
        "__torc_lineage__l_x%__g000002": {"generation": 2, "spawn_count": 1, "state": [1]},
        "__torc_lineage__other__g000001": {"generation": 1, "spawn_count": 1, "state": None},
        "__torc_lineage__lyx1__g000001": {"generation": 1, "spawn_count": 1, "state": None},
    }  # fmt: skip


def test_no_jobs_and_a_state_say_that_the_lineage_has_converged(store: Store) -> None:
    workflow_id, _, claim = running(store)
    store.spawn(claim.job_id, None, [job("a")])
    done = store.spawn(claim.job_id, None, [], {"best": 2})
    assert (done.job_ids, done.iteration) == ([], 1)
    store.spawn(claim.job_id, None, [], {"best": 3})
    final = {"generation": 1, "spawn_count": 0, "state": {"best": 3}, "final": True}
    assert records(store, workflow_id)["__torc_lineage__seed__final"] == final
    store.spawn(claim.job_id, None, [job("b")])
    assert "__torc_lineage__seed__final" not in records(store, workflow_id)
    told = [event.type for event in store.events(workflow_id)]
    assert told[-4:] == [
        "jobs_spawned", "lineage_converged", "lineage_converged", "jobs_spawned",
    ]  # fmt: skip


def test_the_lineage_is_the_callers_own(store: Store) -> None:
    workflow_id, node, claim = running(store)
    store.spawn(claim.job_id, "search", [job("next")])
    store.complete(node, [a_report(claim)])
    (following,) = store.claim(node, PLENTY, 1)
    store.start(node, [following.job_id])
    assert store.spawn(following.job_id, None, [job("after")]).iteration == 2
    env = jobs_by_name(store, workflow_id)["after"].env
    assert env == {LINEAGE: "search", GENERATION: "2"}


def test_spawned_jobs_wait_for_other_jobs_of_the_workflow_too(store: Store) -> None:
    draft = a_draft("seed", "over", "later", a_job("behind", 2))
    workflow_id, node = begin(store, draft)
    seed, over, later = store.claim(node, PLENTY, 9)
    store.start(node, [seed.job_id, over.job_id, later.job_id])
    store.complete(node, [a_report(over)])
    store.spawn(
        seed.job_id, None,
        [job("a", "over"), job("b", "over", "later", "seed"), job("c", "behind")],
    )  # fmt: skip
    store.complete(node, [a_report(seed)])
    found = statuses(store, workflow_id)
    assert (found["a"], found["b"], found["c"]) == ("ready", "blocked", "blocked")
    store.complete(node, [a_report(later)])
    found = statuses(store, workflow_id)
    assert (found["b"], found["behind"], found["c"]) == ("ready", "ready", "blocked")
    run_all(store, node)
    assert statuses(store, workflow_id)["c"] == "ready"


def test_jobs_that_wait_for_a_failure_of_the_past_are_canceled_with_the_callers_end(
    store: Store,
) -> None:
    workflow_id, node = begin(store, a_draft("seed", "bad"))
    seed, bad = store.claim(node, PLENTY, 9)
    store.start(node, [seed.job_id, bad.job_id])
    store.complete(node, [a_report(bad, return_code=1)])
    stubborn = job("stubborn", "bad", cancel_on_blocking_job_failure=False)
    store.spawn(seed.job_id, None, [job("meek", "bad"), stubborn])
    store.complete(node, [a_report(seed)])
    found = statuses(store, workflow_id)
    assert (found["meek"], found["stubborn"]) == ("canceled", "ready")


def test_the_children_of_a_caller_that_fails_are_canceled(store: Store) -> None:
    workflow_id, node, claim = running(store)
    brave = job("brave", cancel_on_blocking_job_failure=False)
    store.spawn(claim.job_id, None, [job("a"), job("b", "a"), brave])
    store.complete(node, [a_report(claim, return_code=1)])
    assert statuses(store, workflow_id) == {
        "seed": "failed", "a": "canceled", "b": "canceled", "brave": "ready",
    }  # fmt: skip


def test_ready_spawned_jobs_count_as_work_that_nobody_planned_for(store: Store) -> None:
    workflow_id, node, claim = running(store, a_draft("seed", "other"))
    store.spawn(claim.job_id, None, [job("a"), job("b")])
    assert store.backlog(workflow_id).retries == 0
    store.complete(node, [a_report(claim)])
    backlog = store.backlog(workflow_id)
    assert (backlog.ready, backlog.retries) == (3, 2)


def test_the_workflow_is_not_complete_before_the_spawned_jobs_are(store: Store) -> None:
    workflow_id, node, claim = running(store)
    store.spawn(claim.job_id, None, [job("a")])
    store.complete(node, [a_report(claim)])
    assert not store.progress(workflow_id).is_complete
    assert "workflow_completed" not in [event.type for event in store.events(workflow_id)]
    run_all(store, node)
    assert [event.type for event in store.events(workflow_id)].count("workflow_completed") == 1


def test_spawned_jobs_join_no_gate(store: Store) -> None:
    gate = DraftAction(
        trigger_type=TriggerType.ON_JOBS_COMPLETE, action_type=ActionType.RUN_COMMANDS,
        jobs=(0,), commands=("true",),
    )  # fmt: skip
    workflow_id, node, claim = running(store, a_draft("seed", actions=[gate]))
    store.spawn(claim.job_id, None, [job("seed_2")])
    store.complete(node, [a_report(claim)])
    (action,) = store.pending_actions(workflow_id)
    assert (action.trigger_count, action.required_triggers) == (1, 1)


def test_thousands_of_jobs_are_spawned_at_once(store: Store) -> None:
    workflow_id, node, claim = running(store)
    names = [f"j{number}" for number in range(2_000)]
    store.spawn(claim.job_id, None, [*map(job, names), job("reduce", *names)])
    assert store.spawn(claim.job_id, None, [job(name) for name in names]).iteration == 1
    store.complete(node, [a_report(claim)])
    assert len(run_all(store, node)) == 2_000
    assert statuses(store, workflow_id)["reduce"] == "ready"


# ── what is refused ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([job("a"), job("a")], "two of the jobs are called 'a'; give each a name of its own"),
        ([job("")], "'' is no name for a job"),
        ([job("a\nb")], "is no name for a job; write text on one line, not empty"),
        ([job("a", command=" ")], "job 'a': its command is empty; write what it is to run"),
        ([job("a", command="\0")], "cannot be stored"),
        ([job("a", priority=-1)], "job 'a': its priority is -1; write a whole number, 0 or more"),
        ([job("a", env={"A": 1})], "job 'a': 1 cannot be stored; write plain text"),
        ([job("a", "b"), job("b", "a")], "the jobs wait for one another: a -> b -> a"),
        ([job("a", "a")], "the jobs wait for one another: a -> a"),
        (
            [job("a", "nobody")],
            "job 'a' depends on 'nobody', which is no job; name jobs of the workflow",
        ),
        (
            [job("a", resource_requirements="huge")],
            "no resource requirements 'huge' in the workflow; known: big, default",
        ),
        ([job("a", scheduler="gpu")], "there is no scheduler 'gpu' in the workflow; the workflow"),
        ([job("a", failure_handler="h")], "there is no failure handler 'h' in the workflow"),
        ([job("a", depends_on="b")], "depends_on is a text, not a list"),
    ],
)
def test_a_job_that_cannot_be_is_refused_and_nothing_is_spawned(
    store: Store, jobs: list[SpawnJob], message: str
) -> None:
    draft = a_draft("seed", requirements=[a_need("big")])
    workflow_id, _, claim = running(store, draft)
    with pytest.raises(InvalidValue) as caught:
        store.spawn(claim.job_id, None, [job("good"), *jobs])
    assert message in str(caught.value)
    assert list(statuses(store, workflow_id)) == ["seed"]
    assert records(store, workflow_id) == {}


@pytest.mark.parametrize("state", [float("nan"), object(), {"a": {1, 2}}, "\ud800"])
def test_a_state_that_is_no_json_is_refused(store: Store, state: object) -> None:
    _, _, claim = running(store)
    with pytest.raises(InvalidValue, match="the state"):
        store.spawn(claim.job_id, None, [job("a")], state)


def test_only_a_running_job_can_spawn(store: Store) -> None:
    workflow_id, node = begin(store, a_draft("seed"))
    (seed,) = store.rows(Job, workflow_id=workflow_id).items

    def refused(status: str) -> None:
        with pytest.raises(Conflict, match=rf"job {seed.id} \(seed\) is {status}; only a running"):
            store.spawn(seed.id, None, [job("a")])

    refused("ready")
    (claim,) = store.claim(node, PLENTY, 1)
    refused("pending")
    store.start(node, [seed.id])
    store.complete(node, [a_report(claim)])
    refused("completed")
    with pytest.raises(NotFound, match="there is no job 999"):
        store.spawn(999, None, [job("a")])


def test_a_canceled_workflow_takes_no_more_jobs(store: Store) -> None:
    workflow_id, _, claim = running(store)
    store.cancel(workflow_id)
    with pytest.raises(Conflict, match="is canceled; only a running job"):
        store.spawn(claim.job_id, None, [job("a")])


def test_iterations_of_a_lineage_are_limited_and_the_limit_changes_nothing(store: Store) -> None:
    draft = a_draft("seed", workflow=Workflow(name="w", dynamic_jobs={"max_iterations": 2}))
    workflow_id, _, claim = running(store, draft)
    store.spawn(claim.job_id, "l", [job("a")])
    store.spawn(claim.job_id, "l", [job("b")])
    before = records(store, workflow_id)
    with pytest.raises(Conflict, match=r"lineage 'l' has had its 2 iterations; raise dynamic_jobs"):
        store.spawn(claim.job_id, "l", [job("c")])
    assert records(store, workflow_id) == before
    assert "c" not in statuses(store, workflow_id)
    assert store.spawn(claim.job_id, "l", [job("b")]).iteration == 2
    assert store.spawn(claim.job_id, "l", [], "end").iteration == 2
    assert store.spawn(claim.job_id, "other", [job("c")]).iteration == 1


@pytest.mark.parametrize("lineage", ["a\\b", "a%", "a_b", "é\\"])
def test_iterations_are_limited_whatever_a_lineage_is_called(store: Store, lineage: str) -> None:
    draft = a_draft("seed", workflow=Workflow(name="w", dynamic_jobs={"max_iterations": 1}))
    _, _, claim = running(store, draft)
    store.spawn(claim.job_id, lineage, [job("a")])
    with pytest.raises(Conflict, match="has had its 1 iterations"):
        store.spawn(claim.job_id, lineage, [job("b")])


# ── the same call again ──────────────────────────────────────────────────────


def test_the_same_call_again_finds_the_same_jobs(store: Store) -> None:
    workflow_id, _, claim = running(store)
    first = store.spawn(claim.job_id, None, [job("a"), job("b")], 1)
    store.spawn(claim.job_id, None, [job("c")], 2)
    again = store.spawn(claim.job_id, None, [job("b"), job("a")], 9)
    assert again.job_ids == first.job_ids[::-1]
    assert again.iteration == 1
    assert len(statuses(store, workflow_id)) == 4
    assert [record["state"] for record in records(store, workflow_id).values()] == [1, 2]


def test_the_next_attempt_of_the_caller_finds_what_the_last_one_spawned(store: Store) -> None:
    workflow_id, node, claim = running(store)
    first = store.spawn(claim.job_id, None, [job("a")])
    store.complete(node, [a_report(claim, return_code=1, again=True)])
    assert statuses(store, workflow_id) == {"seed": "ready", "a": "blocked"}
    (second,) = store.claim(node, PLENTY, 9)
    assert second.attempt_id == 2
    store.start(node, [second.job_id])
    assert store.spawn(second.job_id, None, [job("a")]) == first
    store.complete(node, [a_report(second)])
    assert run_all(store, node) == ["a"]
    assert store.progress(workflow_id).is_complete


def test_a_new_run_of_the_caller_finds_its_jobs_and_they_run_again(store: Store) -> None:
    workflow_id, node, claim = running(store)
    first = store.spawn(claim.job_id, None, [job("a"), job("b", "a")], "then")
    store.complete(node, [a_report(claim)])
    run_all(store, node)
    run_all(store, node)
    store.reset_jobs(workflow_id, [claim.job_id, *first.job_ids])
    store.initialize(workflow_id)
    assert statuses(store, workflow_id) == {"seed": "ready", "a": "blocked", "b": "blocked"}
    node = store.register(a_node(workflow_id)).id
    (seed,) = store.claim(node, PLENTY, 9)
    store.start(node, [seed.job_id])
    assert store.spawn(seed.job_id, None, [job("a"), job("b", "a")], "now") == first
    store.complete(node, [a_report(seed, run_id=2)])
    assert run_all(store, node, run_id=2) == ["a"]
    assert run_all(store, node, run_id=2) == ["b"]
    (record,) = records(store, workflow_id).values()
    assert record == {"generation": 1, "spawn_count": 2, "state": "then"}


def test_a_call_that_is_only_half_the_same_is_refused_and_names_both_halves(store: Store) -> None:
    workflow_id, _, claim = running(store)
    store.spawn(claim.job_id, None, [job("a"), job("b")])
    with pytest.raises(Conflict, match=r"spawned before \(b\) and some have not \(c\)"):
        store.spawn(claim.job_id, None, [job("b"), job("c")])
    assert "c" not in statuses(store, workflow_id)


@pytest.mark.parametrize("name", ["seed", "stranger"])
def test_names_of_jobs_that_it_did_not_spawn_are_refused(store: Store, name: str) -> None:
    _, _, claim = running(store, a_draft("seed", "stranger"))
    with pytest.raises(Conflict, match=rf"\(seed\) did not spawn .* workflow: {name}; give each"):
        store.spawn(claim.job_id, None, [job(name)])


def test_a_generation_that_forgets_to_rename_its_jobs_is_told(store: Store) -> None:
    _, node, claim = running(store)
    store.spawn(claim.job_id, None, [job("next")])
    store.complete(node, [a_report(claim)])
    (following,) = store.claim(node, PLENTY, 1)
    store.start(node, [following.job_id])
    with pytest.raises(Conflict, match="names of its own"):
        store.spawn(following.job_id, None, [job("next")])


# ── laws ─────────────────────────────────────────────────────────────────────

CALLS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["p", "q"]), st.integers(0, 3)), max_size=12
)


@given(CALLS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_in_whatever_order_each_name_exists_once_and_each_generation_counts_once(
    store: Store, calls: list[tuple[int, str, int]]
) -> None:
    """Two jobs spawn batches in two lineages, again and again, in any order."""
    workflow_id, node = begin(store, a_draft("one", "two"))
    claims = store.claim(node, PLENTY, 2)
    store.start(node, [claim.job_id for claim in claims])
    owner: dict[int, tuple[int, str]] = {}
    iterations: dict[int, int] = {}
    counted = {"p": 0, "q": 0}
    for who, lineage, batch in calls:
        jobs = [job(f"b{batch}_{i}") for i in range(2)]
        if owner.setdefault(batch, (who, lineage)) != (who, lineage):
            with pytest.raises(Conflict):
                store.spawn(claims[who].job_id, lineage, jobs)
            continue
        if batch not in iterations:
            counted[lineage] += 1
            iterations[batch] = counted[lineage]
        found = store.spawn(claims[who].job_id, lineage, jobs)
        assert found.iteration == iterations[batch]
    there = store.rows(Job, workflow_id=workflow_id, origin="spawn").items
    assert sorted(one.name for one in there) == sorted(f"b{b}_{i}" for b in owner for i in range(2))
    assert len(records(store, workflow_id)) == sum(counted.values())


def test_two_jobs_that_spawn_at_once_get_generations_of_their_own(
    shared_store: Callable[[], SqlStore],
) -> None:
    """Eight threads, two callers, one lineage: each batch is one generation, whoever sent it."""
    store = shared_store()
    workflow_id, node = begin(store, a_draft("one", "two"))
    claims = store.claim(node, PLENTY, 2)
    store.start(node, [claim.job_id for claim in claims])
    answers: list[tuple[str, Any]] = []

    def call(number: int) -> None:
        mine = shared_store()
        claim = claims[number % 2]
        for batch in range(3):
            name = f"{claim.name}_{batch}"
            try:
                answer = mine.spawn(claim.job_id, "l", [job(name), job(f"{name}_x", name)])
                answers.append((name, answer))
            except TorcError as error:
                answers.append((name, error))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_name: dict[str, set[tuple[int, ...]]] = {}
    for name, answer in answers:
        assert not isinstance(answer, Exception), answer
        by_name.setdefault(name, set()).add((answer.iteration, *answer.job_ids))
    assert [len(found) for found in by_name.values()] == [1] * 6
    assert sorted(next(iter(found))[0] for found in by_name.values()) == [1, 2, 3, 4, 5, 6]
    assert len(records(store, workflow_id)) == 6


def test_a_job_that_ends_while_it_is_waited_for_is_never_missed(
    shared_store: Callable[[], SqlStore],
) -> None:
    """Spawning jobs that wait for others, while those end: nothing stays blocked for ever."""
    store = shared_store()
    workflow_id, node = begin(store, a_draft("seed", *[f"w{i}" for i in range(20)]))
    seed, *others = store.claim(node, PLENTY, 99)
    store.start(node, [seed.job_id, *(claim.job_id for claim in others)])

    def finish() -> None:
        mine = shared_store()
        for claim in others:
            mine.complete(node, [a_report(claim)])

    thread = threading.Thread(target=finish)
    thread.start()
    for claim in others:
        store.spawn(seed.job_id, None, [job(f"after_{claim.name}", claim.name)])
    thread.join()
    store.complete(node, [a_report(seed)])
    assert len(run_all(store, store.register(a_node(workflow_id)).id)) == 20
    assert store.progress(workflow_id).is_complete
