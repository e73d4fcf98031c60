"""Actions in a worker, with a clock that is told and commands that end when the test says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import Commands, running
from factories import a_draft, a_job, a_node

from slurmtorc.clock import ManualClock
from slurmtorc.errors import StoreUnavailable
from slurmtorc.model import (
    Action,
    ActionRun,
    Capacity,
    ComputeNode,
    DraftAction,
    ExecutionConfig,
    Job,
    TriggerType,
    Workflow,
)
from slurmtorc.rules.endings import Stopped
from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.attempts import Surroundings
from slurmtorc.worker.employ import leave
from slurmtorc.worker.lease import LEASE_S
from slurmtorc.worker.station import Conduct, Ports, Station
from slurmtorc.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TriggerType
PATIENCE = 3000


class Place:
    """A workflow, and as many workers of it as a test wants."""

    def __init__(
        self, folder: Path, *actions: DraftAction, jobs: Any = ("a",), **values: Any
    ) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.store = SqlStore("sqlite://", self.clock)
        self.id = self.store.create(a_draft(*jobs, actions=list(actions), **values))
        self.store.initialize(self.id)

    def worker(self, **conduct: Any) -> tuple[Worker, Commands]:
        workflow = self.store.get(Workflow, self.id)
        lease = self.clock.now() + LEASE_S
        node = self.store.register(a_node(self.id, num_cpus=2, lease_until=lease))
        around = Surroundings(
            workflow=workflow,
            directory=str(self.folder),
            output_dir=f"{self.folder}/out",
            url="sqlite:////somewhere/torc.db",
            config=ExecutionConfig.of(workflow.execution_config),
        )
        commands = Commands(self.clock)
        ports = Ports(store=self.store, launcher=commands, clock=self.clock)
        station = Station(node=node, whole=Capacity(cpus=2, memory_bytes=8 << 30))
        return Worker(ports, station, around, Conduct(**conduct)), commands

    def runs(self) -> list[tuple[int | None, str | None]]:
        return [(run.return_code, run.reason) for run in self.store.rows(ActionRun).items]

    def action(self) -> Action:
        (found,) = self.store.rows(Action).items
        return found

    def statuses(self) -> dict[str, str]:
        return {job.name: job.status.word for job in self.store.rows(Job).items}


def ticks(worker: Worker, times: int = 3) -> None:
    for _ in range(times):
        worker.tick()


def until_it_leaves(place: Place, worker: Worker) -> None:
    for _ in range(PATIENCE):
        rest = worker.tick()
        if rest is None:
            leave(worker)
            return
        place.clock.sleep(rest)
    pytest.fail("the worker does not leave")


# ── before the first job ─────────────────────────────────────────────────────


def test_the_start_comes_before_the_first_job_and_the_workers_own_start_after_it(
    tmp_path: Path,
) -> None:
    place = Place(
        tmp_path, running(T.ON_WORKER_START, "own"), running(T.ON_WORKFLOW_START, "one", "two")
    )
    worker, commands = place.worker()
    for name in ("one", "two", "own"):
        ticks(worker)
        assert commands.names() == [name]
        commands.end(name)
    ticks(worker)
    assert commands.names() == ["a"]
    assert place.runs() == [(0, None), (0, None)]


def test_another_worker_waits_for_the_start_and_does_not_leave(tmp_path: Path) -> None:
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "one"), jobs=("a", "b", "c"))
    first, doing = place.worker()
    second, waiting = place.worker()
    ticks(first, 1)
    for _ in range(20):
        ticks(second, 1)
        place.clock.sleep(10)
        ticks(first, 1)
    assert waiting.names() == []
    assert second.left is None
    doing.end("one", 3)  # a start that fails does not stop the workflow
    ticks(first)
    ticks(second)
    assert doing.names() == ["a", "b"]
    assert waiting.names() == ["c"]


def test_a_start_on_a_dead_worker_is_not_waited_for_for_ever_and_not_done_again(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "one"))
    first, _ = place.worker()
    ticks(first, 1)
    second, commands = place.worker()
    ticks(second)
    assert commands.names() == []
    place.clock.sleep(LEASE_S + 61)
    ticks(second)
    assert commands.names() == ["a"]
    ((code, reason),) = place.runs()
    assert code is None
    assert "gives no sign of life" in (reason or "")


def test_who_waits_for_the_start_asks_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "one"))
    first, doing = place.worker()
    ticks(first, 1)
    second, waiting = place.worker()
    asked: list[float] = []
    pending = place.store.pending_actions

    def noted(workflow_id: int, node_id: int | None = None) -> Sequence[Action]:
        asked.append(place.clock.now())
        return pending(workflow_id, node_id)

    monkeypatch.setattr(place.store, "pending_actions", noted)
    for _ in range(300):
        ticks(second, 1)
        place.clock.sleep(0.01)
    assert 0 < len(asked) <= 2 * 4  # a step of beginning asks twice at most
    doing.end("one")
    ticks(first, 2)
    place.clock.sleep(1)
    ticks(second, 2)
    assert doing.names() == ["a"] or waiting.names() == ["a"]


def test_nodes_are_asked_for_at_the_end_although_the_store_is_away_at_first(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    worker, commands = place.worker()
    asked: list[bool] = []

    def act(_node_id: int, *, leaving: bool = False) -> None:
        if leaving:
            asked.append(leaving)
            if len(asked) == 1:
                raise StoreUnavailable("it is away")

    worker.ports = replace(worker.ports, act=act)
    ticks(worker)
    commands.end("a")
    until_it_leaves(place, worker)
    assert len(asked) == 2


def test_a_start_whose_claim_was_not_answered_is_made_once_and_holds_nobody_up(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "one"), jobs=("a", "b", "c"))
    first, doing = place.worker()
    second, waiting = place.worker()
    lose_the_answer_to_a_claim(place)
    ticks(first, 1)
    assert doing.names() == []
    place.clock.sleep(1)
    ticks(first)
    ticks(second)
    assert (doing.names(), waiting.names()) == (["one"], [])
    doing.end("one")
    ticks(first)
    place.clock.sleep(1)  # who waits asks once a second
    ticks(second)
    assert (doing.names(), waiting.names()) == (["a", "b"], ["c"])
    assert place.runs() == [(0, None)]


def lose_the_answer_to_a_claim(place: Place) -> None:
    """The next action is claimed and committed, and nobody hears of it."""
    claim = place.store.claim_action

    def unheard(action_id: int, by: ActionRun) -> None:
        place.store.claim_action = claim  # type: ignore[method-assign]  once only
        claim(action_id, by)
        raise StoreUnavailable("the answer was lost")

    place.store.claim_action = unheard  # type: ignore[method-assign,assignment]  no port fails so


def test_a_workflow_without_commands_is_not_asked_for_actions(tmp_path: Path) -> None:
    place = Place(tmp_path)
    worker, commands = place.worker()
    place.store.pending_actions = None  # type: ignore[assignment]  a question would fail
    ticks(worker, 1)
    assert commands.names() == ["a"]
    commands.end("a")
    until_it_leaves(place, worker)


# ── beside jobs ──────────────────────────────────────────────────────────────


def test_a_long_command_delays_no_job(tmp_path: Path) -> None:
    gate = running(T.ON_JOBS_COMPLETE, "long", jobs=(0,))
    place = Place(tmp_path, gate, jobs=("a", a_job("b", 0), a_job("c", 1)))
    worker, commands = place.worker()
    ticks(worker)
    commands.end("a")
    ticks(worker)
    place.clock.sleep(1)
    ticks(worker)
    assert commands.names() == ["b", "long"]
    commands.end("b")
    ticks(worker)
    assert commands.names() == ["c", "long"]
    commands.end("c")
    place.clock.sleep(1000)
    ticks(worker)
    assert commands.names() == ["long"]  # all jobs are over; it is not cut short
    commands.end("long")
    until_it_leaves(place, worker)
    assert place.runs() == [(0, None)]


def test_the_first_failure_fails_an_action_and_the_workflow_goes_on(tmp_path: Path) -> None:
    gate = running(T.ON_JOBS_COMPLETE, "one", "two", "three", jobs=(0,))
    place = Place(tmp_path, gate, jobs=("a", a_job("b", 0)))
    worker, commands = place.worker()
    ticks(worker)
    commands.end("a")
    place.clock.sleep(1)
    ticks(worker)
    commands.end("one")
    ticks(worker)
    commands.end("two", 7)
    ticks(worker)
    assert commands.names() == ["b"]
    assert place.runs() == [(7, "command 2 of 3 failed with return code 7: two")]
    log = Path(place.store.rows(ActionRun).items[0].log_path or "")
    assert log.read_text(encoding="utf-8") == "$ one\n$ two\n"


def test_commands_run_in_the_output_directory_with_the_workflows_environment(
    tmp_path: Path,
) -> None:
    workflow = Workflow(name="w", env={"MINE": "1"})
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "one"), workflow=workflow)
    worker, commands = place.worker()
    ticks(worker)
    (order,) = commands.orders
    assert order.directory == f"{tmp_path}/out"
    assert order.stdout == order.stderr
    assert order.append
    wanted = {"TORC_WORKFLOW_ID", "TORC_RUN_ID", "TORC_ACTION_ID", "TORC_OUTPUT_DIR", "MINE"}
    assert wanted <= set(order.env)
    assert order.env["TORC_WORKFLOW_SUBMISSION_DIR"] == str(tmp_path)


def test_an_action_that_is_made_once_more_keeps_the_log_of_its_first_time(tmp_path: Path) -> None:
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "one"))
    worker, commands = place.worker()
    ticks(worker)
    commands.end("one", 1)
    ticks(worker)
    place.store.retry_action(place.action().id)
    place.clock.sleep(1)
    ticks(worker)
    commands.end("one")
    ticks(worker)
    first, second = place.store.rows(ActionRun).items
    assert (first.return_code, second.return_code) == (1, 0)
    assert first.log_path != second.log_path


# ── the worker's end ─────────────────────────────────────────────────────────


def test_before_it_leaves_a_worker_does_what_is_due_in_order(tmp_path: Path) -> None:
    place = Place(
        tmp_path,
        running(T.ON_WORKER_COMPLETE, "last"),
        running(T.ON_WORKFLOW_COMPLETE, "all over"),
        running(T.ON_JOBS_COMPLETE, "a over", jobs=(0,)),
    )
    worker, commands = place.worker()
    ticks(worker)
    commands.end("a")
    for name in ("a over", "all over", "last"):
        ticks(worker, 5)
        assert commands.names() == [name]
        commands.end(name)
    until_it_leaves(place, worker)
    assert [code for code, _ in place.runs()] == [0, 0, 0]


def test_a_worker_that_leaves_early_leaves_the_workflows_end_to_the_last(tmp_path: Path) -> None:
    both = running(T.ON_WORKFLOW_COMPLETE, "all over"), running(T.ON_WORKER_COMPLETE, "last")
    place = Place(tmp_path, *both)
    first, doing = place.worker()
    second, idle = place.worker()
    ticks(first)
    ticks(second)
    assert idle.names() == ["last"]
    idle.end("last")
    until_it_leaves(place, second)
    doing.end("a")
    ticks(first, 4)
    assert doing.names() == ["all over"]


def test_at_the_allocations_end_commands_are_ended_and_the_last_ones_still_have_time(
    tmp_path: Path,
) -> None:
    gate = running(T.ON_JOBS_COMPLETE, "long", jobs=(0,))
    place = Place(tmp_path, gate, running(T.ON_WORKER_COMPLETE, "last"), jobs=("a", "b"))
    end = place.clock.now() + 1000
    worker, commands = place.worker(end_time=end)
    ticks(worker)
    commands.end("a")
    place.clock.sleep(1)
    ticks(worker)
    place.clock.sleep(end - 90 - place.clock.now())
    ticks(worker, 1)
    assert sorted(commands.signals) == [("b", "TERM"), ("long", "TERM")]
    commands.end("b", None, 15)
    commands.end("long", None, 15)
    ticks(worker)
    assert commands.names() == ["last"]
    assert place.runs()[0] == (
        143,
        "ended in command 1 of 1, 'long': the allocation's end was near",
    )
    place.clock.sleep(end - 30 - place.clock.now())
    ticks(worker, 1)
    assert commands.signals[-1] == ("last", "TERM")
    place.clock.sleep(15)
    ticks(worker)
    assert commands.signals[-1] == ("last", "KILL")
    until_it_leaves(place, worker)
    assert place.runs()[1][0] == 137


def test_an_interrupt_ends_commands_and_a_second_one_also_the_last(tmp_path: Path) -> None:
    place = Place(
        tmp_path, running(T.ON_WORKFLOW_START, "long"), running(T.ON_WORKER_COMPLETE, "last")
    )
    worker, commands = place.worker()
    ticks(worker)
    worker.interrupt()
    ticks(worker, 1)
    assert commands.signals == [("long", "TERM")]
    commands.end("long", None, 15)
    ticks(worker)
    assert commands.names() == ["last"]
    place.clock.sleep(60)
    ticks(worker)
    assert commands.names() == ["last"]
    worker.interrupt()
    until_it_leaves(place, worker)
    assert [code for code, _ in place.runs()] == [143, 137]
    assert place.statuses() == {"a": "ready"}


def test_a_worker_that_slurm_ends_begins_nothing_any_more(tmp_path: Path) -> None:
    place = Place(tmp_path, running(T.ON_WORKER_COMPLETE, "last"))
    worker, commands = place.worker(interrupt_means=Stopped.ALLOCATION, kill_wait_s=30.0)
    ticks(worker)
    worker.interrupt()
    ticks(worker)
    commands.end("a", None, 15)
    until_it_leaves(place, worker)
    assert place.runs() == []


def test_a_worker_of_a_canceled_workflow_still_clears_up(tmp_path: Path) -> None:
    place = Place(
        tmp_path, running(T.ON_WORKFLOW_COMPLETE, "x"), running(T.ON_WORKER_COMPLETE, "last")
    )
    worker, commands = place.worker()
    ticks(worker)
    place.store.cancel(place.id)
    place.clock.sleep(1)
    ticks(worker)
    commands.end("a", None, 15)
    ticks(worker)
    assert commands.names() == ["last"]
    commands.end("last")
    until_it_leaves(place, worker)


def test_what_a_killed_worker_was_doing_is_lost_when_it_is_given_up(tmp_path: Path) -> None:
    place = Place(tmp_path, running(T.ON_WORKFLOW_START, "long"))
    worker, _ = place.worker()
    ticks(worker)
    (node,) = place.store.rows(ComputeNode).items
    place.store.abandon(node.id)
    ((code, reason),) = place.runs()
    assert code is None
    assert (reason or "").startswith("lost")
