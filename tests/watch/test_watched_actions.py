"""What follows the last job of a watched workflow: waited for, or done by the watch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from commands import Commands, running
from factories import a_draft, begin, run_all

from slurmtorc.clock import ManualClock
from slurmtorc.model import ActionRun, Event, TriggerType, Workflow
from slurmtorc.rules.watching import Stop, Wait
from slurmtorc.schedule.submit import Submitter
from slurmtorc.store.sql import SqlStore
from slurmtorc.watch.acts import Ports
from slurmtorc.watch.sweep import Traces
from slurmtorc.watch.watcher import Conduct, View, Watch
from slurmtorc.worker.deputy import Deputy

if TYPE_CHECKING:
    from pathlib import Path

T = TriggerType


class Scene:
    """A workflow whose jobs are all over, and a watch of it."""

    def __init__(self, folder: Path, **conduct: Any) -> None:
        self.clock = ManualClock()
        self.store = SqlStore("sqlite://", self.clock)
        workflow = Workflow(name="w", submission_directory=str(folder))
        acts = [running(T.ON_WORKFLOW_COMPLETE, "one", "two"), running(T.ON_WORKER_COMPLETE, "x")]
        self.id, self.node = begin(self.store, a_draft("a", workflow=workflow, actions=acts))
        self.store.heartbeat(self.node, 2e9)
        run_all(self.store, self.node)
        self.commands = Commands(self.clock)
        self.views: list[View] = []
        self.conduct = conduct

    def watch(self) -> Watch:
        slurm: Any = None  # there are no allocations, so nothing is asked
        ports = Ports(
            store=self.store,
            slurm=slurm,
            clock=self.clock,
            submitter=Submitter(self.store, slurm, self.clock, slurm),
            deputy=Deputy(self.store, self.commands, self.clock),
            traces=lambda *_: Traces(),
            holder="me",
        )
        workflow = self.store.get(Workflow, self.id)
        return Watch(ports, [workflow], Conduct(**self.conduct), self.views.append)

    def runs(self) -> list[tuple[int | None, int | None]]:
        return [(run.compute_node_id, run.return_code) for run in self.store.rows(ActionRun).items]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_watch_waits_for_what_workers_still_have_to_do(scene: Scene) -> None:
    watch = scene.watch()
    assert watch.tick() is not None
    choice = scene.views[-1].choice
    assert isinstance(choice, Wait)
    assert "is about to run" in choice.reason
    assert scene.commands.names() == []  # a worker is there: it is the worker's to do
    (action,) = scene.store.pending_actions(scene.id)
    by = ActionRun(action_id=action.id, compute_node_id=scene.node, hostname="n7")
    run = scene.store.claim_action(action.id, by)
    assert run is not None
    scene.clock.sleep(60)
    watch.tick()
    assert "runs on n7" in scene.views[-1].choice.reason
    scene.store.end_action(run.id, 0)
    scene.clock.sleep(60)
    assert watch.tick() is None
    assert isinstance(scene.views[-1].choice, Stop)


@pytest.mark.parametrize("once", [False, True])
def test_without_workers_a_watch_does_it_itself(tmp_path: Path, once: bool) -> None:
    scene = Scene(tmp_path, once=once)
    scene.store.abandon(scene.node)
    watch = scene.watch()
    for command in ("one", "two"):
        assert watch.tick() is not None
        assert scene.commands.names() == [command]
        scene.commands.end(command)
    assert watch.tick() is None
    assert scene.runs() == [(None, 0)]
    (order, _) = scene.commands.orders
    assert order.directory.startswith(str(tmp_path))


def test_a_dry_run_executes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, dry_run=True)
    scene.store.abandon(scene.node)
    assert scene.watch().tick() is None
    assert scene.commands.orders == []


def test_a_canceled_workflow_is_not_waited_for(scene: Scene) -> None:
    scene.store.cancel(scene.id)
    assert scene.watch().tick() is None
    assert scene.commands.orders == []


def test_a_watch_that_ends_takes_its_commands_along_and_says_so(scene: Scene) -> None:
    scene.store.abandon(scene.node)
    watch = scene.watch()
    watch.tick()
    watch.leave()
    assert scene.commands.signals == [("one", "KILL")]
    assert scene.runs() == [(None, 137)]


def test_what_a_killed_watch_was_doing_is_lost_and_not_done_again(scene: Scene) -> None:
    scene.store.abandon(scene.node)
    scene.watch().tick()
    scene.clock.sleep(1000)
    scene.commands.alive.clear()
    assert scene.watch().tick() is None
    assert scene.runs() == [(None, None)]
    (lost,) = [one for one in scene.store.rows(Event).items if one.type == "action_failed"]
    assert "the watch" in lost.data["reason"]
