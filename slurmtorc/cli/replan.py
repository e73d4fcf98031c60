"""What the next run of a workflow would be, for people and as JSON: jobs, actions, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.cli.render import emit_table, note
from slurmtorc.rules.staleness import say
from slurmtorc.rules.wording import counted, does
from slurmtorc.schedule.reinit import told
from slurmtorc.units import iso_time

if TYPE_CHECKING:
    from slurmtorc.rules.staleness import Reason
    from slurmtorc.schedule.reinit import ReinitPlan

MOST = 1000
"""Rows of a table; JSON has all."""


def show(plan: ReinitPlan, *, stderr: bool = False) -> None:
    """Tables of jobs and of actions, and what stays blocked."""
    jobs = [
        (job_id, plan.jobs[job_id].name, plan.jobs[job_id].status.word, told(reasons))
        for job_id, reasons in list(plan.reasons.items())[:MOST]
    ]
    workflow = plan.workflow
    title = f"Jobs of workflow {workflow.id} that run again in run {workflow.run_id + 1}"
    empty = f"Nothing of workflow {workflow.id} must run again."
    if plan.is_needed:  # it was canceled
        waiting = f"{counted(plan.waiting, 'job')} that {does(plan.waiting, 'wait')}"
        empty = f"Run {workflow.run_id + 1} of workflow {workflow.id} begins for {waiting}."
    emit_table(title, ("ID", "Name", "Was", "Why"), jobs, empty=empty, stderr=stderr)
    if len(plan.reasons) > MOST:
        note(f"{counted(len(plan.reasons) - MOST, 'job')} more; -f json has all of them")
    if plan.waiting and not plan.workflow.is_canceled:
        verb = "is" if plan.waiting == 1 else "are"
        waiting = counted(plan.waiting, "job")
        note(f"{waiting} of run {workflow.run_id} {verb} still to run, as before")
    if plan.actions and plan.is_needed:
        _show_actions(plan, stderr=stderr)
    for job_id, culprit in list(plan.held_back.items())[:MOST]:
        what = f"job {job_id} ({plan.jobs[job_id].name}) stays blocked"
        by = f"job {culprit} ({plan.jobs[culprit].name}) before it is disabled"
        note(f"torc: warning: {what}: {by}; torc jobs enable {culprit}, or disable both")


def _show_actions(plan: ReinitPlan, *, stderr: bool) -> None:
    rows = (
        (
            action.id,
            action.trigger_type.value,
            action.action_type.value,
            _becomes(executed=action.executed, again=verdict.again),
            verdict.reason,
        )
        for action, verdict in plan.actions
    )
    columns = ("ID", "Trigger", "Type", "Becomes", "Why")
    emit_table("Actions", columns, rows, empty="No actions.", stderr=stderr)


def _becomes(*, executed: bool, again: bool) -> str:
    if again:
        return "armed again" if executed else "armed"
    return "stays executed" if executed else "stays armed"


def as_json(plan: ReinitPlan) -> dict[str, Any]:
    """The whole plan."""
    return {
        "workflow_id": plan.workflow.id,
        "run_id": plan.workflow.run_id + (1 if plan.is_needed else 0),
        "restart": plan.anew,
        "jobs": [
            {
                "id": job_id,
                "name": plan.jobs[job_id].name,
                "was": plan.jobs[job_id].status.word,
                "reasons": [_reason(reason) for reason in reasons],
            }
            for job_id, reasons in plan.reasons.items()
        ],
        "actions": [
            {
                "id": action.id,
                "trigger_type": action.trigger_type.value,
                "action_type": action.action_type.value,
                "executed": action.executed,
                "rearmed": verdict.again,
                "reason": verdict.reason,
            }
            for action, verdict in plan.actions
        ],
        "stays_blocked": [
            {"id": job_id, "name": plan.jobs[job_id].name, "disabled_job_id": culprit}
            for job_id, culprit in plan.held_back.items()
        ],
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "cause": reason.cause.value,
        "what": reason.what or None,
        "when": iso_time(reason.when),
        "text": say(reason),
    }
