"""What a workflow still needs: one page, of which every section has something to say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_need, a_node, a_scheduler, an_allocation

from slurmtorc.model import (
    Capacity,
    Decision,
    Ending,
    JobStatus,
    Links,
    Progress,
    Result,
    SlurmState,
    WatchState,
    Workflow,
)
from slurmtorc.rules.finishing import Facts, Group, explain, headline
from slurmtorc.rules.offers import Asked, Planned, Scene, Worker
from slurmtorc.rules.reasons import Named
from slurmtorc.rules.undersized import Former

if TYPE_CHECKING:
    from slurmtorc.rules.reasons import Reason

S = JobStatus
NOW = 10_000.0
NEED = a_need("need", num_cpus=2, memory="1m", runtime="PT1M")
WORKFLOW = Workflow(id=7, name="w", run_id=1)
OFFER = Capacity(cpus=4, memory_bytes=1 << 30, seconds=600.0)


def worker(**values: Any) -> Worker:
    node = a_node(7, **{"id": 4, "heartbeat": NOW - 5, "lease_until": NOW + 100} | values)
    return Worker(node=node, whole=OFFER, free=replace(OFFER, cpus=1), holds=1)


def asked(**values: Any) -> Asked:
    allocation = an_allocation(7, id=3, scheduler_id=12)
    return Asked(allocation=allocation, scheduler="wide", offer=OFFER, **values)


def facts(counts: dict[JobStatus, int], **values: Any) -> Facts:
    workflow = values.pop("workflow", WORKFLOW)
    progress = Progress(workflow_id=7, run_id=1, counts=counts, is_canceled=workflow.is_canceled)
    scene = Scene(now=NOW, workflow_id=7, **values.pop("scene", {}))
    return Facts(workflow=workflow, progress=progress, scene=scene, **values)


def page(known: Facts) -> dict[str, list[Reason]]:
    return {section.title: list(section.reasons) for section in explain(known)}


def reason(known: Facts, rule: str) -> Reason:
    (found,) = (one for reasons in page(known).values() for one in reasons if one.rule == rule)
    return found


@pytest.mark.parametrize(
    ("counts", "canceled", "said"),
    [
        ({S.COMPLETED: 3}, False, "is finished: 3 completed"),
        ({S.COMPLETED: 2, S.FAILED: 1}, False, "not all of it well"),
        ({S.COMPLETED: 2, S.READY: 1}, False, "1 of 3 jobs to finish: 1 ready, 2 completed"),
        ({S.READY: 1}, True, "was canceled"),
    ],
)
def test_how_far_it_is(counts: dict[JobStatus, int], canceled: bool, said: str) -> None:
    known = facts(counts, workflow=replace(WORKFLOW, is_canceled=canceled))
    assert said in headline(known)


def test_a_finished_workflow_has_nothing_in_the_way_and_needs_no_watch() -> None:
    assert page(facts({S.COMPLETED: 3})) == {}


def test_ready_jobs_that_fit_nothing_are_in_the_way_with_the_command_that_mends_it() -> None:
    group = Group(need=a_need("big", num_cpus=64), count=9, names=["a", "b"])
    known = facts({S.READY: 9}, ready=[group], scene={"workers": [worker()], "asked": [asked()]})
    told = reason(known, "nobody")
    assert "9 ready jobs are run by nobody as things stand (a, b and 7 more)" in told.text
    assert "64 CPUs of 4" in told.text
    assert "torc slurm regenerate 7 --submit" in told.remedy
    assert "What is ready" not in page(known)


POOR = a_node(7, id=5, num_cpus=1, memory_bytes=100 << 20, scheduler_config_id=2, is_active=False)
BEHIND = Planned(
    action_id=9, trigger="on_jobs_ready", pending=False, scheduler="thin", offer=OFFER,
    job_ids=frozenset({2, 3}), after=frozenset({1}),
)  # fmt: skip


def test_workers_that_were_too_small_are_told_with_the_keys_to_write() -> None:
    group = Group(need=NEED, count=1, names=["prepare"], some=[1])
    former = Former(node=POOR, scheduler=a_scheduler("thin", id=2, mem="100M"))
    known = facts({S.READY: 1}, ready=[group], scene={"former": [former], "planned": [BEHIND]})
    told = reason(known, "nobody")
    assert "the last worker of scheduler 'thin' (n1: 1 CPU, 100 MiB) was too small" in told.text
    assert "2 CPUs of 1; 'thin' says nothing of cpus_per_task" in told.text
    assert "action 9 (on_jobs_ready) is no help" in told.text
    assert told.remedy.startswith("write cpus_per_task: 2 in scheduler 'thin' for the next time")
    enough = replace(former, node=replace(POOR, num_cpus=2))
    known = facts({S.READY: 1}, ready=[group], scene={"former": [former, enough]})
    assert "too small" not in reason(known, "nobody").text, "such a worker was there, and may come"


def test_an_action_that_waits_for_others_may_bring_the_nodes() -> None:
    group = Group(need=NEED, count=1, names=["x"], some=[4])
    known = facts({S.READY: 1}, ready=[group], scene={"planned": [BEHIND]})
    assert [one.rule for one in page(known)["What is ready"]] == ["action_waits"]


@pytest.mark.parametrize(
    ("scene", "rule"),
    [
        ({"workers": [worker()]}, "no_room"),
        ({"asked": [asked(state=SlurmState.PENDING)]}, "allocation_waits"),
        (
            {"planned": [Planned(action_id=9, trigger="on_jobs_ready", pending=True,
                                 scheduler="wide", offer=OFFER)]},
            "action_pending",
        ),
    ],
)  # fmt: skip
def test_ready_jobs_that_will_run_say_by_whom(scene: dict[str, Any], rule: str) -> None:
    group = Group(need=NEED, count=3, names=["a", "b", "c"])
    told = page(facts({S.READY: 3}, ready=[group], scene=scene))
    assert [one.rule for one in told["What is ready"]] == [rule]
    assert "3 of 'need' (2 CPUs, 1 MiB, 1:00 of time; a, b, c)" in told["What is ready"][0].text
    assert "What is in the way" not in told


def test_dead_ends_count_what_is_blocked_behind_them() -> None:
    jobs = [Named(1, "odd", S.PENDING_FAILED), Named(2, "b", S.BLOCKED), Named(3, "c", S.BLOCKED)]
    known = facts(
        {S.PENDING_FAILED: 1, S.BLOCKED: 2},
        unfinished={one.id: one for one in jobs},
        links=Links({-1: [1], 2: [-1], 3: [2]}),
    )
    told = reason(known, "pending_failed")
    assert "1 job is set aside until somebody decides about them: odd; 2 jobs are blocked" in (
        told.text
    )
    assert told.numbers == {"jobs": 1, "blocked_behind": 2}
    assert "torc jobs classify 1 retry" in told.remedy
    chain = reason(known, "chain")
    assert "the longest chain left has 3 jobs: odd -> b -> c" in chain.text
    assert chain.numbers["job_ids"] == [1, 2, 3]


def test_disabled_jobs_are_a_dead_end_too() -> None:
    known = facts({S.DISABLED: 1, S.BLOCKED: 1}, unfinished={1: Named(1, "off", S.DISABLED)})
    assert "1 job is disabled: off" in reason(known, "disabled").text


@pytest.mark.parametrize(("run_id", "said"), [(0, "has not begun"), (1, "2 jobs are in no run")])
def test_what_has_not_begun(run_id: int, said: str) -> None:
    known = facts({S.UNINITIALIZED: 2}, workflow=replace(WORKFLOW, run_id=run_id))
    assert said in reason(known, "not_initialized").text


def test_workers_say_what_they_hold_and_silent_ones_are_in_the_way() -> None:
    silent = worker(heartbeat=NOW - 300, lease_until=NOW - 180)
    told = page(facts({S.RUNNING: 2}, scene={"workers": [worker(), silent]}))
    holds = "worker 4 (n1, pid 1) holds 1 job, 1 CPU, 1 GiB free, 10:00 left; heard of 5.00 s ago"
    assert told["What runs, and where"][0].text == holds
    assert [one.rule for one in told["What is in the way"]] == ["worker_silent"]


def test_allocations_are_told_with_slurms_words() -> None:
    gone = [
        replace(an_allocation(7, id=1), final_state=SlurmState.TIMEOUT),
        replace(an_allocation(7, id=2), final_state=SlurmState.TIMEOUT),
        replace(an_allocation(7, id=4), reason="Slurm refused the allocation: bad account"),
    ]
    waits = asked(state=SlurmState.PENDING, why="nodes are not free yet; it is next")
    runs = asked(state=SlurmState.RUNNING, end_time=NOW + 60)
    scene = {"asked": [waits, runs], "slurm_is_silent": "it is down"}
    told = page(facts({S.READY: 1}, gone=gone, scene=scene))["Allocations"]
    assert "PENDING in Slurm's queue: nodes are not free yet; it is next" in told[0].text
    assert "is RUNNING, 1:00 left" in told[1].text
    assert "it is down" in told[2].text
    assert [one.text for one in told[3:]] == [
        "2 allocations are over: TIMEOUT",
        "1 allocation is over: Slurm refused the allocation: bad account",
    ]


def test_failures_lead_to_their_explanation() -> None:
    result = Result(
        job_id=5, job_name="bad", run_id=1, attempt_id=2, return_code=152, status=S.TERMINATED,
        ending=Ending.TIMEOUT, completion_time=0, exec_time_s=1,
    )  # fmt: skip
    known = facts({S.TERMINATED: 3}, failures=[result])
    assert "bad (terminated, attempt 2): it was stopped" in reason(known, "failed").text
    assert reason(known, "failed").remedy == "torc explain 7 --job-id 5"
    assert reason(known, "more_failed").numbers == {"jobs": 2}


def test_the_watch_and_its_decisions_with_their_numbers() -> None:
    watch = WatchState(
        workflow_id=7, holder="x", hostname="login1", pid=9, lease_until=NOW + 5,
        schedule_failures=2, not_before=NOW + 60,
    )  # fmt: skip
    decided = Decision(
        workflow_id=7, timestamp=NOW - 30, decision="wait", reason="allocations are live",
        numbers={"waiting": 2, "ready": 1.5},
    )  # fmt: skip
    known = facts({S.READY: 1}, watch=watch, decisions=[decided])
    assert "login1 by process 9" in reason(known, "watched").text
    assert (
        "2 times in a row nothing came of asking for nodes; the next try is in 1:00"
        in reason(known, "pause").text
    )
    assert reason(known, "decision").text == (
        "30 s ago: wait, because allocations are live (waiting 2, ready 1.5)"
    )
    left = replace(known, watch=replace(watch, lease_until=NOW - 1))
    assert "torc watch 7 --auto-schedule" in reason(left, "not_watched").remedy


def test_a_canceled_workflow_says_only_that() -> None:
    group = Group(need=NEED, count=1, names=["a"])
    known = facts({S.READY: 1}, ready=[group], workflow=replace(WORKFLOW, is_canceled=True))
    assert list(page(known)) == ["What is in the way"]
