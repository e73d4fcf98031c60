"""What a workflow has come to: the table every command ends with, and the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.reading import every
from slurmtorc.cli.render import console, emit_json, note
from slurmtorc.model import (
    Action,
    ActionRun,
    Allocation,
    AllocationStatus,
    ComputeNode,
    Job,
    JobStatus,
    Result,
    Workflow,
)
from slurmtorc.ports import NEWEST, Page
from slurmtorc.units import display_seconds

if TYPE_CHECKING:
    from slurmtorc.model import Progress
    from slurmtorc.ports import Store

FAILURES_SHOWN = 10
TAIL_LINES = 10

STYLES = {
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.TERMINATED: "red",
    JobStatus.CANCELED: "yellow",
    JobStatus.PENDING_FAILED: "yellow",
    JobStatus.RUNNING: "cyan",
}


def emit_summary(store: Store, workflow_id: int, *, as_json: bool) -> None:
    """Jobs by status, and the failures with their last words."""
    progress = store.progress(workflow_id)
    if as_json:
        emit_json(summary(store, progress))
        return
    _table(store, progress)
    _failures(store, workflow_id)
    for action, run in bad_actions(store, workflow_id):
        note(told_of_action(action, run))


def summary(store: Store, progress: Progress) -> dict[str, Any]:
    """The keys of torc's status, and the failures."""
    workflow = store.get(Workflow, progress.workflow_id)
    return {
        "workflow_id": workflow.id,
        "workflow_name": workflow.name,
        "workflow_user": workflow.user,
        "run_id": workflow.run_id,
        "total_jobs": progress.total,
        "jobs_by_status": {s.word: progress.counts.get(s, 0) for s in JobStatus},
        "active_compute_nodes": _count(store, ComputeNode, workflow.id, is_active=True),
        "active_scheduled_nodes": _allocations(store, workflow.id, AllocationStatus.ACTIVE),
        "pending_scheduled_nodes": _allocations(store, workflow.id, AllocationStatus.PENDING),
        "is_complete": progress.is_complete,
        "is_canceled": progress.is_canceled,
        "failures": [_failure(result) for result in failures(store, workflow.id)],
        "failed_actions": [
            {
                "id": action.id,
                "trigger_type": action.trigger_type.value,
                "status": "lost" if run.return_code is None else "failed",
                "reason": run.reason,
            }
            for action, run in bad_actions(store, workflow.id)
        ],
    }


def _allocations(store: Store, workflow_id: int, status: AllocationStatus) -> int:
    return _count(store, Allocation, workflow_id, status=status)


def _count(store: Store, kind: type[Any], workflow_id: int, **where: Any) -> int:
    return store.rows(kind, Page(limit=1), workflow_id=workflow_id, **where).total_count


def failures(store: Store, workflow_id: int) -> list[Result]:
    """The results that made jobs fail, the first ones first."""
    unsuccessful = [JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED]
    jobs = store.rows(Job, Page(limit=FAILURES_SHOWN), workflow_id=workflow_id, status=unsuccessful)
    found = []
    for job in jobs.items:
        found += store.rows(Result, NEWEST, job_id=job.id, superseded=False).items
    return found


def bad_actions(store: Store, workflow_id: int) -> list[tuple[Action, ActionRun]]:
    """Actions that failed or were lost in the present run, and how; not those that were mended."""
    run_id = store.get(Workflow, workflow_id).run_id
    runs = list(every(store, ActionRun, workflow_id=workflow_id, run_id=run_id))
    if not runs:
        return []
    found = every(store, Action, workflow_id=workflow_id, is_recovery=False)
    actions = {action.id: action for action in found}
    bad: dict[int, ActionRun] = {}
    for run in sorted(runs, key=lambda each: each.id):
        if run.end_time is not None and run.return_code != 0:
            bad[run.action_id] = run
        elif run.action_id in actions and not actions[run.action_id].persistent:
            bad.pop(run.action_id, None)
    return [(actions[number], run) for number, run in bad.items() if number in actions]


def told_of_action(action: Action, run: ActionRun) -> str:
    """What became of an action, and what can be done about it."""
    did = "was lost" if run.return_code is None else "failed"
    why = (run.reason or "nobody knows why").removeprefix("lost: ")
    logs = f"; see torc actions logs {action.id}" if run.log_path else ""
    again = "" if action.persistent else f"; again: torc actions retry {action.id}"
    return f"Action {action.id} ({action.trigger_type.value}) {did}: {why}{logs}{again}"


def _failure(result: Result) -> dict[str, Any]:
    return {
        "job_id": result.job_id,
        "job_name": result.job_name,
        "attempt_id": result.attempt_id,
        "return_code": result.return_code,
        "status": result.status.word,
        "ending": result.ending.value,
        "stderr_path": result.stderr_path,
        "stderr_tail": result.stderr_tail,
    }


def _table(store: Store, progress: Progress) -> None:
    from rich.table import Table
    from rich.text import Text

    workflow = store.get(Workflow, progress.workflow_id)
    state = ", canceled" if progress.is_canceled else ""
    click.echo(f"\nWorkflow {workflow.id} ({workflow.name}), run {workflow.run_id}{state}")
    table = Table()
    table.add_column("Status")
    table.add_column("Jobs", justify="right")
    for status in JobStatus:
        if count := progress.counts.get(status):
            table.add_row(Text(status.word, style=STYLES.get(status, "")), str(count))
    table.add_section()
    table.add_row("total", str(progress.total))
    console().print(table)
    if line := _there(store, workflow.id):
        click.echo(line)


def _there(store: Store, workflow_id: int) -> str:
    """'Allocations: 2 active, 1 pending. Workers: 3.', or nothing for a workflow without any."""
    counted = {
        status.value: _allocations(store, workflow_id, status)
        for status in AllocationStatus
        if status is not AllocationStatus.COMPLETE
    }
    allocations = ", ".join(f"{count} {word}" for word, count in counted.items() if count)
    workers = _count(store, ComputeNode, workflow_id, is_active=True)
    parts = {"Allocations": allocations, "Workers": str(workers) if workers else ""}
    return " ".join(f"{name}: {value}." for name, value in parts.items() if value)


def _visible(line: str) -> str:
    """A line of somebody's output, without what would move the cursor or change colours."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def _failures(store: Store, workflow_id: int) -> None:
    """Each failure with where its output is, and the end of it."""
    found = failures(store, workflow_id)
    for result in found:
        took = display_seconds(result.exec_time_s)
        what = f"return code {result.return_code} ({result.ending.value})"
        click.echo(f"\n{result.job_name}: {result.status.word}, {what}, after {took}")
        if result.stderr_path:
            click.echo(f"  log: {result.stderr_path}")
        for line in (result.stderr_tail or "").splitlines()[-TAIL_LINES:]:
            click.echo(f"  | {_visible(line)}")
    progress = store.progress(workflow_id)
    others = sum(progress.counts.get(s, 0) for s in (JobStatus.FAILED, JobStatus.TERMINATED))
    if others > len(found):
        note(f"\n… and {others - len(found)} more: torc results list {workflow_id} --failed")
