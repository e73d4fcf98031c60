"""What a workflow has come to: the table every command ends with, and the same as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.render import emit_json, note, print_table
from slurmtorc.model import AllocationStatus, JobStatus
from slurmtorc.units import display_seconds

if TYPE_CHECKING:
    from slurmtorc.model import Failure, Mishap, Overview

TAIL_LINES = 10

STYLES = {
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.TERMINATED: "red",
    JobStatus.CANCELED: "yellow",
    JobStatus.PENDING_FAILED: "yellow",
    JobStatus.RUNNING: "cyan",
}


def emit_summary(seen: Overview, *, as_json: bool) -> None:
    """Jobs by status, and the failures with their last words."""
    if as_json:
        emit_json(summary(seen))
        return
    _table(seen)
    _failures(seen)
    for mishap in seen.mishaps:
        note(told_of_action(mishap))


def summary(seen: Overview) -> dict[str, Any]:
    """The keys of torc's status, and the failures."""
    progress = seen.progress
    return {
        "workflow_id": progress.workflow_id,
        "workflow_name": seen.name,
        "workflow_user": seen.user,
        "run_id": progress.run_id,
        "total_jobs": progress.total,
        "jobs_by_status": {s.word: progress.counts.get(s, 0) for s in JobStatus},
        "active_compute_nodes": seen.active_workers,
        "active_scheduled_nodes": seen.allocations.get(AllocationStatus.ACTIVE, 0),
        "pending_scheduled_nodes": seen.allocations.get(AllocationStatus.PENDING, 0),
        "is_complete": progress.is_complete,
        "is_canceled": progress.is_canceled,
        "failures": [_failure(failure) for failure in seen.failures],
        "failed_actions": [
            {
                "id": mishap.action_id,
                "trigger_type": mishap.trigger_type.value,
                "status": "lost" if mishap.return_code is None else "failed",
                "reason": mishap.reason,
            }
            for mishap in seen.mishaps
        ],
    }


def told_of_action(mishap: Mishap) -> str:
    """What became of an action, and what can be done about it."""
    number = mishap.action_id
    did = "was lost" if mishap.return_code is None else "failed"
    why = (mishap.reason or "nobody knows why").removeprefix("lost: ")
    logs = f"; see torc actions logs {number}" if mishap.log_path else ""
    again = "" if mishap.persistent else f"; again: torc actions retry {number}"
    return f"Action {number} ({mishap.trigger_type.value}) {did}: {why}{logs}{again}"


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "job_id": failure.job_id,
        "job_name": failure.job_name,
        "attempt_id": failure.attempt_id,
        "return_code": failure.return_code,
        "status": failure.status.word,
        "ending": failure.ending.value,
        "stderr_path": failure.stderr_path,
        "stderr_tail": failure.stderr_tail,
    }


def _table(seen: Overview) -> None:
    progress = seen.progress
    state = ", canceled" if progress.is_canceled else ""
    click.echo(f"\nWorkflow {progress.workflow_id} ({seen.name}), run {progress.run_id}{state}")
    counted = {s: str(progress.counts[s]) for s in JobStatus if progress.counts.get(s)}
    print_table(
        ("Status", "Jobs"),
        [(status.word, count) for status, count in counted.items()],
        right=("Jobs",),
        total=("total", str(progress.total)),
        styles={status.word: style for status, style in STYLES.items()},
    )
    if line := _there(seen):
        click.echo(line)


def _there(seen: Overview) -> str:
    """'Allocations: 2 active, 1 pending. Workers: 3.', or nothing for a workflow without any."""
    counted = {
        status.value: seen.allocations.get(status, 0)
        for status in AllocationStatus
        if status is not AllocationStatus.COMPLETE
    }
    allocations = ", ".join(f"{count} {word}" for word, count in counted.items() if count)
    workers = str(seen.active_workers) if seen.active_workers else ""
    parts = {"Allocations": allocations, "Workers": workers}
    return " ".join(f"{name}: {value}." for name, value in parts.items() if value)


def _visible(line: str) -> str:
    """A line of somebody's output, without what would move the cursor or change colours."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def _failures(seen: Overview) -> None:
    """Each failure with where its output is, and the end of it."""
    for failure in seen.failures:
        took = display_seconds(failure.exec_time_s)
        what = f"return code {failure.return_code} ({failure.ending.value})"
        click.echo(f"\n{failure.job_name}: {failure.status.word}, {what}, after {took}")
        if failure.stderr_path:
            click.echo(f"  log: {failure.stderr_path}")
        for line in (failure.stderr_tail or "").splitlines()[-TAIL_LINES:]:
            click.echo(f"  | {_visible(line)}")
    progress = seen.progress
    others = sum(progress.counts.get(s, 0) for s in (JobStatus.FAILED, JobStatus.TERMINATED))
    if others > len(seen.failures):
        more = others - len(seen.failures)
        note(f"\n… and {more} more: torc results list {progress.workflow_id} --failed")
