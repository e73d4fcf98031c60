"""A TERM inside an allocation: nothing is told of a job before it is known why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import an_allocation
from test_worker import Stage, stage

from slurmtorc.model import Allocation, Job, JobStatus, SlurmState
from slurmtorc.rules.endings import Stopped
from slurmtorc.worker.doubts import Doubts
from slurmtorc.worker.inquest import Inquest

if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[..., Stage]

__all__ = ["stage"]  # a fixture

S = SlurmState


class Answer:
    """What Slurm says; None for as long as it says nothing."""

    def __init__(self) -> None:
        self.state: SlurmState | None = None
        self.asked = 0

    def __call__(self) -> SlurmState | None:
        self.asked += 1
        return self.state


def in_allocation(make: Maker, *jobs: Any, **values: Any) -> tuple[Stage, Answer]:
    """A worker of an allocation, with its jobs running."""
    given = {"interrupt_means": Stopped.ALLOCATION, **values}
    s, answer = make(*jobs, **given), Answer()
    s.worker.ports = replace(s.worker.ports, why=answer)
    s.worker._doubts = Doubts(answer)
    s.tick()
    return s, answer


@pytest.mark.parametrize(
    ("state", "code", "ending"),
    [
        (S.TIMEOUT, 152, "timeout"),
        (S.CANCELLED, 143, "canceled"),
        (S.PREEMPTED, 143, "preempted"),
        (S.NODE_FAIL, 143, "node_fail"),
    ],
)
def test_what_slurm_says_is_the_ending(
    stage: Maker, state: SlurmState, code: int, ending: str
) -> None:
    s, answer = in_allocation(stage, "a", "b")
    for _ in range(2):  # Slurm sends it twice: nobody is impatient
        s.worker.interrupt()
    s.tick()
    assert set(s.launcher.signals) == {(s.key("a"), "TERM"), (s.key("b"), "TERM")}
    s.launcher.end(s.key("a"), None, 15)
    s.launcher.end(s.key("b"), 0)
    s.tick(3)
    assert s.results() == [("b", 1, 0, "exit")]
    answer.state = state
    s.tick()
    assert s.results() == [("b", 1, 0, "exit"), ("a", 1, code, ending)]
    assert s.rest is None
    assert not s.worker.in_doubt


def test_without_an_answer_nothing_is_told(stage: Maker) -> None:
    s, answer = in_allocation(stage, "a", "b")
    s.worker.interrupt()
    s.tick()
    s.launcher.end(s.key("a"), 7)
    s.until_it_leaves()
    assert answer.asked > 1
    assert s.worker.in_doubt
    assert s.results() == []
    assert s.statuses() == {"a": "running", "b": "running"}
    assert (s.key("b"), "KILL") in s.launcher.signals


@pytest.mark.parametrize(("kill_wait", "graceful"), [(0.0, 2.0), (30.0, 27.0)])
def test_jobs_have_almost_all_the_time_that_slurm_gives(
    stage: Maker, kill_wait: float, graceful: float
) -> None:
    s, _ = in_allocation(stage, "a", kill_wait_s=kill_wait)
    s.worker.interrupt()
    s.tick()
    s.clock.sleep(graceful - 0.1)
    s.tick()
    assert s.launcher.signals == [(s.key("a"), "TERM")]
    s.clock.sleep(0.1)
    s.tick()
    assert s.launcher.signals[-1] == (s.key("a"), "KILL")


def test_a_job_that_slurms_signal_reached_first_waits_for_the_workers_own(stage: Maker) -> None:
    s, answer = in_allocation(stage, "a", "b", "c", cpus=3)
    s.launcher.end(s.key("a"), None, 15)
    s.launcher.end(s.key("b"), 3)
    s.tick()
    assert s.results() == [("b", 1, 3, "exit")]
    s.worker.interrupt()
    answer.state = S.TIMEOUT
    s.tick()
    assert ("a", 1, 152, "timeout") in s.results()


def test_a_job_killed_by_somebody_elses_term_is_told_soon(stage: Maker) -> None:
    s, answer = in_allocation(stage, "a")
    s.launcher.end(s.key("a"), None, 15)
    s.tick()
    assert s.results() == []
    s.clock.sleep(0.6)
    s.tick()
    assert s.results() == [("a", 1, 143, "exit")]
    assert answer.asked == 0


def test_after_the_known_end_nobody_is_asked(stage: Maker) -> None:
    s, answer = in_allocation(stage, "a", by_steps=True)
    s.worker.conduct = replace(s.worker.conduct, end_time=s.clock.now() + 100)
    s.clock.sleep(100)
    s.worker.interrupt()
    s.tick()
    s.launcher.end(s.key("a"), None, 15)
    s.tick()
    assert answer.asked == 0
    assert s.results() == [("a", 1, 152, "timeout")]


def test_workers_of_other_nodes_read_what_the_first_has_heard(stage: Maker) -> None:
    s = stage("a")
    (row,) = s.store.intend([an_allocation(s.id)])
    other = Inquest(s.store, None, s.clock, row, None)  # type: ignore[arg-type]
    assert other() is None
    s.store.observe([replace(s.store.get(Allocation, row.id), final_state=S.TIMEOUT)])
    assert other() is S.TIMEOUT


def test_steps_are_left_to_their_own_limits(stage: Maker) -> None:
    s = stage("a", "b", cpus=1, by_steps=True)
    s.worker.conduct = replace(s.worker.conduct, end_time=s.clock.now() + 200)
    s.tick()
    (running,) = s.store.rows(Job, status=JobStatus.RUNNING).items
    s.clock.sleep(150)
    s.tick()
    assert s.launcher.signals == []
    s.launcher.end(running.id, None, 15)
    s.until_it_leaves()
    assert s.launcher.signals == []
    assert len(s.results()) == 1, "no more are taken"
