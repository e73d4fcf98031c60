"""Failure handlers in the worker: at once, script first, and never in anybody's way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_draft, a_job, a_need, a_node
from test_worker import Stage, flaky

from slurmtorc.clock import ManualClock, SystemClock
from slurmtorc.model import (
    Capacity,
    ExecutionConfig,
    FailureHandler,
    Job,
    JobStatus,
    Result,
    Workflow,
)
from slurmtorc.rules.endings import Stopped
from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.attempts import Surroundings
from slurmtorc.worker.launch import LocalLauncher
from slurmtorc.worker.monitor import process_of
from slurmtorc.worker.station import Conduct, Ports, Station
from slurmtorc.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Maker = Callable[..., Stage]

S = JobStatus
PATIENCE_S = 30.0


def handler(*rules: dict[str, Any]) -> FailureHandler:
    return FailureHandler(name="h", rules=rules)


def fragile(name: str, *depends_on: int, **values: Any) -> Any:
    """A job with the first handler."""
    return a_job(name, *depends_on, failure_handler=0, **values)


AGAIN = {"exit_codes": [10], "max_retries": 3}
FIX = {**AGAIN, "recovery_script": "./fix.sh"}


@pytest.fixture
def stage(tmp_path: Path) -> Maker:
    """A worker whose clock and processes the test plays."""

    def make(*jobs: Any, rules: list[dict[str, Any]], **values: Any) -> Stage:
        parts = {k: values.pop(k) for k in ("requirements", "workflow") if k in values}
        return Stage(
            a_draft(*jobs, failure_handlers=[handler(*rules)], **parts), tmp_path, **values
        )

    return make


def script(s: Stage, name: str = "a") -> int:
    """What the launcher calls the script of a job; it must be running."""
    key = -s.key(name)
    assert key in s.launcher.alive, "the recovery script runs"
    return key


# ── decisions ────────────────────────────────────────────────────────────────


def test_a_matching_failure_is_tried_again_at_once(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[AGAIN])
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.tick()
    assert s.runs() == {"a"}
    assert (s.job("a").attempt_id, s.job("a").origin) == (2, "retry")
    s.launcher.end(s.key("a"))
    s.until_it_leaves()
    assert s.results() == [("a", 1, 10, "exit"), ("a", 2, 0, "exit")]
    assert s.statuses() == {"a": "completed"}


def test_every_attempt_writes_files_of_its_own(stage: Maker, tmp_path: Path) -> None:
    s = stage(fragile("a"), rules=[AGAIN])
    paths = []
    for code in (10, 10, 0):
        s.tick()
        paths.append(s.launcher.orders[s.key("a")].stdout)
        s.launcher.end(s.key("a"), code)
    s.until_it_leaves()
    assert paths == [f"{tmp_path}/out/job_stdio/job_wf1_j1_r1_a{n}.o" for n in (1, 2, 3)]
    assert [result.stdout_path for result in s.store.rows(Result).items] == paths


def test_after_the_last_attempt_the_job_fails_and_takes_its_dependents_along(stage: Maker) -> None:
    s = stage(fragile("a"), a_job("b", 0), rules=[AGAIN])
    for _ in range(3):
        s.tick()
        s.launcher.end(s.key("a"), 10)
    s.until_it_leaves()
    assert s.results() == [("a", n, 10, "exit") for n in (1, 2, 3)]
    assert s.statuses() == {"a": "failed", "b": "canceled"}


@pytest.mark.parametrize(
    ("aside", "status", "dependent"),
    [(False, "failed", "canceled"), (True, "pending_failed", "blocked")],
)
def test_what_no_rule_matches_fails_or_waits_for_a_decision(
    stage: Maker, aside: bool, status: str, dependent: str
) -> None:
    workflow = Workflow(name="w", use_pending_failed=aside)
    s = stage(fragile("a"), a_job("b", 0), rules=[AGAIN], workflow=workflow)
    s.tick()
    s.launcher.end(s.key("a"), 1)
    s.until_it_leaves()
    assert s.statuses() == {"a": status, "b": dependent}
    assert s.worker.left is not None
    assert s.worker.left.stuck is aside


def test_without_a_handler_a_failure_is_set_aside_only_if_so_wished(stage: Maker) -> None:
    s = stage("a", rules=[AGAIN], workflow=Workflow(name="w", use_pending_failed=True))
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.until_it_leaves()
    assert s.statuses() == {"a": "pending_failed"}


def test_the_rules_see_what_became_of_the_process_not_only_its_exit(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[{"endings": ["timeout"]}], end_time=_end(1000))
    s.tick()
    s.clock.sleep(912)
    s.tick()
    s.launcher.end(s.key("a"), 1)
    s.until_it_leaves()
    assert s.results() == [("a", 1, 152, "timeout")]
    assert (s.statuses(), s.job("a").attempt_id) == ({"a": "ready"}, 2)


def _end(seconds: float) -> float:
    return ManualClock().now() + seconds


def test_attempts_that_an_interrupt_ended_do_not_count(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[{"exit_codes": [10], "max_retries": 2}])
    s.tick()
    s.worker.interrupt()
    s.tick()
    s.launcher.end(s.key("a"), None, 15)
    s.until_it_leaves()
    assert (s.job("a").attempt_id, s.job("a").spared_attempts) == (2, 1)
    s.worker = Worker(s.worker.ports, s.worker.station, s.worker.around, Conduct())
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.tick()
    assert s.job("a").attempt_id == 3


def test_a_handler_is_read_once_and_before_the_job_starts(stage: Maker) -> None:
    s = stage(fragile("a"), fragile("b"), rules=[AGAIN])
    store, asked = flaky(s), []
    get = s.store.get

    def spying(kind: type, record_id: int) -> Any:
        asked.append(kind)
        return get(kind, record_id)

    s.store.get = spying
    s.tick()
    assert asked == [FailureHandler]
    store.down = True
    s.launcher.end(s.key("a"), 10)
    s.tick()
    store.down = False
    s.clock.sleep(10)
    s.tick()
    assert s.job("a").attempt_id == 2
    s.store.get = get


# ── scripts ──────────────────────────────────────────────────────────────────


def test_a_script_runs_before_the_job_is_released(stage: Maker, tmp_path: Path) -> None:
    s = stage(
        fragile("a", env={"MINE": "yes"}),
        rules=[FIX],
        workflow=Workflow(name="w", env={"OURS": "yes"}),
    )
    s.tick()
    ran_with = dict(s.launcher.orders[s.key("a")].env)
    s.launcher.end(s.key("a"), 10)
    s.tick()
    order = s.launcher.orders[script(s)]
    assert (order.command, order.directory) == ("./fix.sh", str(tmp_path))
    assert order.env == {**ran_with, "TORC_RETURN_CODE": "10", "TORC_ENDING": "exit"}
    assert (order.env["TORC_ATTEMPT_ID"], order.env["MINE"], order.env["OURS"]) == (
        "1", "yes", "yes",
    )  # fmt: skip
    assert order.stdout == f"{tmp_path}/out/job_stdio/job_wf1_j1_r1_a1_recovery.o"
    assert order.stderr == f"{tmp_path}/out/job_stdio/job_wf1_j1_r1_a1_recovery.e"
    s.tick(5)
    assert (s.statuses(), s.job("a").attempt_id) == ({"a": "running"}, 1)
    s.launcher.end(script(s))
    s.tick()
    assert s.runs() == {"a"}
    assert s.results() == [("a", 1, 10, "exit")]


def test_a_job_in_recovery_keeps_its_place_and_others_go_on(stage: Maker) -> None:
    s = stage(
        fragile("a", requirement=0, priority=9), "b", "c", "d",
        rules=[FIX], requirements=[a_need(num_cpus=2, num_gpus=1)], cpus=3, gpus=("0",),
    )  # fmt: skip
    s.tick()
    assert s.runs() == {"a", "b"}
    s.clock.sleep(60)
    s.launcher.end(s.key("a"), 10)
    s.tick()
    assert s.launcher.orders[script(s)].env["CUDA_VISIBLE_DEVICES"] == "0"
    s.clock.sleep(60)
    s.launcher.end(s.key("b"))
    s.tick()
    assert s.statuses() == {"a": "running", "b": "completed", "c": "running", "d": "ready"}
    s.launcher.end(script(s))
    s.tick()
    assert s.statuses()["a"] == "running"
    assert not s.worker._rooms.has_room()


def test_a_job_in_recovery_counts_among_the_parallel_jobs(stage: Maker) -> None:
    s = stage(fragile("a"), "b", "c", rules=[FIX], max_parallel_jobs=2)
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.tick()
    assert s.statuses()["c"] == "ready"


@pytest.mark.parametrize(
    ("code", "signal", "how"), [(3, None, "exit code 3"), (None, 9, "signal 9")]
)
def test_a_script_that_fails_fails_the_job(
    stage: Maker, tmp_path: Path, code: int | None, signal: int | None, how: str
) -> None:
    s = stage(
        fragile("a"), a_job("b", 0), rules=[FIX],
        workflow=Workflow(name="w", use_pending_failed=True),
    )  # fmt: skip
    s.tick()
    (tmp_path / "out/job_stdio").mkdir(parents=True)
    Path(s.launcher.orders[s.key("a")].stderr or "").write_text("diverged\n")
    s.launcher.end(s.key("a"), 10)
    s.tick()
    s.launcher.end(script(s), code, signal)
    s.until_it_leaves()
    assert s.statuses() == {"a": "failed", "b": "canceled"}
    (result,) = s.store.rows(Result).items
    assert (result.return_code, result.status) == (10, S.FAILED)
    place = f"{tmp_path}/out/job_stdio/job_wf1_j1_r1_a1_recovery.e"
    words = f"torc: the recovery script failed with {how}; what it wrote: {place}"
    assert result.stderr_tail == f"{words}\ndiverged"


def test_a_timeout_whose_script_fails_is_a_failure(stage: Maker) -> None:
    rules = [{"exit_codes": [152], "recovery_script": "./longer.sh"}]
    s = stage(fragile("a"), rules=rules, end_time=_end(1000))
    s.tick()
    s.clock.sleep(912)
    s.tick()
    s.launcher.end(s.key("a"), None, 15)
    s.tick()
    s.launcher.end(script(s), 1)
    s.until_it_leaves()
    assert s.results() == [("a", 1, 152, "timeout")]
    assert s.statuses() == {"a": "failed"}


def test_a_script_that_takes_too_long_is_ended_and_fails_the_job(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[{**FIX, "recovery_timeout_seconds": 20}])
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.tick()
    key = script(s)
    s.clock.sleep(19.9)
    s.tick()
    assert s.launcher.signals == []
    s.clock.sleep(0.2)
    s.tick()
    assert s.launcher.signals == [(key, "TERM")]
    s.clock.sleep(9.8)
    s.tick()
    assert s.launcher.signals == [(key, "TERM")]
    s.clock.sleep(0.2)
    s.tick()
    assert s.launcher.signals == [(key, "TERM"), (key, "KILL")]
    s.until_it_leaves()
    assert s.statuses() == {"a": "failed"}
    (result,) = s.store.rows(Result).items
    assert "did not end within 20 s" in (result.stderr_tail or "")


def test_a_script_that_ends_well_when_asked_to_hurry_has_succeeded(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[{**FIX, "recovery_timeout_seconds": 20}])
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.tick()
    s.clock.sleep(21)
    s.tick()
    s.launcher.end(script(s), 0)
    s.tick()
    assert s.job("a").attempt_id == 2


# ── a worker that must stop ──────────────────────────────────────────────────


def in_recovery(stage: Maker, **values: Any) -> Stage:
    s = stage(fragile("a"), a_job("b", 0), rules=[FIX], **values)
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.tick()
    script(s)
    return s


def test_an_interrupt_ends_the_script_and_the_job_goes_back_to_the_queue(stage: Maker) -> None:
    s = in_recovery(stage)
    key = script(s)
    s.worker.interrupt()
    s.tick()
    assert s.launcher.signals == [(key, "TERM")]
    s.worker.interrupt()
    s.tick()
    assert s.launcher.signals == [(key, "TERM"), (key, "KILL")]
    s.until_it_leaves()
    assert s.statuses() == {"a": "ready", "b": "blocked"}
    assert s.results() == [("a", 1, 10, "exit")]
    assert (s.job("a").attempt_id, s.job("a").spared_attempts) == (2, 1)
    (result,) = s.store.rows(Result).items
    assert "was not run to its end: the worker was told to stop" in (result.stderr_tail or "")


def test_a_failure_after_an_interrupt_starts_no_script(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[FIX])
    s.tick()
    s.worker.interrupt()
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.until_it_leaves()
    assert set(s.launcher.orders) == {s.key("a")}
    assert s.statuses() == {"a": "ready"}


def test_canceling_the_workflow_ends_scripts_and_starts_none(stage: Maker) -> None:
    s = in_recovery(stage)
    s.store.cancel(s.id)
    s.clock.sleep(1)
    s.tick()
    assert s.launcher.signals == [(script(s), "TERM")]
    s.launcher.end(script(s), None, 15)
    s.until_it_leaves()
    assert s.statuses() == {"a": "canceled", "b": "blocked"}
    assert [result.superseded for result in s.store.rows(Result).items] == [False]


def test_failures_of_a_canceled_workflow_are_not_judged_by_rules(
    stage: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    s = stage(fragile("a"), rules=[AGAIN])
    s.tick()
    s.store.cancel(s.id)
    s.clock.sleep(1)
    s.tick()
    s.launcher.end(s.key("a"), 10)
    s.until_it_leaves()
    assert s.statuses() == {"a": "canceled"}
    assert "next=terminated: the workflow was canceled" in caplog.text


def test_an_allocation_that_slurm_ends_sends_the_job_back_and_the_attempt_counts(
    stage: Maker,
) -> None:
    s = in_recovery(stage, interrupt_means=Stopped.ALLOCATION)
    s.worker.interrupt()
    s.tick()
    assert s.launcher.signals == [(script(s), "TERM")]
    s.launcher.end(script(s), None, 15)
    s.until_it_leaves()
    assert s.statuses() == {"a": "ready", "b": "blocked"}
    assert s.results() == [("a", 1, 10, "exit")]
    assert (s.job("a").attempt_id, s.job("a").spared_attempts) == (2, 0)


def test_a_timeout_at_the_deadline_still_has_time_for_its_script(stage: Maker) -> None:
    rules = [{"exit_codes": [152], "recovery_script": "./longer.sh"}]
    s = stage(fragile("a"), rules=rules, end_time=_end(1000))
    s.tick()
    s.clock.sleep(941)  # headroom 60
    s.tick()
    assert s.launcher.signals == [(s.key("a"), "KILL")]
    s.tick()
    s.clock.sleep(20)
    s.tick()
    assert s.launcher.signals == [(s.key("a"), "KILL")]
    s.launcher.end(script(s))
    s.until_it_leaves()
    assert s.results() == [("a", 1, 152, "timeout")]
    assert (s.statuses(), s.job("a").attempt_id) == ({"a": "ready"}, 2)
    assert s.job("a").spared_attempts == 0


def test_a_script_is_ended_in_time_to_report_before_the_allocation_ends(stage: Maker) -> None:
    s = stage(fragile("a"), rules=[FIX], end_time=_end(1000))
    s.tick()
    s.clock.sleep(900)
    s.launcher.end(s.key("a"), 10)
    s.tick()
    key = script(s)
    s.clock.sleep(69.9)
    s.tick()
    assert s.launcher.signals == []
    s.clock.sleep(0.2)
    s.tick()
    assert s.launcher.signals == [(key, "TERM")]
    s.clock.sleep(10)
    s.tick()
    assert s.launcher.signals == [(key, "TERM"), (key, "KILL")]
    s.until_it_leaves()
    assert s.clock.now() < _end(1000) - 15
    assert (s.statuses(), s.job("a").attempt_id) == ({"a": "ready"}, 2)
    assert s.job("a").spared_attempts == 0, "a script too long for allocations ends in the end"


def test_a_worker_that_fails_itself_ends_its_scripts(stage: Maker) -> None:
    s = in_recovery(stage)
    key = script(s)
    s.worker.kill()
    assert s.launcher.signals == [(key, "KILL")]


# ── real processes ───────────────────────────────────────────────────────────


class Real:
    """A worker on this machine's processes and clock."""

    def __init__(self, folder: Path, *jobs: Any, rules: list[dict[str, Any]]) -> None:
        clock = SystemClock()
        self.store = SqlStore("sqlite://", clock)
        self.folder = folder
        self.id = self.store.create(a_draft(*jobs, failure_handlers=[handler(*rules)]))
        self.store.initialize(self.id)
        (folder / "out/job_stdio").mkdir(parents=True)
        self.launcher = LocalLauncher(clock, {"PATH": "/usr/bin:/bin"})
        node = self.store.register(a_node(self.id))
        around = Surroundings(
            workflow=self.store.get(Workflow, self.id),
            directory=str(folder),
            output_dir=f"{folder}/out",
            url=self.store.url,
            config=ExecutionConfig(),
        )
        ports = Ports(store=self.store, launcher=self.launcher, clock=clock)
        station = Station(node=node, whole=Capacity(cpus=2, memory_bytes=8 << 30))
        self.worker = Worker(ports, station, around, Conduct())

    def step(self) -> bool:
        rest = self.worker.tick()
        if rest is not None:
            self.launcher.wait(rest)
        return rest is not None

    def until(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, "it does not come to that"
            self.step()

    def until_it_leaves(self) -> None:
        limit = time.monotonic() + PATIENCE_S
        while self.step():
            assert time.monotonic() < limit, "the worker does not leave"

    def text(self, name: str) -> str:
        return (self.folder / "out/job_stdio" / name).read_text()

    def results(self) -> list[tuple[str, int, int]]:
        rows = self.store.rows(Result).items
        return [(r.job_name, r.attempt_id, r.return_code) for r in rows]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Callable[..., Real]]:
    made: list[Real] = []

    def make(*jobs: Any, rules: list[dict[str, Any]]) -> Real:
        made.append(Real(tmp_path, *jobs, rules=rules))
        return made[-1]

    yield make
    for one in made:
        one.worker.kill()
        while one.launcher.running():
            one.launcher.wait(1)
            one.launcher.poll()
        one.launcher.close()
        one.store.close()


HEALING = 'test "$(cat level 2>/dev/null || echo 0)" -ge 2 || { echo "too low" >&2; exit 10; }'
RAISE = 'echo "$TORC_JOB_NAME $TORC_ATTEMPT_ID $TORC_RETURN_CODE"; echo "$TORC_ATTEMPT_ID" > level'


def test_a_script_heals_what_the_job_trips_over(real: Callable[..., Real]) -> None:
    r = real(fragile("a", command=HEALING), rules=[{**FIX, "recovery_script": RAISE}])
    r.until_it_leaves()
    assert r.results() == [("a", 1, 10), ("a", 2, 10), ("a", 3, 0)]
    assert r.text("job_wf1_j1_r1_a1_recovery.o") == "a 1 10\n"
    assert r.text("job_wf1_j1_r1_a2_recovery.o") == "a 2 10\n"
    assert r.text("job_wf1_j1_r1_a2.e") == "too low\n"
    assert not (r.folder / "out/job_stdio/job_wf1_j1_r1_a3_recovery.o").exists()


def test_a_script_file_is_executed_and_one_that_cannot_be_fails_the_job(
    real: Callable[..., Real],
) -> None:
    r = real(fragile("a", command="exit 10"), rules=[FIX])
    (r.folder / "fix.sh").write_text("#!/bin/sh\nexit 0\n")  # and not executable
    r.until_it_leaves()
    (result,) = r.store.rows(Result).items
    assert (result.return_code, result.status) == (10, S.FAILED)
    assert "the recovery script failed with exit code 126" in (result.stderr_tail or "")
    assert "Permission denied" in r.text("job_wf1_j1_r1_a1_recovery.e")


def test_other_jobs_go_on_while_a_script_runs(real: Callable[..., Real]) -> None:
    wait = "until test -e go; do sleep 0.02; done; touch healed"
    r = real(
        fragile("a", command="test -e healed || exit 10"),
        *(a_job(f"b{n}") for n in range(5)),
        a_job("last", 1, 2, 3, 4, 5, command="touch go"),
        rules=[{**FIX, "recovery_script": wait}],
    )
    r.until_it_leaves()
    assert {job.status for job in r.store.rows(Job).items} == {S.COMPLETED}
    assert [row for row in r.results() if row[0] == "a"] == [("a", 1, 10), ("a", 2, 0)]


def test_a_script_that_ignores_its_end_is_killed_with_all_it_started(
    real: Callable[..., Real], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurmtorc.worker.recovering.GRACE_S", 0.1)
    stubborn = "trap '' TERM; echo $$ > leader; sleep 300 & echo $! > child; wait; sleep 300"
    r = real(
        fragile("a", command="exit 10"),
        rules=[{**FIX, "recovery_script": stubborn, "recovery_timeout_seconds": 1}],
    )
    r.until_it_leaves()
    (result,) = r.store.rows(Result).items
    assert "did not end within 1 s" in (result.stderr_tail or "")
    pids = [int((r.folder / name).read_text()) for name in ("leader", "child")]
    assert [process_of(pid) for pid in pids] == [None, None]


def test_an_interrupt_ends_a_real_script(real: Callable[..., Real]) -> None:
    r = real(
        fragile("a", command="exit 10"),
        rules=[{**FIX, "recovery_script": "echo $$ > pid; sleep 300"}],
    )
    r.until(lambda: (r.folder / "pid").exists() and (r.folder / "pid").read_text() != "")
    r.worker.interrupt()
    r.until_it_leaves()
    assert process_of(int((r.folder / "pid").read_text())) is None
    (job,) = r.store.rows(Job).items
    assert (job.status, job.attempt_id, job.spared_attempts) == (S.READY, 2, 1)
