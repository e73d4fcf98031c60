"""Which actions may fire again, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurmtorc.model import Action, ActionType, JobStatus, TriggerType
from slurmtorc.rules.triggers import no_retry, verdict

S, T = JobStatus, TriggerType

CASES = [
    (T.ON_WORKFLOW_START, [], False, "is no new start"),
    (T.ON_WORKFLOW_COMPLETE, [], True, "completes again"),
    (T.ON_WORKER_START, [], True, "new workers start"),
    (T.ON_WORKER_COMPLETE, [], True, "new workers"),
    (T.ON_JOBS_COMPLETE, [S.COMPLETED], False, "the job it is about is over and stays so"),
    (T.ON_JOBS_COMPLETE, [S.COMPLETED, S.FAILED, S.CANCELED, S.TERMINATED], False, "all 4 jobs"),
    (T.ON_JOBS_COMPLETE, [S.COMPLETED, S.UNINITIALIZED], True, "1 of the 2 jobs"),
    (T.ON_JOBS_COMPLETE, [S.COMPLETED, S.PENDING_FAILED], True, "1 of the 2 jobs"),
    (T.ON_JOBS_READY, [S.UNINITIALIZED], True, "its job runs again"),
    (T.ON_JOBS_READY, [S.READY, S.BLOCKED], True, "2 of the 2 jobs it is about run again"),
    (T.ON_JOBS_READY, [S.COMPLETED, S.COMPLETED], False, "all 2 jobs"),
    (T.ON_JOBS_READY, [S.COMPLETED, S.PENDING_FAILED], False, "all 2 jobs"),
    (T.ON_JOBS_READY, [S.COMPLETED, S.DISABLED], False, "the job it is about is over"),
    (T.ON_JOBS_COMPLETE, [S.DISABLED], False, "never fires"),
    (T.ON_JOBS_COMPLETE, [], False, "never fires"),
]


@pytest.mark.parametrize(("trigger", "gates", "again", "reason"), CASES)
def test_an_action_is_armed_again_if_what_it_waits_for_happens_again(
    trigger: TriggerType, gates: list[JobStatus], again: bool, reason: str
) -> None:
    found = verdict(trigger, gates)
    assert found.again is again
    assert reason in found.reason


@pytest.mark.parametrize("trigger", TriggerType)
def test_a_new_lifetime_arms_everything(trigger: TriggerType) -> None:
    assert verdict(trigger, [S.COMPLETED], anew=True).again


def test_jobs_are_named_where_names_are_given() -> None:
    gates, names = [S.COMPLETED, S.UNINITIALIZED, S.READY], ["a", "b", "c"]
    assert verdict(T.ON_JOBS_READY, gates[:2], names=names[:2]).reason == "b runs again"
    assert verdict(T.ON_JOBS_READY, gates, names=names).reason == "b and 1 other run again"


EXECUTED = Action(
    trigger_type=T.ON_JOBS_COMPLETE,
    action_type=ActionType.RUN_COMMANDS,
    action_config={},
    trigger_count=2,
    required_triggers=2,
    executed=True,
)


@pytest.mark.parametrize(
    ("action", "runs", "why_not"),
    [
        (EXECUTED, False, None),
        (EXECUTED, True, "is being executed"),
        (replace(EXECUTED, executed=False), False, "has not been executed"),
        (replace(EXECUTED, trigger_count=1), False, "(1 of 2)"),
        (replace(EXECUTED, persistent=True), False, "is persistent"),
    ],
)
def test_only_what_was_executed_and_whose_condition_holds_is_retried(
    action: Action, runs: bool, why_not: str | None
) -> None:
    found = no_retry(action, runs=runs)
    assert (found is None) if why_not is None else (why_not in (found or ""))
