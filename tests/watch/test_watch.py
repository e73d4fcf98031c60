"""The daemon's step: what it finds, ends, asks for and remembers. Slurm is played; nobody waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_draft, a_job, a_need, a_node, a_scheduler, an_allocation, run_all

from slurmtorc.clock import ManualClock
from slurmtorc.errors import SlurmUnavailable, StoreUnavailable, SubmissionRefused
from slurmtorc.model import (
    AccountingEntry,
    ActionType,
    Allocation,
    AllocationStatus,
    ComputeNode,
    Decision,
    DraftAction,
    FailureHandler,
    Job,
    Partition,
    QueueEntry,
    Result,
    Site,
    SlurmState,
    TriggerType,
    Workflow,
)
from slurmtorc.ports import Exit, Order, Script
from slurmtorc.rules.retrying import Retry
from slurmtorc.rules.watching import Policy
from slurmtorc.schedule.submit import Submitter
from slurmtorc.store.sql import SqlStore
from slurmtorc.watch.acts import Manner, Ports
from slurmtorc.watch.look import Lost
from slurmtorc.watch.scripts import Scripts
from slurmtorc.watch.sweep import Traces, settle, toll
from slurmtorc.watch.watcher import Conduct, View, Watch

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from slurmtorc.model import Draft, SlurmScheduler
    from slurmtorc.watch.sweep import Fate

SITE = Site(name="s", partitions=(Partition(name="p", cpus=8, memory_bytes=64 << 30, nodes=9),))
POLL = 60.0
AUTO = Policy(auto_schedule=True)
RETRY = FailureHandler(name="h", rules=({"exit_codes": [152], "max_retries": 2},))


class PlayedSlurm:
    """A queue and an accounting that say what a test has written into them."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.queue: dict[int, QueueEntry] = {}
        self.books: dict[int, AccountingEntry] = {}
        self.names: dict[int, str] = {}
        self.calls: list[str] = []
        self.canceled: list[int] = []
        self.is_down = self.books_are_down = self.refuses = False

    def submit(self, script: Script) -> int:
        self.calls.append("submit")
        if self.refuses:
            raise SubmissionRefused("Invalid account")
        number = 100 + len(self.names)
        self.names[number] = script.job_name
        self.says(number, SlurmState.PENDING)
        return number

    def says(
        self, number: int, state: SlurmState | None, *, books: SlurmState | None = None
    ) -> None:
        self.queue.pop(number, None)
        name = self.names[number]
        if state is not None:
            self.queue[number] = QueueEntry(slurm_job_id=number, name=name, state=state)
        if books is not None:
            self.books[number] = AccountingEntry(
                slurm_job_id=number, name=name, state=books, end_time=self.clock.now()
            )

    def look(self, ids: Collection[int]) -> dict[int, QueueEntry]:
        self.calls.append("look")
        if self.is_down:
            raise SlurmUnavailable("the controller does not answer")
        return {number: entry for number, entry in self.queue.items() if number in ids}

    def account(self, ids: Collection[int], since: float) -> dict[int, AccountingEntry]:
        del since
        self.calls.append("account")
        if self.books_are_down:
            raise SlurmUnavailable("slurmdbd does not answer")
        return {number: entry for number, entry in self.books.items() if number in ids}

    def find(self, token: str, since: float) -> int | None:
        del since
        return next((n for n, name in self.names.items() if name.endswith(token)), None)

    def cancel(self, ids: Collection[int]) -> None:
        self.canceled += ids

    def site(self) -> Site:
        return SITE


def an_order(_: Workflow, fate: Fate) -> Order:
    assert isinstance(fate.next, Retry)
    return Order(key=fate.job.id, command=fate.next.script or "", env={}, directory="/")


class PlayedLauncher:
    """Processes that end when a test says so."""

    def __init__(self) -> None:
        self.alive: dict[int, Order] = {}
        self.ended: list[Exit] = []
        self.signals: list[tuple[int, bool]] = []

    def start(self, order: Order) -> None:
        self.alive[order.key] = order

    def end(self, key: int, code: int | None, signal: int | None = None) -> None:
        del self.alive[key]
        moments = {"start_time": 0.0, "end_time": 0.0}
        self.ended.append(Exit(key=key, code=code, signal=signal, **moments))

    def poll(self) -> list[Exit]:
        found, self.ended = self.ended, []
        return found

    def stop(self, key: int, *, hard: bool) -> None:
        self.signals.append((key, hard))


class Stage:
    """One store, one Slurm, and as many watches as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.store = SqlStore("sqlite://", self.clock)
        self.slurm: Any = PlayedSlurm(self.clock)
        self.launcher: Any = PlayedLauncher()
        self.views: list[View] = []
        self.id = 0

    def begin(self, draft: Draft | None = None) -> int:
        draft = draft or a_draft(
            a_job("a", requirement=0, scheduler=0, failure_handler=0),
            a_job("b", 0, requirement=0, scheduler=0),
            requirements=[a_need(num_cpus=2, memory="1g")],
            schedulers=[a_scheduler(cpus_per_task=4, mem="8g", walltime="01:00:00")],
            failure_handlers=[RETRY],
        )
        draft.workflow = replace(draft.workflow, submission_directory=str(self.folder))
        self.id = self.store.create(draft)
        self.store.initialize(self.id)
        return self.id

    def watch(self, name: str = "one", ids: Collection[int] = (), **conduct: Any) -> Watch:
        submitter = Submitter(self.store, self.slurm, self.clock, self.render)
        ports = Ports(
            store=self.store, slurm=self.slurm, clock=self.clock, submitter=submitter,
            traces=lambda *_: Traces("out.o", "out.e", "last words"), holder=name, hostname=name,
            scripts=Scripts(self.launcher, self.clock, an_order),
        )  # fmt: skip
        workflows = [self.store.get(Workflow, number) for number in ids or [self.id]]
        given = {"poll_s": POLL, "manner": Manner(output_dir=str(self.folder))} | conduct
        return Watch(ports, workflows, Conduct(**given), self.views.append)

    def render(self, _: Workflow, __: SlurmScheduler, allocation: Allocation) -> Script:
        name = f"wf{allocation.workflow_id}_{allocation.token}"
        return Script(text="", job_name=name, token=allocation.token, directory="/")

    def allocation(self, number: int = 7) -> Allocation:
        """An allocation that Slurm has, running, with a worker that runs all that is ready."""
        (intent,) = self.store.intend([an_allocation(self.id, f"t{number}")])
        self.store.submitted(intent.id, number)
        self.slurm.names[number] = f"wf{self.id}_t{number}"
        self.slurm.says(number, SlurmState.RUNNING)
        node = self.store.register(
            a_node(
                self.id, allocation_id=intent.id, slurm_job_id=number,
                lease_until=self.clock.now() + 120, output_dir="/out",
            )
        )  # fmt: skip
        claims = self.store.claim_next(node.id, 10)
        self.store.start(node.id, [claim.job_id for claim in claims])
        return self.store.get(Allocation, intent.id)

    def round(self, watch: Watch, times: int = 1) -> View:
        """So many looks, a poll apart."""
        for _ in range(times):
            self.clock.sleep(POLL)
            watch.tick()
        return self.views[-1]

    @property
    def statuses(self) -> dict[str, str]:
        jobs = self.store.rows(Job, workflow_id=self.id).items
        return {job.name: job.status.word for job in jobs}

    @property
    def results(self) -> list[tuple[str, int, int, str]]:
        return [
            (r.job_name, r.attempt_id, r.return_code, r.ending.value)
            for r in self.store.rows(Result).items
        ]

    @property
    def decisions(self) -> list[tuple[str, str]]:
        return [(d.decision, d.numbers["rule"]) for d in self.store.rows(Decision).items]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


# ── the dead ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "result", "status"),
    [
        (SlurmState.TIMEOUT, ("a", 1, 152, "timeout"), "ready"),
        (SlurmState.CANCELLED, ("a", 1, 143, "canceled"), "terminated"),
        (SlurmState.NODE_FAIL, ("a", 1, 143, "node_fail"), "terminated"),
        (SlurmState.PREEMPTED, ("a", 1, 143, "preempted"), "terminated"),
        (SlurmState.OUT_OF_MEMORY, ("a", 1, 137, "oom"), "failed"),
        (SlurmState.COMPLETED, ("a", 1, -128, "orphaned"), "failed"),
        (SlurmState.FAILED, ("a", 1, -128, "orphaned"), "failed"),
    ],
)
def test_what_accounting_says_of_an_allocation_is_the_end_of_its_jobs(
    stage: Stage, state: SlurmState, result: tuple[Any, ...], status: str
) -> None:
    stage.begin()
    allocation = stage.allocation()
    stage.slurm.says(7, None, books=state)
    stage.round(stage.watch(), 2)
    assert stage.results == [result]
    assert stage.statuses["a"] == status
    (kept,) = stage.store.rows(Result).items
    assert (kept.stderr_path, kept.stderr_tail) == ("out.e", "last words")
    after = stage.store.get(Allocation, allocation.id)
    assert (after.status, after.reason) == (AllocationStatus.COMPLETE, state.value)
    assert not stage.store.rows(ComputeNode, is_active=True).items


@pytest.mark.parametrize("wakes", [False, True])
def test_a_worker_that_moves_while_its_end_is_written_lives_or_keeps_nothing(
    stage: Stage, *, wakes: bool
) -> None:
    stage.begin(a_draft("a", "b"))
    node = stage.store.register(a_node(stage.id, lease_until=stage.clock.now()))
    (first,) = stage.store.claim_next(node.id, 1)
    stage.clock.sleep(POLL)
    workflow, now = stage.store.get(Workflow, stage.id), stage.clock.now()
    dead = toll(stage.store, workflow, Lost(node))
    stage.store.claim_next(node.id, 1)
    stage.store.start(node.id, [first.job_id])
    if wakes:
        stage.store.heartbeat(node.id, now + 120)
    over = settle(stage.store, workflow, dead, now, lambda *_: Traces())
    assert over is not wakes
    assert stage.store.get(ComputeNode, node.id).is_active is wakes
    assert len(stage.store.held(node.id)) == (2 if wakes else 0)


def test_claimed_jobs_of_a_dead_worker_just_go_back(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    node = stage.store.rows(ComputeNode).items[0]
    run_all(stage.store, node.id)
    stage.store.complete(node.id, [])
    other = stage.begin(a_draft("x"))
    stage.allocation(8)
    second = stage.store.rows(ComputeNode, workflow_id=other).items[0]
    stage.store.give_up(second.id, stage.store.held(second.id))
    stage.store.claim_next(second.id, 1)
    stage.slurm.says(8, None, books=SlurmState.CANCELLED)
    stage.round(stage.watch(), 2)
    assert stage.statuses == {"x": "ready"}


def test_a_worker_has_time_to_report_before_its_jobs_are_ended(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    stage.slurm.says(7, None, books=SlurmState.TIMEOUT)
    watch = stage.watch()
    watch.tick()
    assert stage.results == []
    stage.round(watch)
    assert [result[2] for result in stage.results] == [152]


def test_an_empty_queue_is_believed_only_after_a_while_and_without_heartbeats(
    stage: Stage,
) -> None:
    stage.begin()
    stage.allocation()
    node = stage.store.rows(ComputeNode).items[0]
    stage.slurm.says(7, None)
    watch = stage.watch()
    for _ in range(10):
        stage.store.heartbeat(node.id, stage.clock.now() + 120)
        assert stage.round(watch).choice.rule == "workers"
    assert stage.results == []
    stage.round(watch, 12)
    assert stage.results == [("a", 1, -128, "orphaned")]


def test_while_slurm_does_not_answer_nothing_ends(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    node = stage.store.rows(ComputeNode).items[0]
    stage.slurm.is_down = stage.slurm.books_are_down = True
    watch = stage.watch()
    for _ in range(60):
        stage.store.heartbeat(node.id, stage.clock.now() + 120)
        stage.round(watch)
    assert stage.statuses["a"] == "running"
    assert watch.ended == {}


def test_leases_that_ran_out_in_an_outage_of_the_store_are_no_deaths(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    node = stage.store.rows(ComputeNode).items[0]
    stage.clock.sleep(3600)  # the store was away: nobody could renew anything
    watch = stage.watch()
    watch.tick()
    stage.store.heartbeat(node.id, stage.clock.now() + 120)
    stage.round(watch)
    assert stage.results == []


def test_a_worker_that_died_alone_is_given_up_though_its_allocation_lives(stage: Stage) -> None:
    stage.begin()
    allocation = stage.allocation()
    stage.round(stage.watch(), 5)
    assert stage.results == [("a", 1, -128, "orphaned")]
    assert stage.store.get(Allocation, allocation.id).final_state is None


def test_a_late_report_of_a_swept_worker_changes_nothing(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    node = stage.store.rows(ComputeNode).items[0]
    stage.slurm.says(7, None, books=SlurmState.TIMEOUT)
    stage.round(stage.watch(), 2)
    assert not stage.store.heartbeat(node.id, 2e9)
    assert stage.statuses["a"] == "ready"


# ── recovery scripts ─────────────────────────────────────────────────────────


def in_recovery(stage: Stage, **rule: Any) -> Watch:
    """A job that ended with 152 in a dead allocation, and whose script has been started."""
    rules = ({"exit_codes": [152], "recovery_script": "./mend.sh", **rule},)
    job = a_job("a", failure_handler=0)
    stage.begin(a_draft(job, failure_handlers=[FailureHandler(name="h", rules=rules)]))
    stage.allocation()
    stage.slurm.says(7, None, books=SlurmState.TIMEOUT)
    watch = stage.watch()
    stage.round(watch, 2)
    assert [order.command for order in stage.launcher.alive.values()] == ["./mend.sh"]
    return watch


def test_a_job_is_released_only_after_its_script(stage: Stage) -> None:
    watch = in_recovery(stage)
    stage.round(watch)
    assert stage.statuses == {"a": "running"}
    assert stage.results == []
    assert stage.store.rows(Allocation).items[0].status is not AllocationStatus.COMPLETE
    stage.launcher.end(1, 0)
    watch.tick()  # a script's end is noticed before the next poll
    assert stage.statuses == {"a": "ready"}
    assert stage.results == [("a", 1, 152, "timeout")]
    assert stage.store.rows(Allocation).items[0].status is AllocationStatus.COMPLETE


def test_a_script_that_fails_fails_its_job(stage: Stage) -> None:
    watch = in_recovery(stage)
    stage.launcher.end(1, 3)
    watch.tick()
    assert stage.statuses == {"a": "failed"}
    assert stage.results == [("a", 1, 152, "timeout")]


def test_a_script_that_takes_too_long_is_ended(stage: Stage) -> None:
    watch = in_recovery(stage, recovery_timeout_seconds=100)
    stage.round(watch)
    assert stage.launcher.signals == [(1, False)]
    stage.round(watch)
    assert stage.launcher.signals == [(1, False), (1, True)]
    stage.launcher.end(1, None, 9)
    watch.tick()
    assert stage.statuses == {"a": "failed"}


def test_the_next_watch_runs_a_script_again_that_was_cut_short(stage: Stage) -> None:
    watch = in_recovery(stage)
    watch.leave()
    assert stage.launcher.signals == [(1, True)]
    stage.launcher.alive.clear()
    stage.round(stage.watch("next"))
    assert list(stage.launcher.alive) == [1]


# ── more nodes ───────────────────────────────────────────────────────────────


def test_ready_jobs_without_any_allocation_get_one_of_their_own_scheduler(stage: Stage) -> None:
    stage.begin()
    watch = stage.watch(policy=AUTO)
    watch.tick()
    (allocation,) = stage.store.rows(Allocation).items
    assert (allocation.status, allocation.scheduler_id) == (AllocationStatus.PENDING, 100)
    assert stage.views[-1].choice.rule == "no_allocation"
    stage.round(watch, 30)
    assert stage.slurm.calls.count("submit") == 1
    memory = stage.store.watch_state(stage.id)
    assert memory is not None
    assert memory.last_scheduled_at is not None


def test_a_retry_after_a_timeout_brings_a_new_allocation(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    stage.slurm.says(7, None, books=SlurmState.TIMEOUT)
    stage.round(stage.watch(policy=AUTO), 3)
    assert stage.statuses["a"] == "ready"
    assert stage.slurm.calls.count("submit") == 1
    assert ("schedule", "no_allocation") in stage.decisions


def test_after_refusals_the_pauses_grow(stage: Stage) -> None:
    stage.begin()
    stage.slurm.refuses = True
    watch = stage.watch(policy=AUTO)
    stage.round(watch, 60)
    tries = stage.slurm.calls.count("submit")
    assert 4 <= tries <= 7
    memory = stage.store.watch_state(stage.id)
    assert memory is not None
    assert memory.schedule_failures == tries


def came_and_went(stage: Stage, **size: int) -> None:
    """The newest allocation began, and its worker found nothing that it could run."""
    allocation = stage.store.rows(Allocation).items[-1]
    number = allocation.scheduler_id or 7
    node = a_node(
        stage.id, allocation_id=allocation.id, slurm_job_id=number,
        scheduler_config_id=allocation.scheduler_config_id, **size,
    )  # fmt: skip
    stage.store.retire(stage.store.register(node).id)
    stage.slurm.says(number, None, books=SlurmState.COMPLETED)


THIN = {"num_cpus": 1, "memory_bytes": 100 << 20}


def test_a_watch_that_stops_says_what_the_last_worker_lacked(stage: Stage) -> None:
    stage.begin(of_one_thin_scheduler())
    (intent,) = stage.store.intend([an_allocation(stage.id, "t7", scheduler_config_id=1)])
    stage.store.submitted(intent.id, 7)
    stage.slurm.names[7] = f"wf{stage.id}_t7"
    came_and_went(stage, **THIN)
    watch = stage.watch()
    stage.round(watch, 3)
    stop = watch.ended[stage.id]
    assert (stop.exit_code, stop.rule) == (3, "stuck")
    assert "scheduler 'thin' (n1: 1 CPU, 100 MiB) was too small for 'a'" in stop.reason
    assert "write mem: 1280M in scheduler 'thin'" in stop.reason


def of_one_thin_scheduler() -> Draft:
    """Two stages for a scheduler that says nothing of memory; the second has an action."""
    later = DraftAction(
        trigger_type=TriggerType.ON_JOBS_READY,
        action_type=ActionType.SCHEDULE_NODES,
        scheduler=0,
        jobs=(1,),
    )
    return a_draft(
        a_job("a", requirement=0), a_job("b", 0, requirement=0),
        requirements=[a_need(memory="1g")],
        schedulers=[a_scheduler("thin", walltime="01:00:00")],
        actions=[later],
    )  # fmt: skip


def test_what_was_too_small_is_asked_for_once_more_in_another_size_and_no_more(
    stage: Stage,
) -> None:
    stage.begin(of_one_thin_scheduler())
    watch = stage.watch(policy=AUTO)
    watch.tick()
    came_and_went(stage, **THIN)
    said = stage.round(watch).choice
    assert said.rule == "no_allocation"
    assert "the last worker of scheduler 'thin'" in said.reason
    assert stage.slurm.calls.count("submit") == 2
    came_and_went(stage, **THIN)
    stage.round(watch, 70)
    assert stage.slurm.calls.count("submit") == 2
    stop = watch.ended[stage.id]
    assert (stop.exit_code, stop.rule) == (3, "no_place")
    assert "the same is not asked for again" in stop.reason


def test_what_is_asked_for_in_vain_is_asked_for_ever_more_rarely(stage: Stage) -> None:
    stage.begin()
    watch = stage.watch(policy=AUTO)
    watch.tick()
    for _ in range(60):
        if stage.store.rows(Allocation).items[-1].status is AllocationStatus.PENDING:
            came_and_went(stage)
        stage.round(watch)
    assert 4 <= stage.slurm.calls.count("submit") <= 8
    assert "in a row nothing came of asking" in stage.views[-1].choice.reason


def test_jobs_that_fit_nowhere_stop_the_watch_with_the_reason(stage: Stage) -> None:
    draft = a_draft(
        a_job("big", requirement=0), requirements=[a_need(num_cpus=64)],
        schedulers=[a_scheduler()],
    )  # fmt: skip
    stage.begin(draft)
    watch = stage.watch(policy=AUTO)
    watch.tick()
    stop = watch.ended[stage.id]
    assert (stop.exit_code, stop.rule) == (3, "no_place")
    assert "64" in stop.reason


def test_an_action_that_cannot_be_carried_out_does_not_end_the_watch(stage: Stage) -> None:
    action = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.SCHEDULE_NODES,
        scheduler=0,
    )
    stage.begin(a_draft("x", schedulers=[a_scheduler()], actions=[action]))
    watch = stage.watch(manner=Manner(output_dir="/dev/null/out"))
    assert watch.tick() is not None
    assert stage.views[-1].choice.rule == "actions"
    assert stage.store.rows(Allocation).items == []


# ── many watches, many workflows ─────────────────────────────────────────────


def test_of_ten_watches_one_acts(stage: Stage) -> None:
    stage.begin()
    watches = [stage.watch(f"host{i}", policy=AUTO) for i in range(10)]
    for _ in range(5):
        stage.clock.sleep(POLL)
        for watch in watches:
            watch.tick()
    assert stage.slurm.calls.count("submit") == 1
    passive = [view for view in stage.views if view.passive]
    assert len(passive) == 45
    assert "another watch is at work: host0" in passive[-1].choice.reason


def test_another_watch_takes_over_within_two_polls_of_the_first_ones_death(stage: Stage) -> None:
    stage.begin()
    first, second = stage.watch("first", policy=AUTO), stage.watch("second", policy=AUTO)
    stage.round(first)
    stage.round(second)
    assert stage.views[-1].passive
    stage.round(second, 2)
    assert not stage.views[-1].passive


def test_a_watch_that_leaves_makes_way_at_once(stage: Stage) -> None:
    stage.begin()
    first, second = stage.watch("first"), stage.watch("second")
    first.tick()
    first.leave()
    second.tick()
    assert not stage.views[-1].passive


def test_a_watch_that_was_too_slow_changes_nothing(stage: Stage) -> None:
    stage.begin()
    slow = stage.watch("slow", policy=AUTO)
    site, taken = stage.slurm.site, []

    def overtaken() -> Site:
        if not taken:
            taken.append(True)
            stage.clock.sleep(1000)
            stage.watch("fast", policy=AUTO).tick()
        found: Site = site()
        return found

    stage.slurm.site = overtaken
    slow.tick()
    assert stage.slurm.calls.count("submit") == 1
    assert len(stage.store.rows(Allocation).items) == 1


def test_a_restarted_watch_goes_on_where_the_first_one_was(stage: Stage) -> None:
    stage.begin()
    stage.round(stage.watch("first", policy=AUTO))
    stage.clock.sleep(1000)
    stage.round(stage.watch("second", policy=AUTO), 5)
    assert stage.slurm.calls.count("submit") == 1


def test_a_round_over_many_workflows_asks_slurm_twice_at_most(stage: Stage) -> None:
    ids = []
    for number in range(20):
        ids.append(stage.begin(a_draft("x")))
        stage.allocation(number + 10)
        state = SlurmState.COMPLETING if number % 2 else SlurmState.RUNNING
        stage.slurm.says(number + 10, state)
    stage.slurm.calls.clear()
    stage.watch(ids=ids).tick()
    assert stage.slurm.calls == ["look", "account"]


# ── the end ──────────────────────────────────────────────────────────────────


def test_the_end_in_the_store_is_noticed_before_the_next_poll(stage: Stage) -> None:
    stage.begin(a_draft("x"))
    stage.allocation()
    watch = stage.watch()
    assert watch.tick() is not None
    node = stage.store.rows(ComputeNode).items[0]
    held = stage.store.held(node.id)
    stage.store.give_up(node.id, held)
    run_all(stage.store, node.id)
    watch._stamp = None  # one process: the store cannot see its own writes as news
    assert watch.tick() is None
    assert watch.ended[stage.id].exit_code == 0


def test_what_is_queued_in_vain_is_canceled_at_the_end(stage: Stage) -> None:
    stage.begin(a_draft("x"))
    stage.allocation()
    (intent,) = stage.store.intend([an_allocation(stage.id, "more")])
    stage.store.submitted(intent.id, 9)
    stage.slurm.names[9] = f"wf{stage.id}_more"
    stage.slurm.says(9, SlurmState.PENDING)
    node = stage.store.rows(ComputeNode).items[0]
    stage.store.give_up(node.id, stage.store.held(node.id))
    run_all(stage.store, node.id)
    assert stage.watch().tick() is None
    assert stage.slurm.canceled == [9]


def test_a_dry_run_tells_all_and_changes_nothing(stage: Stage) -> None:
    stage.begin()
    stage.allocation()
    stage.slurm.says(7, None, books=SlurmState.TIMEOUT)
    stage.clock.sleep(1000)
    watch = stage.watch(policy=AUTO, dry_run=True)
    before = _dump(stage.store)
    assert watch.tick() is None
    assert _dump(stage.store) == before
    assert "submit" not in stage.slurm.calls
    said = "\n".join(stage.views[-1].acts)
    assert "job 1 (a) attempt 1: timeout, return code 152; tried again by rules[0]" in said


def test_one_look_for_cron(stage: Stage) -> None:
    stage.begin()
    watch = stage.watch(policy=AUTO, once=True)
    assert watch.tick() is None
    assert watch.ended[stage.id].exit_code == 0
    assert stage.slurm.calls.count("submit") == 1


def test_a_store_that_is_away_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.begin(a_draft("x"))
    watch = stage.watch()

    def away(*_: object) -> None:
        raise StoreUnavailable("the server is restarting")

    with monkeypatch.context() as patched:
        patched.setattr(stage.store, "hold_watch", away)
        assert watch.tick() == 5.0
        stage.clock.sleep(1300)
        with pytest.raises(StoreUnavailable):
            watch.tick()
    assert watch.tick() is None


def _dump(store: Any) -> list[str]:
    with store._dialect.engine.connect() as connection:
        return list(connection.connection.iterdump())


def test_a_passive_watch_shows_no_decision_that_it_would_not_act_on(stage: Stage) -> None:
    stage.begin(a_draft("x"))
    node = stage.store.register(a_node(stage.id)).id
    run_all(stage.store, node, return_code=1)
    stage.store.retire(node)
    stage.store.hold_watch(stage.watch("active").ports.watch_of(stage.id, stage.clock.now() + 1e4))
    passive = stage.watch("passive", policy=Policy(recover=True))
    passive.tick()
    view = stage.views[-1]
    assert (view.passive, view.choice.rule) == (True, "passive")
    assert passive.ended == {}
    without = stage.watch("without")
    without.tick()
    assert without.ended[stage.id].rule == "failed"


def test_a_job_of_somebody_elses_that_got_our_id_is_not_canceled(stage: Stage) -> None:
    stage.begin(a_draft("x"))
    node = stage.store.register(a_node(stage.id)).id
    for number in (7, 8):
        (intent,) = stage.store.intend([an_allocation(stage.id, f"t{number}")])
        stage.store.submitted(intent.id, number)
        stage.slurm.names[number] = f"wf{stage.id}_t{number}" if number == 7 else "theirs"
        stage.slurm.says(number, SlurmState.PENDING)
    run_all(stage.store, node)
    stage.store.retire(node)
    stage.watch().tick()
    assert stage.slurm.canceled == [7]
