"""Whether an idle worker stays."""

from __future__ import annotations

import pytest

from slurmtorc.model import JobStatus, Outlook
from slurmtorc.rules.idling import Leave, Stay, decide

S = JobStatus


def an_outlook(*present: JobStatus, is_canceled: bool = False) -> Outlook:
    return Outlook(is_canceled=is_canceled, present=frozenset(present))


@pytest.mark.parametrize(
    ("outlook", "idle_s", "patient", "stays", "stuck", "reason"),
    [
        (an_outlook(), 0, True, False, False, "all jobs are done"),
        (an_outlook(S.RUNNING, is_canceled=True), 0, True, False, False, "canceled"),
        (an_outlook(S.RUNNING), 0, False, False, False, "the last jobs run on other workers"),
        (an_outlook(S.RUNNING), 999, True, True, False, "other workers"),
        (an_outlook(S.RUNNING, S.BLOCKED), 0, False, True, False, "may become ready"),
        (an_outlook(S.PENDING, S.BLOCKED), 89.9, False, True, False, "may become ready"),
        (an_outlook(S.RUNNING, S.BLOCKED), 90, False, False, False, "nothing to do for 90 s"),
        (an_outlook(S.RUNNING, S.READY), 0, False, True, False, "may become ready"),
        (an_outlook(S.READY, S.BLOCKED), 0, True, False, True, "does not fit"),
        (an_outlook(S.BLOCKED), 0, True, False, True, "wait for jobs that will not run"),
        (an_outlook(S.BLOCKED, S.PENDING_FAILED), 0, True, False, True, "set aside"),
        (an_outlook(S.UNINITIALIZED), 0, True, False, True, "not been initialized"),
    ],
)
def test_the_table(
    outlook: Outlook, idle_s: float, patient: bool, stays: bool, stuck: bool, reason: str
) -> None:
    decision = decide(outlook, idle_s=idle_s, idle_limit_s=90, patient=patient)
    assert isinstance(decision, Stay if stays else Leave)
    assert reason in decision.reason
    assert getattr(decision, "stuck", False) is stuck


@pytest.mark.parametrize(
    ("outlook", "idle_s", "stays"),
    [
        (an_outlook(S.RUNNING), 0, True),
        (an_outlook(S.RUNNING, S.BLOCKED), 999, True),
        (an_outlook(S.READY), 999, True),
        (an_outlook(), 0, False),
    ],
)
def test_a_worker_stays_while_it_executes_an_action_unless_all_is_over(
    outlook: Outlook, idle_s: float, stays: bool
) -> None:
    decision = decide(outlook, idle_s=idle_s, idle_limit_s=90, acts=True)
    assert isinstance(decision, Stay if stays else Leave)
