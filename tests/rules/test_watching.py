"""One look, one decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.model import Backlog, JobStatus, Progress, WatchState
from slurmtorc.rules.watching import (
    LONGEST_PAUSE_S,
    Ask,
    Clear,
    Policy,
    Recover,
    Schedule,
    Sighting,
    Stop,
    Wait,
    decide,
    pause,
)

S = JobStatus
MEMORY = WatchState(workflow_id=1, since=1000.0)
AUTO = Policy(auto_schedule=True)
HEAL = Policy(recover=True, max_retries=2)
WORK = {S.COMPLETED: 1, S.READY: 2, S.BLOCKED: 1}
LATELY, LONG_AGO = {"last_scheduled_at": 9_300.0}, {"last_scheduled_at": 9_200.0}


def a_sighting(counts: dict[JobStatus, int], **values: Any) -> Sighting:
    """A look 10,000 s after the watch began."""
    progress = Progress(
        workflow_id=1, run_id=1, counts=counts, is_canceled=values.pop("canceled", False)
    )
    ready = counts.get(S.READY, 0)
    backlog = Backlog(
        ready=ready,
        retries=values.pop("retries", 0),
        oldest_retry=values.pop("oldest", None),
    )
    memory = replace(MEMORY, **values.pop("memory", {}))
    given = {"now": 11_000.0, "progress": progress, "backlog": backlog, "memory": memory}
    return Sighting(**given | values)


@pytest.mark.parametrize(
    ("seen", "exit_code", "reason"),
    [
        (a_sighting({S.COMPLETED: 3}), 0, "all 3 jobs are completed"),
        (a_sighting({S.COMPLETED: 3, S.DISABLED: 1}, waiting=2), 0, "completed"),
        (a_sighting({S.COMPLETED: 2, S.FAILED: 1, S.CANCELED: 4}), 1, "5 of 7 jobs did not"),
        (a_sighting(WORK, canceled=True, workers=3), 4, "canceled"),
        (a_sighting(WORK), 3, "3 jobs are left (2 ready), and no allocation"),
        (a_sighting({S.READY: 1}), 3, "1 job is left (1 ready), and no allocation"),
        (a_sighting({S.BLOCKED: 2}), 3, "nothing can make them ready"),
        (a_sighting({S.PENDING_FAILED: 1, S.BLOCKED: 2}), 3, "1 waits for a decision: torc jobs"),
        (a_sighting({S.PENDING_FAILED: 2}), 3, "2 jobs are left (0 ready); 2 wait for"),
        (a_sighting(WORK, workers=1), None, "1 worker active"),
        (a_sighting(WORK, waiting=2, running=1), None, "queue: 2 wait, 1 run"),
        (a_sighting(WORK, doubtful=1, answered=False), None, "does not answer"),
        (a_sighting(WORK, doubtful=1), None, "before that is believed"),
        (a_sighting(WORK, doubtful=1, workers=1), None, "active"),
    ],
)
def test_the_table(seen: Sighting, exit_code: int | None, reason: str) -> None:
    choice = decide(seen, Policy())
    assert isinstance(choice, Wait if exit_code is None else Stop)
    assert reason in choice.reason
    assert getattr(choice, "exit_code", None) == exit_code


# ── auto-schedule ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (a_sighting(WORK), "no_allocation"),
        (a_sighting(WORK, waiting=1), None),
        (a_sighting(WORK, running=1), None),
        (a_sighting(WORK, doubtful=1), None),
        (a_sighting(WORK, workers=1), None),
        (a_sighting({S.BLOCKED: 3}), None),
        (a_sighting(WORK, running=1, retries=5), "threshold"),
        (a_sighting(WORK, running=1, retries=4), None),
        (a_sighting(WORK, running=1, retries=5, memory={"since": 9_201.0}), None),
        (a_sighting(WORK, running=1, retries=5, memory={"since": 9_200.0}), "threshold"),
        (a_sighting(WORK, running=1, retries=9, memory=LATELY), None),
        (a_sighting(WORK, running=1, retries=9, memory=LONG_AGO), "threshold"),
        (a_sighting(WORK, running=1, retries=1, oldest=3_801.0), None),
        (a_sighting(WORK, running=1, retries=1, oldest=3_800.0), "stranded"),
        (
            a_sighting(WORK, running=1, retries=1, oldest=3_800.0, memory=LATELY),
            None,
        ),
    ],
)  # fmt: skip
def test_nodes_are_asked_for_by_three_rules(seen: Sighting, rule: str | None) -> None:
    choice = decide(seen, AUTO)
    assert isinstance(choice, Schedule) == (rule is not None)
    if isinstance(choice, Schedule):
        assert choice.rule == rule
        assert choice.only_retries == (rule != "no_allocation")
    assert not isinstance(decide(seen, Policy()), Schedule)


def test_a_threshold_of_none_takes_any_and_a_timeout_of_none_takes_nobody() -> None:
    one = a_sighting(WORK, running=1, retries=1, oldest=0.0)
    assert decide(one, replace(AUTO, threshold=0)).rule == "threshold"
    assert decide(one, replace(AUTO, stranded_s=0.0)).rule == "queue"
    none = a_sighting(WORK, running=1)
    assert decide(none, replace(AUTO, threshold=0)).rule == "queue"


def test_after_failures_the_next_try_waits() -> None:
    paused = {"schedule_failures": 3, "not_before": 11_100.0}
    choice = decide(a_sighting(WORK, memory=paused), AUTO)
    assert isinstance(choice, Wait)
    assert "3 times in a row nothing came of asking: next try in 100 s" in choice.reason
    over = {"schedule_failures": 3, "not_before": 11_000.0}
    assert isinstance(decide(a_sighting(WORK, memory=over), AUTO), Schedule)


@given(st.integers(0, 10_000))
def test_pauses_grow_up_to_an_hour(failures: int) -> None:
    assert 0 <= pause(failures) <= pause(failures + 1) <= LONGEST_PAUSE_S
    assert (pause(failures) > 0) == (failures > 0)


# ── recovery ─────────────────────────────────────────────────────────────────

FAILED = {S.COMPLETED: 1, S.FAILED: 2}


@pytest.mark.parametrize(
    ("seen", "kind", "reason"),
    [
        (a_sighting(FAILED), Recover, "2 of 3 jobs did not complete"),
        (a_sighting(FAILED, memory={"recoveries": 1}), Recover, "2 of 3"),
        (a_sighting(FAILED, memory={"recoveries": 2}), Stop, "max retries (2) is reached"),
        (a_sighting(FAILED, waiting=1), Clear, "1 allocation and 0 workers end first"),
        (a_sighting(FAILED, workers=1), Clear, "0 allocations and 1 worker"),
        (a_sighting({S.COMPLETED: 3}), Stop, "all 3 jobs"),
        (a_sighting(FAILED, canceled=True), Stop, "canceled"),
        (a_sighting(WORK, workers=1), Wait, "active"),
    ],
)
def test_failures_are_recovered_when_the_run_is_over(
    seen: Sighting, kind: type, reason: str
) -> None:
    choice = decide(seen, HEAL)
    assert type(choice) is kind
    assert reason in choice.reason


def test_without_a_limit_recovery_goes_on() -> None:
    often = a_sighting(FAILED, memory={"recoveries": 99})
    assert isinstance(decide(often, Policy(recover=True)), Recover)


# ── laws ─────────────────────────────────────────────────────────────────────

SMALL = st.integers(0, 3)


@given(
    counts=st.dictionaries(st.sampled_from(list(S)), SMALL),
    where=st.fixed_dictionaries(
        dict.fromkeys(("waiting", "running", "doubtful", "workers", "retries"), SMALL)
    ),
    policy=st.builds(Policy, auto_schedule=st.booleans(), recover=st.booleans()),
)
def test_a_watch_never_stops_while_something_can_still_happen(
    counts: dict[JobStatus, int], where: dict[str, int], policy: Policy
) -> None:
    seen = a_sighting(counts, **where)
    choice = decide(seen, policy)
    assert choice.reason
    if isinstance(choice, Stop) and not seen.progress.is_complete:
        assert (seen.waiting, seen.running, seen.doubtful, seen.workers) == (0, 0, 0, 0)
        assert choice.exit_code == 3
    if isinstance(choice, Schedule):
        assert policy.auto_schedule
        assert seen.backlog.ready


# ── an agent ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("counts", "unshown", "asked"),
    [
        ({S.PENDING_FAILED: 2, S.BLOCKED: 1, S.COMPLETED: 3}, 2, True),
        ({S.PENDING_FAILED: 2, S.BLOCKED: 1}, 0, False),
        ({S.PENDING_FAILED: 2, S.READY: 1}, 2, False),
        ({S.PENDING_FAILED: 2, S.PENDING: 1}, 2, False),
        ({S.PENDING_FAILED: 2, S.RUNNING: 1}, 2, False),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_an_agent_is_asked_once_nothing_else_can_run(
    counts: dict[JobStatus, int], unshown: int, asked: bool, workers: int
) -> None:
    seen = a_sighting(counts, unshown=unshown, workers=workers)
    assert isinstance(decide(seen, Policy(ask_agent=True)), Ask) is asked
    assert not isinstance(decide(seen, Policy()), Ask)
