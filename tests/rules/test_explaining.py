"""Why one job is not running, or ended as it did: every rule with its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_need, a_node, an_allocation

from slurmtorc.model import (
    AllocationStatus,
    Capacity,
    Ending,
    FailureHandler,
    Job,
    JobStatus,
    Result,
    SlurmState,
    Workflow,
)
from slurmtorc.rules.explaining import Facts, explain, headline
from slurmtorc.rules.offers import UNTOLD, Asked, Planned, Scene, Worker, offer_words, takers
from slurmtorc.rules.reasons import Named, attempt_line, chain_words, in_words
from slurmtorc.rules.wording import listed

if TYPE_CHECKING:
    from slurmtorc.rules.reasons import Reason

S = JobStatus
NOW = 10_000.0
GIB = 1 << 30
NEED = a_need("need", num_cpus=2, memory="1g", runtime="PT10M")
WORKFLOW = Workflow(id=7, name="w", run_id=1)


def a_worker(**values: Any) -> Worker:
    node = {"id": 4, "start_time": NOW - 500, "heartbeat": NOW - 5, "lease_until": NOW + 100}
    whole = {"cpus": 4, "memory_bytes": 4 * GIB, "gpus": 0, "seconds": 3600.0}
    free = {name: values.pop(f"free_{name}") for name in list(whole) if f"free_{name}" in values}
    whole |= {name: values.pop(name) for name in list(whole) if name in values}
    given = {"holds": values.pop("holds", 0), "counts_jobs": values.pop("counts_jobs", False)}
    return Worker(
        node=a_node(7, **node | values),
        whole=Capacity(**whole),
        free=Capacity(**whole | free),
        **given,
    )


def asked(**values: Any) -> Asked:
    status = values.pop("status", AllocationStatus.PENDING)
    known = None if status is AllocationStatus.INTENDED else 12
    allocation = an_allocation(7, id=3, scheduler_id=known, status=status)
    allocation = replace(allocation, max_parallel_jobs=values.pop("max_parallel_jobs", None))
    offer = Capacity(cpus=4, memory_bytes=4 * GIB, seconds=3600.0)
    given = {"offer": offer, "scheduler": "wide", "state": SlurmState.PENDING}
    return Asked(allocation=allocation, **given | values)


def planned(**values: Any) -> Planned:
    offer = Capacity(cpus=4, memory_bytes=4 * GIB, seconds=3600.0)
    given = {"action_id": 9, "trigger": "on_jobs_ready", "pending": False, "scheduler": "wide"}
    return Planned(**given | {"offer": offer} | values)


def a_result(**values: Any) -> Result:
    given = {
        "job_id": 1, "run_id": 1, "attempt_id": 1, "return_code": 1, "ending": Ending.EXIT,
        "status": S.FAILED, "completion_time": 0.0, "exec_time_s": 60.0,
    }  # fmt: skip
    return Result(**given | values)


def facts(status: JobStatus, **values: Any) -> Facts:
    job = {"status": status, **values.pop("job", {})}
    scene = Scene(now=NOW, workflow_id=7, **values.pop("scene", {}))
    given = {"workflow": WORKFLOW, "need": NEED} | values
    return Facts(
        job=Job(id=1, workflow_id=7, name="j", command="true", **job), scene=scene, **given
    )


def rules(reasons: list[Reason]) -> list[str]:
    return [one.rule for one in reasons]


def one(reasons: list[Reason], rule: str) -> Reason:
    (found,) = (reason for reason in reasons if reason.rule == rule)
    return found


# ── every status ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", list(S))
def test_every_status_has_an_answer_or_an_end_that_needs_none(status: JobStatus) -> None:
    known = facts(status, attempts=[a_result(status=status)], holder=a_worker())
    assert explain(known)
    assert f"Job 1 (j) of workflow 7 is {status.word}" in headline(known)


@pytest.mark.parametrize("status", [S.BLOCKED, S.READY, S.UNINITIALIZED])
def test_a_canceled_workflow_is_said_first(status: JobStatus) -> None:
    known = facts(status, workflow=replace(WORKFLOW, is_canceled=True))
    assert explain(known)[0].rule == "workflow_canceled"
    assert "nobody" not in rules(explain(known))


@pytest.mark.parametrize(("run_id", "said"), [(0, "has not begun"), (2, "was reset")])
def test_a_job_that_is_in_no_run(run_id: int, said: str) -> None:
    (reason,) = explain(facts(S.UNINITIALIZED, workflow=replace(WORKFLOW, run_id=run_id)))
    assert said in reason.text
    assert "torc run 7" in reason.remedy


def test_a_job_set_aside_waits_for_somebody() -> None:
    first = explain(facts(S.PENDING_FAILED, attempts=[a_result()]))[0]
    assert "torc jobs classify 1 retry" in first.remedy


# ── blocked ──────────────────────────────────────────────────────────────────


def test_a_blocked_job_names_what_it_waits_for_in_which_status() -> None:
    others = [Named(2, "a", S.COMPLETED), Named(3, "b", S.RUNNING), Named(4, "c", S.BLOCKED)]
    chain = [Named(3, "b", S.RUNNING), Named(4, "c", S.BLOCKED)]
    reasons = explain(facts(S.BLOCKED, waits_for=others, chain=chain))
    blocked = one(reasons, "blocked")
    assert "2 of 3 jobs (1 blocked, 1 running): b (running), c (blocked)" in blocked.text
    assert blocked.numbers["by_status"] == {"running": 1, "blocked": 1}
    first = one(reasons, "chain")
    assert "b, which is running: b -> c -> j" in first.text
    assert first.remedy == "torc explain 7 --job-id 3"


# ── ready ────────────────────────────────────────────────────────────────────


def ready(**scene: Any) -> list[Reason]:
    return explain(facts(S.READY, scene=scene, job={"ready_since": NOW - 90}))


def test_a_ready_job_with_nobody_there_says_what_brings_workers() -> None:
    reasons = ready()
    assert one(reasons, "ready").numbers["waited_s"] == 90
    nobody = one(reasons, "nobody")
    assert "no worker, no allocation and no action is there" in nobody.text
    assert "torc slurm regenerate 7 --submit" in nobody.remedy
    assert "torc watch 7 --auto-schedule" in nobody.remedy


@pytest.mark.parametrize(
    ("worker", "lack"),
    [
        ({"cpus": 1}, "2 CPUs of 1"),
        ({"memory_bytes": GIB // 2}, "1 GiB of memory of 512 MiB"),
        ({"seconds": 300.0}, "10:00 of 5:00 left"),
    ],
)
def test_a_worker_it_never_fits_is_told_with_need_against_offer(
    worker: dict[str, Any], lack: str
) -> None:
    reasons = ready(workers=[a_worker(**worker)])
    assert lack in one(reasons, "fits_not").text
    assert "nothing of that fits it" in one(reasons, "nobody").text


def test_a_worker_it_never_fits_is_none_for_it_however_few_jobs_that_takes() -> None:
    reasons = ready(workers=[a_worker(cpus=1, counts_jobs=True)])
    assert rules(reasons) == ["ready", "fits_not", "nobody"]


@pytest.mark.parametrize(
    ("worker", "rule"),
    [
        ({}, "room"),
        ({"free_cpus": 1, "holds": 3}, "no_room"),
        ({"counts_jobs": True}, "may_fit"),
    ],
)
def test_a_worker_that_will_take_it_is_hope_enough(worker: dict[str, Any], rule: str) -> None:
    reasons = ready(workers=[a_worker(**worker)])
    assert rules(reasons) == ["ready", rule]


@pytest.mark.parametrize(
    ("free", "wanted", "rule"),
    [
        (Capacity(cpus=8, memory_bytes=8 * GIB, nodes=2), 1, "may_fit"),
        (Capacity(cpus=1, memory_bytes=8 * GIB, nodes=0), 1, "no_room"),
        (Capacity(cpus=8, memory_bytes=8 * GIB, nodes=2), 2, "may_fit"),
        (Capacity(cpus=8, memory_bytes=8 * GIB, nodes=1), 2, "no_room"),
        (Capacity(cpus=8, memory_bytes=8 * GIB, nodes=3), 4, "fits_not"),
    ],
)
def test_a_worker_of_several_nodes(free: Capacity, wanted: int, rule: str) -> None:
    worker = a_worker(slurm_job_id=12)
    wide = replace(worker, whole=replace(worker.whole, nodes=3), free=free)
    scene = Scene(now=NOW, workflow_id=7, workers=[wide])
    assert next(takers(scene, replace(NEED, num_nodes=wanted))).rule == rule


def test_a_worker_that_is_silent_is_no_hope() -> None:
    reasons = ready(workers=[a_worker(heartbeat=NOW - 300, lease_until=NOW - 180)])
    assert one(reasons, "worker_silent").numbers["heartbeat_age_s"] == 300
    assert "nobody" in rules(reasons)


def test_an_allocation_in_the_queue_is_told_with_slurms_reason_and_expected_start() -> None:
    waiting = asked(why="jobs of higher priority are before it", start_time=NOW + 720)
    reason = one(ready(asked=[waiting]), "allocation_waits")
    assert "PENDING in Slurm's queue: jobs of higher priority are before it" in reason.text
    assert "begin in 12:00" in reason.text
    assert reason.numbers["slurm_job_id"] == 12


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": AllocationStatus.INTENDED, "state": None}, "answer was lost"),
        ({"state": None}, "not known to Slurm's queue now"),
        ({"state": SlurmState.RUNNING}, "has begun"),
        ({"state": SlurmState.PENDING, "start_time": NOW - 5}, "is PENDING"),
    ],
)
def test_where_an_allocation_stands(values: dict[str, Any], said: str) -> None:
    reasons = ready(asked=[asked(**values)])
    assert said in reasons[1].text
    assert "nobody" not in rules(reasons)


def test_an_allocation_that_is_too_short_is_no_hope() -> None:
    short = asked(offer=Capacity(cpus=4, memory_bytes=4 * GIB, seconds=60.0))
    reasons = ready(asked=[short])
    assert one(reasons, "allocation_fits_not").numbers["misfits"] == ["10:00 of 1:00 left"]
    assert "nobody" in rules(reasons)
    counting = replace(short, allocation=replace(short.allocation, max_parallel_jobs=2))
    assert "allocation_waits" in rules(ready(asked=[counting]))


def test_what_a_scheduler_does_not_say_is_never_a_misfit() -> None:
    untold = Capacity(cpus=UNTOLD, memory_bytes=UNTOLD, gpus=UNTOLD)
    assert "allocation_waits" in rules(ready(asked=[asked(offer=untold)]))
    assert offer_words(untold) == "what its partition gives"


def test_an_allocation_whose_workers_are_there_is_told_by_them_alone() -> None:
    assert rules(ready(workers=[a_worker(allocation_id=3)], asked=[asked()])) == ["ready", "room"]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"pending": True}, "action_pending"),
        ({}, "action_waits"),
        ({"job_ids": frozenset({1, 5})}, "action_waits"),
        ({"job_ids": frozenset({5})}, "nobody"),
        ({"offer": Capacity(cpus=1, memory_bytes=GIB)}, "nobody"),
    ],
)
def test_an_action_that_will_ask_for_nodes(values: dict[str, Any], rule: str) -> None:
    assert rules(ready(planned=[planned(**values)])) == ["ready", rule]


def test_slurms_silence_is_told() -> None:
    reasons = ready(asked=[asked()], slurm_is_silent="the controller does not answer")
    assert "the controller does not answer" in one(reasons, "slurm_silent").text


def test_only_silence_is_not_something_that_does_not_fit() -> None:
    scene = Scene(now=NOW, workflow_id=7, slurm_is_silent="it is down")
    assert "no worker, no allocation" in one(list(takers(scene, NEED)), "nobody").text


# ── held ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "rule", "said"),
    [(S.PENDING, "claimed", "has claimed it"), (S.RUNNING, "running", "for 2:00 now")],
)
def test_a_held_job_names_its_worker_and_its_last_sign_of_life(
    status: JobStatus, rule: str, said: str
) -> None:
    holder = a_worker(slurm_job_id=12)
    reasons = explain(facts(status, holder=holder, job={"start_time": NOW - 120}))
    reason = one(reasons, rule)
    assert "worker 4 (n1, Slurm job 12)" in reason.text
    assert said in reason.text
    assert reason.numbers["heartbeat_age_s"] == 5


def test_a_held_job_of_a_lost_worker_says_who_takes_it_back() -> None:
    holder = a_worker(heartbeat=NOW - 300, lease_until=NOW - 180)
    reasons = explain(facts(S.PENDING, holder=holder))
    assert "torc watch 7" in one(reasons, "worker_silent").remedy
    assert rules(explain(facts(S.RUNNING))) == ["worker_unknown"]


def test_a_running_job_that_may_not_end_in_time_is_told() -> None:
    known = facts(S.RUNNING, holder=a_worker(seconds=100.0), job={"start_time": NOW - 60})
    assert one(explain(known), "may_not_end").numbers["seconds_left"] == 100.0
    calm = facts(S.RUNNING, holder=a_worker(), job={"start_time": NOW - 60})
    assert "may_not_end" not in rules(explain(calm))


# ── ended ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "ending", "said"),
    [
        (0, Ending.EXIT, "exited with 0"),
        (3, Ending.EXIT, "exited with 3"),
        (127, Ending.EXIT, "did not find the command"),
        (137, Ending.EXIT, "SIGKILL (137 = 128 + 9): killed from outside"),
        (139, Ending.EXIT, "SIGSEGV"),
        (138, Ending.EXIT, "SIGUSR1 (138 = 128 + 10)"),
        (152, Ending.EXIT, "SIGXCPU"),
        (255, Ending.EXIT, "exited with 255"),
        (152, Ending.TIMEOUT, "its time was over"),
        (137, Ending.OOM, "more memory than it had asked for"),
        (143, Ending.CANCELED, "canceled by a person"),
        (-128, Ending.ORPHANED, "its worker is gone"),
        (1, Ending.MISSING_OUTPUT, "an output it declares was not there"),
    ],
)
def test_return_codes_in_words(code: int, ending: Ending, said: str) -> None:
    assert said in in_words(code, ending)


@pytest.mark.parametrize("ending", list(Ending))
def test_every_ending_has_words(ending: Ending) -> None:
    assert in_words(1, ending).startswith(("it ", "its "))


HANDLER = FailureHandler(id=1, name="again", rules=({"exit_codes": [7], "max_retries": 2},))


@pytest.mark.parametrize(
    ("handler", "result", "said"),
    [
        (None, {}, "no failure handler"),
        (HANDLER, {}, "no rule of its failure handler matches"),
        (HANDLER, {"return_code": 7, "attempt_id": 2}, "rules[0] allows 2 attempts"),
    ],
)
def test_the_handlers_decision_is_told(
    handler: FailureHandler | None, result: dict[str, Any], said: str
) -> None:
    reasons = explain(facts(S.FAILED, attempts=[a_result(**result)], handler=handler))
    assert said in one(reasons, "handler").text


def test_attempts_are_told_oldest_first_and_the_last_is_the_answer() -> None:
    attempts = [
        a_result(return_code=7),
        a_result(return_code=152, attempt_id=2, ending=Ending.TIMEOUT, status=S.TERMINATED),
        a_result(return_code=0, attempt_id=1, superseded=True),
    ]
    reasons = explain(facts(S.TERMINATED, attempts=attempts, job={"attempt_id": 2}))
    assert reasons[0].rule == "ended_timeout"
    assert reasons[0].numbers["return_code"] == 152
    told = [reason.text for reason in reasons if reason.rule == "attempt"]
    assert len(told) == 2
    assert "attempt 1: failed, return code 7, after 1:00" in told[0]
    assert "too late to count" in told[1]
    assert "torc workflows reset-status 7 --failed-only" in reasons[-1].remedy


def test_what_its_use_of_memory_makes_likely_is_told() -> None:
    attempt = a_result(return_code=137, ending=Ending.OOM, peak_memory_bytes=2 * GIB)
    reasons = explain(facts(S.FAILED, attempts=[attempt]))
    likely = one(reasons, "likely_ended_for_memory")
    assert "2 GiB of 1 GiB (memory)" in likely.text
    assert "torc recover 7" in likely.remedy


def test_a_success_needs_no_advice() -> None:
    attempt = a_result(return_code=0, status=S.COMPLETED)
    assert rules(explain(facts(S.COMPLETED, attempts=[attempt]))) == ["ended_exit"]


def test_a_job_canceled_by_a_failure_names_the_first_that_failed() -> None:
    chain = [Named(5, "root", S.FAILED), Named(6, "mid", S.CANCELED)]
    (reason,) = explain(facts(S.CANCELED, chain=chain))
    assert "root is failed, and so it was canceled: root -> mid -> j" in reason.text
    assert rules(explain(facts(S.CANCELED))) == ["canceled"]
    gone = facts(S.CANCELED, workflow=replace(WORKFLOW, is_canceled=True))
    assert rules(explain(gone)) == ["workflow_canceled"]


# ── words ────────────────────────────────────────────────────────────────────


def test_long_lists_and_chains_are_cut_in_the_middle() -> None:
    names = [f"j{number}" for number in range(20)]
    assert listed(names) == "j0, j1, j2, j3, j4 and 15 more"
    assert chain_words(names).count("->") == 10
    assert chain_words(names[:3]) == "j0 -> j1 -> j2"
    assert "run 1, attempt 1" in attempt_line(a_result())
