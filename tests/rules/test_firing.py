"""Where an action stands, in one word and one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from slurmtorc.model import Action, ActionRun, ActionType, JobStatus, Progress, TriggerType
from slurmtorc.rules.firing import Facts, came_to, stage
from slurmtorc.rules.reasons import Named

S, T = JobStatus, TriggerType
NODES = ActionType.SCHEDULE_NODES


def an_action(trigger: TriggerType = T.ON_JOBS_COMPLETE, **values: Any) -> Action:
    given = {"action_type": ActionType.RUN_COMMANDS, "action_config": {}, "trigger_count": 1}
    return Action(trigger_type=trigger, **given | values)


def a_run(code: int | None = 0, **values: Any) -> ActionRun:
    given = {"id": 1, "action_id": 1, "run_id": 1, "hostname": "n1", "end_time": 2.0}
    return ActionRun(return_code=code, **given | values)


def facts(action: Action, *gate: JobStatus, **values: Any) -> Facts:
    jobs = [Named(at, f"job_{at}", status) for at, status in enumerate(gate)]
    counts = {status: gate.count(status) for status in gate}
    run_id, canceled = values.pop("run_id", 1), values.pop("is_canceled", False)
    progress = Progress(workflow_id=7, run_id=run_id, counts=counts, is_canceled=canceled)
    return Facts(action=action, progress=progress, gate=jobs, **values)


OPEN = an_action(trigger_count=0, required_triggers=2)
DONE = an_action(executed=True)
EACH = an_action(T.ON_WORKER_START, persistent=True)

CASES = [
    (facts(OPEN, S.BLOCKED, S.READY), "waiting", "2 of 2 jobs are not over: job_0 (blocked)"),
    (facts(OPEN, S.BLOCKED, run_id=0), "waiting", "has not begun"),
    (facts(OPEN, S.READY, is_canceled=True), "canceled", "was canceled"),
    (facts(OPEN, S.DISABLED), "never", "all jobs that it waits for are disabled"),
    (facts(OPEN), "never", "are deleted"),
    (facts(an_action(T.ON_JOBS_READY, trigger_count=0), S.BLOCKED), "waiting", "not ready"),
    (
        facts(an_action(T.ON_WORKFLOW_COMPLETE, trigger_count=0), S.READY),
        "waiting",
        "1 job is not over",
    ),
    (facts(an_action(), S.COMPLETED), "pending", "torc run 7"),
    (facts(an_action(), S.COMPLETED, workers=1), "pending", "a worker is about to"),
    (facts(an_action(action_type=NODES), S.READY), "pending", "torc submit 7"),
    (facts(an_action(action_type=NODES), S.COMPLETED), "pending", "nothing is left to run"),
    (facts(EACH), "waiting", "each worker does, when it starts"),
    (facts(an_action(T.ON_WORKER_COMPLETE)), "waiting", "the first worker does, when it ends"),
    (facts(EACH, runs=[a_run(), a_run()]), "executed", "by 2 workers"),
    (facts(EACH, runs=[a_run(run_id=0)]), "waiting", "each worker"),
    (facts(EACH, runs=[a_run(), a_run(1, reason="no")]), "failed", "on 1 of 2 workers; no"),
    (facts(DONE), "superseded", "in another way"),
    (facts(DONE, runs=[a_run()]), "executed", ""),
    (facts(DONE, runs=[a_run(), a_run(3, reason="broke")]), "failed", "broke"),
    (facts(DONE, runs=[a_run(None, reason="lost: x")]), "lost", "lost: x"),
    (facts(DONE, runs=[a_run(None, end_time=None)]), "running", "on n1"),
    (
        facts(DONE, runs=[a_run(None, end_time=None, compute_node_id=4)], silent={4: 0.0}),
        "running",
        "on n1, but its worker has given no sign of life since 1970-01-01",
    ),
    (
        facts(DONE, runs=[a_run(None, end_time=None, compute_node_id=4)], silent={5: 0.0}),
        "running",
        "on n1",
    ),
]


@pytest.mark.parametrize(("known", "status", "why"), CASES)
def test_the_table(known: Facts, status: str, why: str) -> None:
    found = stage(known)
    assert found.status == status
    assert why in found.why


def test_one_execution_is_told_by_its_own_end() -> None:
    assert came_to(a_run(None, end_time=None)).status == "running"
    assert came_to(a_run(None)).status == "lost"
    assert came_to(a_run(9)).status == "failed"
