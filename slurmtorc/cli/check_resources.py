"""`torc workflows check-resources`: what jobs used against what they asked for.

It changes nothing; the judgement is in rules/utilization.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import emit_json, emit_table
from slurmtorc.model import JobStatus
from slurmtorc.units import display_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from slurmtorc.ports import Store
    from slurmtorc.rules.utilization import Checked, Level, Suggestion

_FAILED = (JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED)


@click.command("check-resources", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("-r", "--run-id", type=ID, help="A run; else the newest.")
@click.option("--include-failed", is_flag=True, help="Attempts that did not succeed, too.")
@click.option("-a", "--all", "everything", is_flag=True, help="Attempts within their limits, too.")
@click.option(
    "--min-over-utilization",
    type=click.FloatRange(min=0.0),
    default=1.0,
    show_default=True,
    metavar="PERCENT",
    help="How much over its requirement counts.",
)
@pass_state
def check_resources(
    state: State,
    workflow_id: int,
    run_id: int | None,
    include_failed: bool,
    everything: bool,
    min_over_utilization: float,
) -> None:
    """What jobs used of memory, CPU and time, against what they asked for.

    Shown is what used more than it asked for, with --include-failed the likely causes of
    failures, and requirements that could be far smaller. Jobs that name no requirement are not
    judged.

    Example: torc workflows check-resources 7 --include-failed
    """
    from slurmtorc.model import Workflow
    from slurmtorc.rules.utilization import suggestions

    run = run_id if run_id is not None else state.store.get(Workflow, workflow_id).run_id
    statuses = [JobStatus.COMPLETED, *(_FAILED if include_failed else ())]
    checked = list(_checked(state.store, workflow_id, run, statuses))
    smaller = suggestions(checked)
    if state.as_json:
        head = {"workflow_id": workflow_id, "run_id": run}
        emit_json({**head, **_report(checked, smaller, min_over_utilization, all_=everything)})
    else:
        _show(checked, smaller, min_over_utilization, f"workflow {workflow_id}, run {run}",
              all_=everything)  # fmt: skip


def _checked(
    store: Store, workflow_id: int, run_id: int, statuses: Sequence[JobStatus]
) -> Iterator[Checked]:
    from slurmtorc.model import Job, ResourceRequirements, Result
    from slurmtorc.rules.utilization import check

    needs = {one.id: one for one in every(store, ResourceRequirements, workflow_id=workflow_id)}
    of_job = {
        job.id: needs.get(job.resource_requirements_id or 0)
        for job in every(store, Job, workflow_id=workflow_id)
    }
    where = {"run_id": run_id, "status": list(statuses), "superseded": False}
    for result in every(store, Result, workflow_id=workflow_id, **where):
        need = of_job.get(result.job_id)
        found = check(result, need) if need is not None else None
        if found is not None:
            yield found


# ── for programs ─────────────────────────────────────────────────────────────


def _report(
    checked: Sequence[Checked], smaller: Sequence[Suggestion], percent: float, *, all_: bool
) -> dict[str, Any]:
    violations = [_violation(one, level) for one in checked for level in one.over(percent)]
    failed = [one for one in checked if one.result.status in _FAILED]
    report = {
        "total_results": len(checked),
        "over_utilization_count": len(violations),
        "violations": violations,
        "resource_violations_count": len(failed),
        "resource_violations": [_failure(one) for one in failed],
        "under_utilization_count": len(smaller),
        "suggestions": [_suggestion(one) for one in smaller],
    }
    if all_:
        report["results"] = [_violation(one, level) for one in checked for level in one.levels]
    return report


def _violation(one: Checked, level: Level) -> dict[str, Any]:
    return {
        "job_id": one.result.job_id,
        "job_name": one.result.job_name,
        "attempt_id": one.result.attempt_id,
        "resource_requirements": one.need.name,
        "resource_type": level.resource,
        "specified": level.shown(level.specified),
        "peak_used": level.shown(level.used),
        "over_utilization": f"{level.over_percent:+.1f}%",
        "over_utilization_percent": level.over_percent,
    }


def _failure(one: Checked) -> dict[str, Any]:
    result, need = one.result, one.need
    over = {level.resource: level.over_percent for level in one.over(0.0)}
    return {
        "job_id": result.job_id,
        "job_name": result.job_name,
        "attempt_id": result.attempt_id,
        "return_code": result.return_code,
        "ending": result.ending.value,
        "exec_time_minutes": result.exec_time_s / 60,
        "configured_memory": need.memory,
        "configured_runtime": need.runtime,
        "configured_cpus": need.num_cpus,
        "peak_memory_bytes": result.peak_memory_bytes,
        "peak_memory_formatted": display_memory(result.peak_memory_bytes),
        "likely_oom": one.oom_reason is not None,
        "oom_reason": one.oom_reason,
        "memory_over_utilization": f"{over['memory']:+.1f}%" if "memory" in over else None,
        "likely_timeout": one.timeout_reason is not None,
        "timeout_reason": one.timeout_reason,
        "runtime_utilization": _part(result.exec_time_s, need.runtime_s),
        "likely_cpu_violation": "cpu" in over,
        "peak_cpu_percent": result.peak_cpu_percent,
        "likely_runtime_violation": "runtime" in over,
    }


def _part(used: float, said: float) -> str:
    return f"{100 * used / said:.1f}%" if said else "-"


def _suggestion(one: Suggestion) -> dict[str, Any]:
    return {
        "resource_requirements_id": one.need.id,
        "resource_requirements": one.need.name,
        "resource_type": one.resource,
        "jobs": one.jobs,
        "specified": one.specified,
        "peak_used": one.peak,
        "suggested": one.value,
    }


# ── for people ───────────────────────────────────────────────────────────────

_COLUMNS = ("Job ID", "Job Name", "Attempt", "Resource", "Specified", "Peak Used",
            "Over-Utilization")  # fmt: skip
_FAILED_COLUMNS = ("Job ID", "Job Name", "Attempt", "Code", "Ending", "Likely cause", "Memory",
                   "Runtime")  # fmt: skip
_KEYS = {"memory": "memory", "cpu": "num_cpus", "runtime": "runtime"}


def _show(
    checked: Sequence[Checked],
    smaller: Iterable[Suggestion],
    percent: float,
    of: str,
    *,
    all_: bool,
) -> None:
    rows = [
        _row(one, level) for one in checked for level in (one.levels if all_ else one.over(percent))
    ]
    fine = f"No attempt used more than it asked for ({len(checked)} checked)."
    emit_table(f"Use of {of}", _COLUMNS, rows, empty=fine)
    failed = [_failed_row(one) for one in checked if one.result.status in _FAILED]
    if failed:
        emit_table(f"Attempts of {of} that did not succeed", _FAILED_COLUMNS, failed, empty="")
    for one in smaller:
        click.echo(_said(one))


def _row(one: Checked, level: Level) -> tuple[object, ...]:
    result = one.result
    said, used = level.shown(level.specified), level.shown(level.used)
    over = f"{level.over_percent:+.1f}%"
    return result.job_id, result.job_name, result.attempt_id, level.resource, said, used, over


def _failed_row(one: Checked) -> tuple[object, ...]:
    result = one.result
    causes = [
        f"{what} ({why})"
        for what, why in (("memory", one.oom_reason), ("time", one.timeout_reason))
        if why
    ]
    shown = {level.resource: f"{100 + level.over_percent:.0f} %" for level in one.levels}
    return (
        result.job_id,
        result.job_name,
        result.attempt_id,
        result.return_code,
        result.ending.value,
        ", ".join(causes) or "unknown",
        shown.get("memory", "-"),
        shown.get("runtime", "-"),
    )


def _said(one: Suggestion) -> str:
    from slurmtorc.rules.utilization import Level
    from slurmtorc.rules.wording import counted

    level = Level(resource=one.resource, specified=one.specified, used=one.peak)
    jobs = counted(one.jobs, "completed job")
    return (
        f"Requirement {one.need.name!r} could be smaller: in {jobs} at most "
        f"{level.shown(one.peak)} of {level.shown(one.specified)} ({one.resource}) was used; "
        f"{_KEYS[one.resource]}: {one.value} would do"
    )
