"""One look, one decision."""

from __future__ import annotations

from typing import Any

import pytest

from slurmtorc.model import JobStatus, Progress
from slurmtorc.rules.watching import Sighting, Stop, Wait, decide

S = JobStatus


def a_sighting(counts: dict[JobStatus, int], **values: Any) -> Sighting:
    progress = Progress(
        workflow_id=1, run_id=1, counts=counts, is_canceled=values.pop("canceled", False)
    )
    given = {"now": 1000.0, "on_record": 0, "in_slurm": 0, "gone_since": None, "workers": 0}
    return Sighting(progress=progress, **given | values)


WORK = {S.COMPLETED: 1, S.READY: 2, S.BLOCKED: 1}


@pytest.mark.parametrize(
    ("seen", "exit_code", "reason"),
    [
        (a_sighting({S.COMPLETED: 3}), 0, "all 3 jobs are completed"),
        (a_sighting({S.COMPLETED: 3, S.DISABLED: 1}, on_record=2, in_slurm=2), 0, "completed"),
        (a_sighting({S.COMPLETED: 2, S.FAILED: 1, S.CANCELED: 4}), 1, "5 of 7 jobs did not"),
        (a_sighting(WORK, canceled=True, workers=3), 4, "canceled"),
        (a_sighting(WORK), 3, "3 jobs are left (2 ready), and no allocation"),
        (a_sighting(WORK, on_record=1, gone_since=699), 3, "all allocations are gone"),
        (a_sighting(WORK, workers=1), None, "1 workers are active"),
        (a_sighting(WORK, on_record=2, in_slurm=2), None, "2 allocations are in Slurm's queue"),
        (a_sighting(WORK, on_record=1, in_slurm=None, gone_since=1), None, "does not answer"),
        (a_sighting(WORK, on_record=1, gone_since=701), None, "before that is believed"),
        (a_sighting(WORK, on_record=1), None, "before that is believed"),
        (a_sighting(WORK, on_record=1, gone_since=1, workers=1), None, "active"),
    ],
)
def test_the_table(seen: Sighting, exit_code: int | None, reason: str) -> None:
    decision = decide(seen)
    assert isinstance(decision, Wait if exit_code is None else Stop)
    assert reason in decision.reason
    assert getattr(decision, "exit_code", None) == exit_code
