"""Steps' ends: what srun says, what accounting says, and which of them is believed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_need

from slurmtorc.clock import ManualClock
from slurmtorc.errors import SlurmUnavailable
from slurmtorc.model import Capacity, Habits, SlurmState, StepEntry
from slurmtorc.ports import Exit, Order
from slurmtorc.worker.clerk import Clerk
from slurmtorc.worker.srun import Allotment, SrunLauncher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

S = SlurmState
STEP = "wf1_j2_r3_a4"
WHOLE = Capacity(cpus=4, memory_bytes=4 << 30, gpus=1, nodes=2)


class Local:
    """Sruns that end when the test says so."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.stops: list[tuple[int, bool]] = []
        self.exits: list[Exit] = []

    def start(self, order: Order) -> None:
        self.orders[order.key] = order

    def end(self, code: int, key: int = 2) -> None:
        self.exits.append(Exit(key=key, code=code, signal=None, start_time=0.0, end_time=1.0))

    def poll(self) -> list[Exit]:
        exits, self.exits = self.exits, []
        return exits

    def stop(self, key: int, *, hard: bool) -> None:
        self.stops.append((key, hard))

    def wait(self, seconds: float, bell: int | None = None) -> bool:  # noqa: ARG002  nobody rings
        return False

    def running(self) -> Collection[int]:
        return []


class Accounting:
    """Answers one question after another; the last answer stays."""

    def __init__(self) -> None:
        self.answers: list[SlurmState | str | None] = []
        self.calls = 0
        self.signals: list[tuple[set[str], int]] = []
        self.more = threading.Event()

    def habits(self) -> Habits:
        return Habits()

    def account_steps(self, slurm_job_id: int) -> dict[str, StepEntry]:
        assert slurm_job_id == 7
        self.calls += 1
        state = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if state == "down":
            raise SlurmUnavailable("accounting is down")
        if state == "silent":
            return {}
        entry = StepEntry(name=STEP, step="0", state=state, max_rss_bytes=5)  # type: ignore[arg-type]
        return {STEP: entry}

    def signal_steps(self, slurm_job_id: int, names: Collection[str], number: int) -> None:
        assert slurm_job_id == 7
        self.signals.append((set(names), number))


@pytest.fixture
def local() -> Local:
    return Local()


@pytest.fixture
def accounting() -> Accounting:
    return Accounting()


@pytest.fixture
def launcher(local: Local, accounting: Accounting) -> SrunLauncher:
    clerk = Clerk(accounting, 7, pause=0.001)
    return SrunLauncher(local, clerk, ManualClock(), Allotment(slurm_job_id=7, whole=WHOLE))


def an_order(**values: Any) -> Order:
    given: dict[str, Any] = {"key": 2, "command": "a b", "env": {}, "directory": "/", "step": STEP}
    return Order(**given | {"need": a_need()} | values)


def until(test: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not test():
        assert time.monotonic() < end
        time.sleep(0.001)


def the_end(launcher: SrunLauncher) -> Exit:
    found: list[Exit] = []
    until(lambda: found.extend(launcher.poll()) or found)
    (exit_,) = found
    assert not launcher.running()
    return exit_


@pytest.mark.parametrize(
    ("code", "answers", "expected"),
    [
        (143, [S.TIMEOUT], (None, 15, S.TIMEOUT)),
        (137, [S.CANCELLED], (None, 9, S.CANCELLED)),
        (1, [S.OUT_OF_MEMORY], (1, None, S.OUT_OF_MEMORY)),
        (139, [S.FAILED], (None, 11, None)),
        (3, [None, "silent", "down", S.FAILED], (3, None, None)),
        (143, [None, "down", S.TIMEOUT], (None, 15, S.TIMEOUT)),
        (143, ["silent"], (None, 15, None)),
        (143, ["down"], (None, 15, None)),
        (200, [S.FAILED], (200, None, None)),
    ],
)
def test_accounting_says_why_a_step_failed(
    launcher: SrunLauncher, local: Local, accounting: Accounting, code: int,
    answers: list[SlurmState | str | None], expected: tuple[Any, ...],
) -> None:  # fmt: skip
    accounting.answers = answers
    launcher.start(an_order())
    local.end(code)
    exit_ = the_end(launcher)
    assert (exit_.code, exit_.signal, exit_.slurm_state) == expected
    assert accounting.calls <= 8


def test_success_waits_for_nobody_and_its_account_follows(
    launcher: SrunLauncher, local: Local, accounting: Accounting
) -> None:
    accounting.answers = [S.COMPLETED]
    launcher.start(an_order())
    local.end(0)
    (exit_,) = launcher.poll()
    assert (exit_.code, accounting.calls) == (0, 0)
    assert launcher.accounts() == []
    (stats,) = launcher.accounts(last=True)
    assert (stats.workflow_id, stats.job_id, stats.run_id, stats.attempt_id) == (1, 2, 3, 4)
    assert (stats.slurm_job_id, stats.step, stats.max_rss_bytes) == (7, "0", 5)
    assert launcher.accounts() == []


@pytest.mark.parametrize(
    ("answers", "code"),
    [([S.COMPLETED], 0), ([S.FAILED], None), ([S.FAILED, S.COMPLETED], 0), (["silent"], None)],
)
def test_a_stopped_srun_that_says_0_is_believed_only_if_accounting_agrees(
    launcher: SrunLauncher, local: Local, accounting: Accounting,
    answers: list[SlurmState | str | None], code: int | None,
) -> None:  # fmt: skip
    accounting.answers = answers
    launcher.start(an_order())
    launcher.stop(2, hard=False)
    until(lambda: accounting.signals)
    assert accounting.signals == [({STEP}, 15)]
    local.end(0)
    assert the_end(launcher).code == code


def test_a_step_whose_srun_complains_must_be_proven(
    launcher: SrunLauncher, local: Local, accounting: Accounting, tmp_path: Path
) -> None:
    """A lost node: srun of 22.05 exits with 0."""
    accounting.answers = [S.FAILED]
    errors = tmp_path / "e"
    errors.write_text("srun: error: Node failure on n3\n")
    launcher.start(an_order(stderr=str(errors)))
    local.end(0)
    assert the_end(launcher).signal == 15


def test_a_step_ended_by_force_needs_no_account(launcher: SrunLauncher, local: Local) -> None:
    launcher.start(an_order())
    launcher.stop(2, hard=True)
    assert local.stops == [(2, False)], "srun itself is asked, and kills its step"
    local.end(0)
    (exit_,) = launcher.poll()
    assert (exit_.code, exit_.signal) == (None, 9)


def test_a_step_that_waits_for_its_account_is_told_at_a_stop(
    launcher: SrunLauncher, local: Local, accounting: Accounting
) -> None:
    accounting.answers = ["silent"]
    launcher.start(an_order())
    local.end(143)
    assert launcher.poll() == []
    assert launcher.running() == {2}
    launcher.stop(2, hard=False)
    assert [exit_.signal for exit_ in launcher.poll()] == [15]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, "exec a b"),
        ({"command": "a | b"}, "a | b"),
        ({"need": a_need(num_cpus=99, memory="1t", num_gpus=9)}, "--mem=4096M --gres=gpu:1"),
        ({"need": None}, "--overlap --mem=0"),
        ({"nodes": ("n1",)}, "--nodelist=n1"),
    ],
)
def test_an_order_becomes_an_srun(
    launcher: SrunLauncher, local: Local, values: dict[str, Any], wanted: str
) -> None:
    launcher.start(an_order(**values))
    assert wanted in local.orders[2].command


def test_what_is_no_attempt_is_a_process_here(launcher: SrunLauncher, local: Local) -> None:
    launcher.start(an_order(key=-2, step="", command="fix"))
    assert local.orders[-2].command == "fix"
    launcher.stop(-2, hard=True)
    assert local.stops == [(-2, True)]
    local.end(1, -2)
    assert [exit_.code for exit_ in launcher.poll()] == [1]


def test_more_nodes_than_there_are_is_a_clear_error(launcher: SrunLauncher) -> None:
    launcher.start(an_order(need=a_need(num_nodes=3)))
    (exit_,) = launcher.poll()
    assert exit_.launch_error == "it needs 3 nodes, and the allocation has 2"
