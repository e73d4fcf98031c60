"""The worker's step, with a clock that is told and a launcher that is played by the test."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_draft, a_job, a_need, a_node, a_report, an_allocation

from slurmtorc.clock import ManualClock
from slurmtorc.errors import StoreUnavailable
from slurmtorc.model import (
    Capacity,
    Draft,
    Ending,
    ExecutionConfig,
    FailureHandler,
    File,
    Job,
    JobStatus,
    Result,
    Workflow,
)
from slurmtorc.ports import Exit
from slurmtorc.rules.endings import Stopped
from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.attempts import Surroundings
from slurmtorc.worker.station import Conduct, Ports, Station
from slurmtorc.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from slurmtorc.ports import Order

    Maker = Callable[..., "Stage"]

S = JobStatus
RETRY = FailureHandler(name="h", rules=({"exit_codes": [3], "max_retries": 2},))
PARTS = ("requirements", "files", "workflow", "failure_handlers")
PATIENCE = 3000


class PlayedLauncher:
    """Processes end when the test says so. Waiting moves the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.orders: dict[int, Order] = {}
        self.alive: dict[int, float] = {}
        self.signals: list[tuple[int, str]] = []
        self._ended: list[Exit] = []

    def start(self, order: Order) -> None:
        self.orders[order.key] = order
        self.alive[order.key] = self.clock.now()

    def end(self, key: int, code: int | None = 0, signal: int | None = None) -> None:
        started, now = self.alive.pop(key), self.clock.now()
        exit_ = Exit(key=key, code=code, signal=signal, start_time=started, end_time=now)
        self._ended.append(exit_)

    def poll(self) -> list[Exit]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self, key: int, *, hard: bool) -> None:
        self.signals.append((key, "KILL" if hard else "TERM"))
        if hard:
            self.end(key, None, 9)

    def wait(self, seconds: float, bell: int | None = None) -> bool:  # noqa: ARG002  nobody rings
        self.clock.sleep(seconds)
        return bool(self._ended)

    def running(self) -> Collection[int]:
        return self.alive.keys()


class Stage:
    """One worker on one workflow."""

    def __init__(self, draft: Draft, folder: Path, **values: Any) -> None:
        self.clock = ManualClock()
        self.store: Any = SqlStore("sqlite://", self.clock)
        self.id = self.store.create(draft)
        self.store.initialize(self.id)
        workflow = self.store.get(Workflow, self.id)
        cpus, gpus = values.pop("cpus", 2), values.pop("gpus", ())
        allocation_id = None
        if values.pop("in_allocation", False):
            (intent,) = self.store.intend([an_allocation(self.id, "token")])
            allocation_id = intent.id
        node = self.store.register(a_node(self.id, num_cpus=cpus, allocation_id=allocation_id))
        around = Surroundings(
            workflow=workflow,
            directory=str(folder),
            output_dir=f"{folder}/out",
            url="sqlite:////somewhere/torc.db",
            config=ExecutionConfig.of(workflow.execution_config),
        )
        whole = Capacity(cpus=cpus, memory_bytes=8 << 30, gpus=len(gpus))
        self.launcher = PlayedLauncher(self.clock)
        ports = Ports(store=self.store, launcher=self.launcher, clock=self.clock)
        station = Station(node=node, whole=whole, gpus=gpus)
        self.worker = Worker(ports, station, around, Conduct(**values))
        self.rest: float | None = 0.0

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.rest = self.worker.tick()

    def until_it_leaves(self) -> None:
        for _ in range(PATIENCE):
            self.rest = self.worker.tick()
            if self.rest is None:
                return
            self.launcher.wait(self.rest)
        pytest.fail("the worker does not leave")

    def key(self, name: str) -> int:
        return self.job(name).id

    def job(self, name: str) -> Job:
        (job,) = self.store.rows(Job, workflow_id=self.id, name=name).items
        return job

    def statuses(self) -> dict[str, str]:
        return {job.name: job.status.word for job in self.store.rows(Job).items}

    def runs(self) -> set[str]:
        return {self.store.get(Job, key).name for key in self.launcher.alive}

    def results(self) -> list[tuple[str, int, int, str]]:
        return [
            (r.job_name, r.attempt_id, r.return_code, r.ending.value)
            for r in self.store.rows(Result).items
        ]


@pytest.fixture
def stage(tmp_path: Path) -> Maker:
    def make(*jobs: Any, **values: Any) -> Stage:
        parts = {k: values.pop(k) for k in PARTS if k in values}
        return Stage(a_draft(*jobs, **parts), tmp_path, **values)

    return make


# ── running ──────────────────────────────────────────────────────────────────


def test_a_worker_runs_what_fits_and_goes_on_until_all_is_done(stage: Maker) -> None:
    s = stage("a", "b", "c", a_job("d", 0, 1, 2))
    s.tick()
    assert s.runs() == {"a", "b"}
    s.launcher.end(s.key("a"))
    s.tick()
    assert s.runs() == {"b", "c"}
    s.launcher.end(s.key("b"))
    s.launcher.end(s.key("c"))
    s.tick()
    assert s.runs() == {"d"}
    assert s.rest == 1.0
    s.launcher.end(s.key("d"))
    s.until_it_leaves()
    assert s.worker.left.reason == "all jobs are done"
    assert set(s.statuses().values()) == {"completed"}


def test_a_job_is_running_in_the_store_before_its_process_starts(stage: Maker) -> None:
    s = stage("a")
    seen = []
    start = s.launcher.start

    def spying(order: Order) -> None:
        seen.append(s.store.get(Job, order.key).status)
        start(order)

    s.launcher.start = spying
    s.tick()
    assert seen == [S.RUNNING]


def test_jobs_are_packed_by_what_they_need(stage: Maker) -> None:
    s = stage(
        a_job("big", requirement=0), a_job("bigger", requirement=1), "small1", "small2",
        requirements=[
            a_need("big", num_cpus=3, memory="5g"), a_need("bigger", num_cpus=3, memory="6g"),
        ],
        cpus=5,
    )  # fmt: skip
    s.tick()
    assert s.runs() == {"bigger", "small1", "small2"}


def test_with_a_number_of_parallel_jobs_needs_are_ignored(stage: Maker) -> None:
    s = stage(
        *(a_job(f"j{i}", requirement=0) for i in range(5)),
        requirements=[a_need(num_cpus=1000, memory="900t")],
        max_parallel_jobs=3,
    )
    s.tick()
    assert len(s.runs()) == 3


@pytest.mark.parametrize(
    ("values", "runs"),
    [
        ({"in_allocation": True, "end_time": 1_700_000_000.0 + 600}, {"fits0", "fits1", "fits2"}),
        ({"in_allocation": True}, {"long", "fits0", "fits1"}),
        ({"end_time": 1_700_000_000.0 + 600}, {"fits0", "fits1", "fits2"}),
        ({}, {"large", "long", "fits0"}),
    ],
)
def test_in_an_allocation_a_number_of_parallel_jobs_is_only_a_limit(
    stage: Maker, values: dict[str, Any], runs: set[str]
) -> None:
    s = stage(
        a_job("large", requirement=2), a_job("long", requirement=1),
        *(a_job(f"fits{i}", requirement=0) for i in range(5)),
        requirements=[
            a_need("fits", runtime="PT1M"), a_need("long", runtime="PT1H"),
            a_need("large", num_cpus=9),
        ],
        max_parallel_jobs=3, cpus=8, **values,
    )  # fmt: skip
    s.tick()
    assert s.runs() == runs


def test_every_job_has_gpus_of_its_own_and_others_see_none(stage: Maker) -> None:
    s = stage(
        a_job("two", requirement=0), a_job("one", requirement=1), "none",
        requirements=[a_need("two", num_gpus=2), a_need("one", num_gpus=1)],
        cpus=4, gpus=("0", "1", "2"),
    )  # fmt: skip
    s.tick()
    seen = {name: s.launcher.orders[s.key(name)].env["CUDA_VISIBLE_DEVICES"] for name in s.runs()}
    assert seen == {"two": "0,1", "one": "2", "none": ""}
    s.launcher.end(s.key("two"))
    s.tick()
    assert s.worker._rooms.free_gpus == ["0", "1"]


def test_jobs_find_their_place_in_their_environment(stage: Maker, tmp_path: Path) -> None:
    workflow = Workflow(name="w", env={"SHARED": "w", "BOTH": "w"})
    s = stage(a_job("a", env={"BOTH": "j"}, invocation_script="wrap -x"), workflow=workflow)
    s.tick()
    (order,) = s.launcher.orders.values()
    assert order.command == "wrap -x true"
    assert order.directory == str(tmp_path)
    assert order.stdout == f"{tmp_path}/out/job_stdio/job_wf1_j1_r1_a1.o"
    assert order.stderr == f"{tmp_path}/out/job_stdio/job_wf1_j1_r1_a1.e"
    assert order.env == {
        "TORC_WORKFLOW_ID": "1",
        "TORC_RUN_ID": "1",
        "TORC_JOB_ID": "1",
        "TORC_JOB_NAME": "a",
        "TORC_ATTEMPT_ID": "1",
        "TORC_OUTPUT_DIR": f"{tmp_path}/out",
        "TORC_WORKFLOW_SUBMISSION_DIR": str(tmp_path),
        "TORC_API_URL": "sqlite:////somewhere/torc.db",
        "TORC_STORE_URL": "sqlite:////somewhere/torc.db",
        "SHARED": "w",
        "BOTH": "j",
    }


@pytest.mark.parametrize(
    ("workflow", "job", "stdout", "stderr"),
    [
        (None, None, ".o", ".e"),
        ("combined", None, ".log", ".log"),
        ("combined", "separate", ".o", ".e"),
        (None, "no_stdout", None, ".e"),
        ("no_stderr", None, ".o", None),
        ("none", None, None, None),
    ],
)
def test_output_files_follow_the_stdio_mode(
    stage: Maker, workflow: str | None, job: str | None, stdout: str | None, stderr: str | None
) -> None:
    config = {"stdio": {"mode": workflow}} if workflow else None
    s = stage(
        a_job("a", stdio={"mode": job} if job else None),
        workflow=Workflow(name="w", execution_config=config),
    )
    s.tick()
    (order,) = s.launcher.orders.values()
    for path, suffix in ((order.stdout, stdout), (order.stderr, stderr)):
        assert (path and path[path.rindex(".") :]) == suffix


def test_only_stated_requirements_limit_memory(stage: Maker) -> None:
    s = stage("free", a_job("bound", requirement=0), requirements=[a_need(memory="3g")])
    s.tick()
    limits = {s.store.get(Job, key).name: o.memory_limit for key, o in s.launcher.orders.items()}
    assert limits == {"free": None, "bound": 3 << 30}


# ── what an exit means ───────────────────────────────────────────────────────


def test_declared_outputs_must_exist_after_exit_0(stage: Maker, tmp_path: Path) -> None:
    files = [File(name="made", path="made.txt"), File(name="not", path="sub/not.txt")]
    s = stage(a_job("good", output_files=(0,)), a_job("bad", output_files=(0, 1)), files=files)
    (tmp_path / "made.txt").write_text("x")
    s.tick()
    s.launcher.end(s.key("good"))
    s.launcher.end(s.key("bad"))
    s.tick()
    assert s.results() == [("good", 1, 0, "exit"), ("bad", 1, 1, "missing_output")]
    assert s.store.rows(File, name="made").items[0].st_mtime is not None
    (result,) = s.store.rows(Result, return_code=1).items
    assert "sub/not.txt" in result.stderr_tail


def test_the_end_of_stderr_is_kept_with_a_failure(stage: Maker, tmp_path: Path) -> None:
    s = stage("bad", "good")
    s.tick()
    for name in ("bad", "good"):
        (tmp_path / "out/job_stdio").mkdir(parents=True, exist_ok=True)
        path = Path(s.launcher.orders[s.key(name)].stderr)
        path.write_text("".join(f"line {i}\n" for i in range(5000)))
    s.launcher.end(s.key("bad"), 3)
    s.launcher.end(s.key("good"))
    s.tick()
    bad, good = s.store.rows(Result).items
    assert bad.stderr_tail.splitlines()[-1] == "line 4999"
    assert bad.stderr_tail.splitlines()[0].startswith("line ")
    assert len(bad.stderr_tail) <= 4096
    assert good.stderr_tail is None
    assert bad.stderr_path == s.launcher.orders[bad.job_id].stderr


def test_output_of_a_success_is_deleted_if_so_wished(stage: Maker, tmp_path: Path) -> None:
    config = {"stdio": {"mode": "separate", "delete_on_success": True}}
    s = stage("good", "bad", workflow=Workflow(name="w", execution_config=config))
    s.tick()
    (tmp_path / "out/job_stdio").mkdir(parents=True)
    for order in s.launcher.orders.values():
        for path in (order.stdout, order.stderr):
            Path(path).write_text("x")
    s.launcher.end(s.key("good"))
    s.launcher.end(s.key("bad"), 1)
    s.tick()
    left = sorted(path.name for path in (tmp_path / "out/job_stdio").iterdir())
    assert left == ["job_wf1_j2_r1_a1.e", "job_wf1_j2_r1_a1.o"]
    assert s.store.rows(Result, return_code=0).items[0].stdout_path is None


def test_a_signal_is_128_and_its_number(stage: Maker) -> None:
    s = stage("a")
    s.tick()
    s.launcher.end(s.key("a"), None, 11)
    s.tick()
    assert s.results() == [("a", 1, 139, "exit")]
    assert s.statuses() == {"a": "failed"}


# ── stopping ─────────────────────────────────────────────────────────────────


def test_an_interrupt_sends_jobs_back_to_the_queue(stage: Maker) -> None:
    s = stage("a", "b", "c")
    s.tick()
    s.worker.interrupt()
    s.tick()
    assert sorted(s.launcher.signals) == [(1, "TERM"), (2, "TERM")]
    s.launcher.end(1, None, 15)
    s.launcher.end(2, 0)
    s.until_it_leaves()
    assert s.statuses() == {"a": "ready", "b": "completed", "c": "ready"}
    assert s.results() == [("a", 1, 143, "canceled"), ("b", 1, 0, "exit")]
    assert s.job("a").attempt_id == 2
    assert s.job("c").attempt_id == 1


def test_a_second_interrupt_kills(stage: Maker) -> None:
    s = stage("a")
    s.tick()
    s.worker.interrupt()
    s.tick()
    s.worker.interrupt()
    s.tick()
    assert s.launcher.signals == [(1, "TERM"), (1, "KILL")]
    s.until_it_leaves()
    assert s.statuses() == {"a": "ready"}


def test_a_job_that_does_not_end_when_asked_is_killed(stage: Maker) -> None:
    s = stage("a")
    s.tick()
    s.worker.interrupt()
    s.tick()
    s.clock.sleep(9.9)
    s.tick()
    assert s.launcher.signals == [(1, "TERM")]
    s.clock.sleep(0.2)
    s.tick()
    assert s.launcher.signals == [(1, "TERM"), (1, "KILL")]


def test_at_the_deadline_jobs_are_asked_then_ended_and_that_is_152(stage: Maker) -> None:
    end = ManualClock().now() + 1000
    s = stage("stubborn", "polite", "late", end_time=end)
    s.tick()
    s.clock.sleep(909)
    s.tick()
    assert s.launcher.signals == []
    s.clock.sleep(2)  # 89 s before the end: headroom 60, lead 30
    s.tick()
    assert s.launcher.signals == [(1, "TERM"), (2, "TERM")]
    s.launcher.end(2, 0)
    s.tick()
    assert s.runs() == {"stubborn"}
    s.clock.sleep(30)
    s.tick()
    assert s.launcher.signals[-1] == (1, "KILL")
    s.until_it_leaves()
    assert s.results() == [("polite", 1, 0, "exit"), ("stubborn", 1, 152, "timeout")]
    assert s.statuses() == {"stubborn": "terminated", "polite": "completed", "late": "ready"}
    assert s.clock.now() < end - 55


def test_a_workflow_may_name_other_codes_and_times(stage: Maker) -> None:
    config = {
        "timeout_exit_code": 99, "sigkill_headroom_seconds": 10, "sigterm_lead_seconds": 5,
    }  # fmt: skip
    end = ManualClock().now() + 100
    s = stage("a", end_time=end, workflow=Workflow(name="w", execution_config=config))
    s.tick()
    s.clock.sleep(86)
    s.tick()
    assert s.launcher.signals == [(1, "TERM")]
    s.launcher.end(1, 3)
    s.until_it_leaves()
    assert s.results() == [("a", 1, 99, "timeout")]


def test_what_does_not_fit_the_time_left_is_not_claimed(stage: Maker) -> None:
    jobs = [a_job("long", requirement=0), a_job("short", requirement=1)]
    needs = [a_need("long", runtime="PT10M"), a_need("short", runtime="PT5M")]
    s = stage(*jobs, requirements=needs, end_time=ManualClock().now() + 480)
    s.tick()
    assert s.runs() == {"short"}
    s.launcher.end(s.key("short"))
    s.until_it_leaves()
    assert s.worker.left.reason == "what is ready does not fit this worker"
    assert s.worker.left.stuck


def test_canceling_the_workflow_ends_its_jobs(stage: Maker) -> None:
    s = stage("a", "b")
    s.tick()
    s.store.cancel(s.id)
    s.clock.sleep(1)
    s.tick()
    assert sorted(s.launcher.signals) == [(1, "TERM"), (2, "TERM")]
    s.launcher.end(1, None, 15)
    s.launcher.end(2, None, 15)
    s.until_it_leaves()
    assert s.statuses() == {"a": "canceled", "b": "canceled"}
    assert {r.superseded for r in s.store.rows(Result).items} == {False}


def test_a_worker_that_was_given_up_ends_its_jobs_and_changes_nothing(stage: Maker) -> None:
    s = stage("a")
    s.tick()
    s.store.abandon(s.worker.station.node.id)
    s.clock.sleep(20)
    s.tick()
    assert s.launcher.signals == [(1, "KILL")]
    s.until_it_leaves()
    assert s.statuses() == {"a": "ready"}
    assert s.results() == [("a", 1, -128, "orphaned"), ("a", 1, 143, "canceled")]


def test_in_an_allocation_an_interrupt_means_canceled(stage: Maker) -> None:
    s = stage("a", interrupt_means=Stopped.CANCELED)
    s.tick()
    s.worker.interrupt()
    s.tick()
    s.launcher.end(1, None, 15)
    s.until_it_leaves()
    assert s.results() == [("a", 1, 143, "canceled")]
    assert s.statuses() == {"a": "terminated"}


# ── leaving ──────────────────────────────────────────────────────────────────


def another(s: Stage) -> int:
    """A second worker that holds a job."""
    node = s.store.register(a_node(s.id)).id
    (claim,) = s.store.claim(node, Capacity(cpus=1, memory_bytes=1 << 40), 1)
    s.store.start(node, [claim.job_id])
    s.claim = claim  # type: ignore[attr-defined]
    return node


def test_an_idle_worker_waits_for_blocked_jobs_but_not_for_ever(stage: Maker) -> None:
    s = stage("a", a_job("b", 0), idle_limit_s=60)
    another(s)
    began = s.clock.now()
    s.until_it_leaves()
    assert s.worker.left.reason.startswith("nothing to do for 60")
    assert s.clock.now() - began < 62


def test_an_idle_worker_takes_what_another_one_frees(stage: Maker) -> None:
    s = stage("a", a_job("b", 0))
    other = another(s)
    s.tick(3)
    assert s.runs() == set()
    s.store.complete(other, [a_report(s.claim)])
    s.clock.sleep(1)  # nobody rings within one process
    s.tick()
    assert s.runs() == {"b"}


def test_an_idle_worker_leaves_when_nothing_can_become_ready(stage: Maker) -> None:
    s = stage("a")
    another(s)
    s.until_it_leaves()
    assert s.worker.left.reason == "the last jobs run on other workers"


def test_a_patient_worker_stays_while_others_work(stage: Maker) -> None:
    s = stage("a", patient=True, idle_limit_s=1)
    other = another(s)
    for _ in range(50):
        s.tick()
        assert s.rest is not None
        s.launcher.wait(s.rest)
    s.store.complete(other, [a_report(s.claim)])
    s.until_it_leaves()
    assert s.worker.left.reason == "all jobs are done"


def test_a_worker_that_can_do_nothing_says_it_is_stuck(stage: Maker) -> None:
    s = stage(a_job("big", requirement=0), requirements=[a_need(num_cpus=64)])
    s.until_it_leaves()
    assert s.worker.left.stuck


# ── a store that does not answer ─────────────────────────────────────────────


class Flaky:
    """A store whose transactions fail while the test says so, before or after the commit."""

    def __init__(self, store: SqlStore) -> None:
        self.inner = store
        self.down = False
        self.lose_answer = False
        self.lose_answer_to = ""

    def __getattr__(self, name: str) -> Any:
        if self.down:
            raise StoreUnavailable("the network is gone")
        verb = getattr(self.inner, name)
        return self.unheard(verb) if name == self.lose_answer_to else verb

    def unheard(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        """It is done and committed, and nobody hears of it."""

        def done(*values: Any) -> Any:
            self.lose_answer_to = ""
            verb(*values)
            raise StoreUnavailable("the answer was lost")

        return done

    @contextmanager
    def together(self) -> Iterator[None]:
        if self.down:
            raise StoreUnavailable("the network is gone")
        with self.inner.together():
            yield
        if self.lose_answer:
            self.lose_answer = False
            raise StoreUnavailable("the answer was lost")


def flaky(s: Stage) -> Flaky:
    wrapped = Flaky(s.store)
    s.worker.ports = replace(s.worker.ports, store=wrapped)
    s.worker._intake._store = wrapped
    return wrapped


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("lost", [False, True])
def test_ends_that_are_told_together_outlive_an_outage(
    stage: Maker, limit: int | None, lost: bool
) -> None:
    names = [f"j{i:02d}" for i in range(40)]
    s = stage(*names, max_parallel_jobs=limit)
    store = flaky(s)
    together = 0
    for i in range(200):
        store.down = i in range(10, 14)
        store.lose_answer = lost and i == 20
        s.tick()
        together = max(together, len(s.worker._reports))
        for key in list(s.launcher.running()):
            s.launcher.end(key)
        if s.rest is None:
            break
        s.clock.sleep(0.1 if store.down else 0.002)
    assert together > 2, "while the store was away ends came together"
    assert set(s.statuses().values()) == {"completed"}
    told = [name for name, _, _, ending in s.results() if ending == "exit"]
    assert sorted(told) == names, "each has run once, and been told of once"


def test_jobs_go_on_and_are_reported_when_the_store_is_back(stage: Maker) -> None:
    s = stage("a", "b", "c")
    store = flaky(s)
    s.tick()
    store.down = True
    s.launcher.end(s.key("a"))
    for _ in range(20):
        s.tick()
        s.launcher.wait(s.rest)
    assert s.runs() == {"b"}
    assert s.launcher.signals == []
    store.down = False
    s.clock.sleep(10)
    s.tick()
    assert s.results() == [("a", 1, 0, "exit")]
    assert s.runs() == {"b", "c"}


def test_claims_whose_answer_was_lost_come_back_and_run_once(stage: Maker) -> None:
    s = stage("a", "b", "c", cpus=2)
    store = flaky(s)
    store.lose_answer = True
    s.tick()
    assert s.runs() == set()
    assert s.statuses() == {"a": "running", "b": "running", "c": "ready"}
    s.clock.sleep(1)
    s.tick()
    assert s.runs() == {"a", "b"}
    assert s.results() == [("a", 1, -128, "orphaned"), ("b", 1, -128, "orphaned")]
    assert s.job("a").attempt_id == 2


def test_reports_whose_answer_was_lost_are_told_again_without_harm(stage: Maker) -> None:
    s = stage("a", a_job("b", 0))
    store = flaky(s)
    s.tick()
    s.launcher.end(s.key("a"))
    store.lose_answer = True
    s.tick()
    s.clock.sleep(1)
    s.tick()
    assert s.statuses()["a"] == "completed"
    assert [r for r in s.results() if r[0] == "a"] == [("a", 1, 0, "exit")]


def test_a_retry_is_not_lost_with_the_answer_that_gave_it(stage: Maker) -> None:
    s = stage(a_job("a", failure_handler=0), failure_handlers=[RETRY])
    store = flaky(s)
    s.tick()
    s.launcher.end(s.key("a"), 3)
    store.lose_answer = True
    s.tick()
    assert s.job("a").attempt_id == 2
    assert s.runs() == set()
    s.clock.sleep(1)
    s.tick()
    assert s.runs() == {"a"}
    s.launcher.end(s.key("a"))
    s.until_it_leaves()
    told = [("a", 1, 3, "exit"), ("a", 2, -128, "orphaned"), ("a", 3, 0, "exit")]
    assert s.results() == told


def test_what_is_withdrawn_runs_once_though_the_answer_was_lost(stage: Maker) -> None:
    s = stage(*(f"j{i:02d}" for i in range(20)))
    store = flaky(s)
    s.tick()
    for key in list(s.launcher.running()):
        s.launcher.end(key)
    s.tick()
    assert s.worker._intake.shelf.claims
    s.clock.sleep(1)
    store.lose_answer_to = "withdraw"
    s.tick()
    assert not store.lose_answer_to
    s.launcher.end(min(s.launcher.running()))
    s.clock.sleep(1)
    s.tick(2)
    started = {name for name, status in s.statuses().items() if status == "running"}
    assert started >= s.runs(), "a job that runs was withdrawn, for others to run again"


def test_an_outage_without_jobs_ends_the_worker_in_the_end(stage: Maker) -> None:
    s = stage("a", a_job("b", 0))
    another(s)
    store = flaky(s)
    s.tick()
    store.down = True
    with pytest.raises(StoreUnavailable):
        s.until_it_leaves()
    minutes = (s.clock.now() - ManualClock().now()) / 60
    assert 20 <= minutes < 21


def test_endings_of_attempts_survive_in_history(stage: Maker) -> None:
    s = stage("a")
    for _ in range(2):
        s.tick()
        s.worker.interrupt()
        s.tick()
        s.launcher.end(1, None, 15)
        s.until_it_leaves()
        s.worker = Worker(s.worker.ports, s.worker.station, s.worker.around, Conduct())
    s.tick()
    s.launcher.end(1)
    s.until_it_leaves()
    assert s.results() == [
        ("a", 1, 143, "canceled"), ("a", 2, 143, "canceled"), ("a", 3, 0, "exit"),
    ]  # fmt: skip
    assert s.store.rows(Result, ending=Ending.CANCELED).total_count == 2


def test_what_a_failed_job_has_written_is_noted_and_what_it_has_not_is_no_fault(
    stage: Maker, tmp_path: Path
) -> None:
    files = [File(name="f", path="f"), File(name="g", path="g")]
    s = stage(a_job("a", output_files=(0, 1)), files=files)
    s.tick()
    (tmp_path / "f").write_text("x")
    s.launcher.end(s.key("a"), 1)
    s.tick()
    assert s.results() == [("a", 1, 1, "exit")]
    noted = {file.name: file.st_mtime for file in s.store.rows(File).items}
    assert noted == {"f": (tmp_path / "f").stat().st_mtime, "g": None}
