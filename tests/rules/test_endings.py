"""The one table of endings."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from slurmtorc.model import Ending, JobStatus, SlurmState
from slurmtorc.rules.endings import Stopped, judge

S, E = JobStatus, Ending


@pytest.mark.parametrize(
    ("what", "code", "status", "ending"),
    [
        ({"code": 0}, 0, S.COMPLETED, E.EXIT),
        ({"code": 0, "missing_output": True}, 1, S.FAILED, E.MISSING_OUTPUT),
        ({"code": 3}, 3, S.FAILED, E.EXIT),
        ({"code": 152}, 152, S.FAILED, E.EXIT),
        ({"signal": 9}, 137, S.FAILED, E.EXIT),
        ({"signal": 15}, 143, S.FAILED, E.EXIT),
        ({"slurm": SlurmState.TIMEOUT}, 152, S.TERMINATED, E.TIMEOUT),
        ({"signal": 15, "slurm": SlurmState.TIMEOUT}, 152, S.TERMINATED, E.TIMEOUT),
        ({"signal": 9, "stopped": Stopped.DEADLINE}, 152, S.TERMINATED, E.TIMEOUT),
        ({"code": 7, "stopped": Stopped.DEADLINE}, 152, S.TERMINATED, E.TIMEOUT),
        ({"slurm": SlurmState.OUT_OF_MEMORY}, 137, S.FAILED, E.OOM),
        ({"signal": 9, "stopped": Stopped.MEMORY}, 137, S.FAILED, E.OOM),
        ({"signal": 15, "slurm": SlurmState.CANCELLED}, 143, S.TERMINATED, E.CANCELED),
        ({"signal": 15, "stopped": Stopped.CANCELED}, 143, S.TERMINATED, E.CANCELED),
        ({"signal": 15, "stopped": Stopped.INTERRUPTED}, 143, S.TERMINATED, E.CANCELED),
        ({"slurm": SlurmState.NODE_FAIL}, 143, S.TERMINATED, E.NODE_FAIL),
        ({"slurm": SlurmState.PREEMPTED}, 143, S.TERMINATED, E.PREEMPTED),
        ({}, -128, S.FAILED, E.ORPHANED),
        ({"slurm": SlurmState.UNKNOWN}, -128, S.FAILED, E.ORPHANED),
        ({"slurm": SlurmState.COMPLETED}, -128, S.FAILED, E.ORPHANED),
    ],
)
def test_the_table(what: dict[str, Any], code: int, status: JobStatus, ending: Ending) -> None:
    verdict = judge(what.pop("code", None), **what)
    assert (verdict.return_code, verdict.status, verdict.ending) == (code, status, ending)


def test_exit_0_wins_over_everything() -> None:
    for stopped, slurm in itertools.product([None, *Stopped], [None, *SlurmState]):
        assert judge(0, stopped=stopped, slurm=slurm).status is S.COMPLETED


def test_152_as_a_verdict_of_ours_never_comes_from_a_cancel() -> None:
    for code, signal in ((None, 15), (None, 9), (1, None), (None, None)):
        for stopped in (None, Stopped.CANCELED, Stopped.INTERRUPTED):
            verdict = judge(code, signal, stopped=stopped, slurm=SlurmState.CANCELLED)
            assert verdict.return_code == 143
