"""`torc jobs classify` and `torc workflows reset-status`: what people decide about failed jobs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.asking import DRY_RUN, NO_PROMPTS, agreed, perhaps
from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import emit_json, emit_table, note
from slurmtorc.errors import Conflict, UsageError
from slurmtorc.model import UNSUCCESSFUL, JobStatus
from slurmtorc.rules.wording import counted, listed, several

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import Job
    from slurmtorc.ports import Store

_FAILED = sorted(UNSUCCESSFUL | {JobStatus.PENDING_FAILED})

# ── classify ─────────────────────────────────────────────────────────────────


@click.command("classify", cls=TorcCommand)
@click.argument("job_ids", metavar="[JOB_ID]...", type=ID, nargs=-1)
@click.argument("decision", metavar="retry|fail", type=click.Choice(["retry", "fail"]))
@click.option(
    "-w", "--workflow", "workflow_id", type=ID, metavar="ID", help="All such jobs of a workflow."
)
@pass_state
def classify(
    state: State, job_ids: tuple[int, ...], decision: str, workflow_id: int | None
) -> None:
    """Decide about jobs that are pending_failed: try them again, or let them fail.

    A job that is tried again is ready as its next attempt. One that fails takes along what waits
    for it. Give job ids, or --workflow for all of a workflow. All are decided, or none.

    Example: torc jobs classify 42 43 retry
    """
    if bool(job_ids) == (workflow_id is not None):
        raise UsageError("name the jobs by their ids, or all of a workflow by --workflow ID")
    store = state.store
    jobs = _aside(store, workflow_id) if workflow_id is not None else _named(store, job_ids)
    moved = _decide(store, jobs, retry=decision == "retry")
    workflows = sorted(moved)
    if state.as_json:
        ids = sorted(job_id for decided in moved.values() for job_id in decided)
        emit_json({"decision": decision, "workflow_ids": workflows, "job_ids": ids})
        return
    for each in workflows:
        count = len(moved[each])
        told = (
            f"{several(count, 'job')} tried again"
            if decision == "retry"
            else f"{counted(count, 'job')} failed"
        )
        click.echo(f"Workflow {each}: {told}")
        if decision == "retry":
            note(f"Run them, unless a worker is there: torc run {each}")
    if not moved:
        click.echo(f"No job of workflow {workflow_id} is pending_failed.")


def _aside(store: Store, workflow_id: int) -> list[Job]:
    from slurmtorc.model import Job

    store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    return list(every(store, Job, workflow_id=workflow_id, status=JobStatus.PENDING_FAILED))


def _named(store: Store, job_ids: Sequence[int]) -> list[Job]:
    """These jobs, if all of them wait for a decision."""
    from slurmtorc.model import Job

    jobs = [store.get(Job, job_id) for job_id in dict.fromkeys(job_ids)]
    _refuse([job for job in jobs if job.status is not JobStatus.PENDING_FAILED])
    return jobs


def _refuse(others: Sequence[Job]) -> None:
    if others:
        found = listed([f"{job.id} ({job.status.word})" for job in others])
        message = f"only jobs that are pending_failed can be classified, not {found}"
        raise Conflict(f"{message}; others begin anew by torc workflows reset-status")


def _decide(store: Store, jobs: Sequence[Job], *, retry: bool) -> dict[int, list[int]]:
    """Workflow id -> the ids of its jobs. Somebody else may have been faster: then nothing."""
    wanted: defaultdict[int, list[int]] = defaultdict(list)
    for job in jobs:
        wanted[job.workflow_id].append(job.id)
    with store.together():
        moved = {
            workflow_id: store.classify(workflow_id, ids, retry=retry)
            for workflow_id, ids in sorted(wanted.items())
        }
        gone = [job for job in jobs if job.id not in moved[job.workflow_id]]
        if gone:
            _refuse([store.get(type(job), job.id) for job in gone])
    return moved


# ── reset ────────────────────────────────────────────────────────────────────


@click.command("reset-status", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option(
    "--failed-only",
    is_flag=True,
    help="Only jobs that are failed, canceled, terminated or pending_failed.",
)
@click.option("-r", "--reinitialize", is_flag=True, help="Begin a new run at once.")
@click.option(
    "--force",
    is_flag=True,
    help="Although workers live; with --reinitialize those that run nothing are sent away.",
)
@DRY_RUN
@NO_PROMPTS
@pass_state
def reset_status(
    state: State,
    workflow_id: int,
    failed_only: bool,
    reinitialize: bool,
    force: bool,
    dry_run: bool,
    no_prompts: bool,
) -> int:
    """Let jobs begin anew: they become uninitialized, until the next run begins.

    Results and output files stay, and attempts are counted on. Disabled jobs stay out. The next
    `torc run ID` begins the new run; so does --reinitialize. Refused while jobs are pending or
    running.

    Example: torc workflows reset-status 7 --failed-only
    """
    jobs = _resettable(state.store, workflow_id, failed_only=failed_only)
    return carry_out_reset(
        state,
        workflow_id,
        jobs,
        reinitialize=reinitialize,
        force=force,
        dry_run=dry_run,
        no_prompts=no_prompts,
        more={"failed_only": failed_only},
    )


def carry_out_reset(
    state: State,
    workflow_id: int,
    jobs: list[Job],
    *,
    reinitialize: bool,
    force: bool,
    dry_run: bool,
    no_prompts: bool,
    more: Mapping[str, Any] | None = None,
) -> int:
    """Reset chosen jobs, or show which; and begin the run, if that is wanted."""
    from slurmtorc.cli.reinit import sweep_here

    if dry_run:
        with perhaps(state.store, dry_run=True):
            state.store.reset_jobs(workflow_id, [job.id for job in jobs], force=force)
    if dry_run and reinitialize:
        return _show_run(state, workflow_id, jobs)
    if not dry_run:
        question = f"Reset {counted(len(jobs), 'job')} of workflow {workflow_id}?"
        if jobs and not agreed(state, question, no_prompts=no_prompts):
            return 0
        sweep_here(state, workflow_id)
        jobs = _reset(state.store, workflow_id, jobs, begin_anew=reinitialize, force=force)
    if state.as_json:
        emit_json(_as_json(workflow_id, jobs, dry_run=dry_run) | dict(more or {}))
        return 0
    if dry_run:
        rows = ((job.id, job.name, job.status.word, job.attempt_id) for job in jobs)
        columns = ("ID", "Name", "Status", "Attempt")
        empty = f"No job of workflow {workflow_id} would be reset."
        emit_table(f"Would be reset in workflow {workflow_id}", columns, rows, empty=empty)
        return 0
    click.echo(f"Reset {counted(len(jobs), 'job')} of workflow {workflow_id}")
    if jobs and not reinitialize:
        note(f"Begin them again with: torc run {workflow_id}")
    return 0


def _show_run(state: State, workflow_id: int, jobs: Sequence[Job]) -> int:
    from slurmtorc.cli.reinit import foresee
    from slurmtorc.cli.replan import as_json, show
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.reinit import plan_reinit

    workflow = state.store.get(Workflow, workflow_id)
    if not workflow.run_id:
        return foresee(state, workflow, force=False)
    plan = plan_reinit(state.store, workflow_id, reset=[job.id for job in jobs])
    emit_json(as_json(plan) | {"dry_run": True}) if state.as_json else show(plan)
    return 0


def _resettable(store: Store, workflow_id: int, *, failed_only: bool) -> list[Job]:
    from slurmtorc.model import Job
    from slurmtorc.rules.status import JobEvent, sources

    store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    # What is disabled stays out until somebody enables it.
    which = _FAILED if failed_only else sorted({*sources(JobEvent.RESET)} - {JobStatus.DISABLED})
    return list(every(store, Job, workflow_id=workflow_id, status=which))


def _reset(
    store: Store, workflow_id: int, jobs: Sequence[Job], *, begin_anew: bool, force: bool
) -> list[Job]:
    """Reset them, or begin the run in which they run again; those that were not reset before."""
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.begin import begin
    from slurmtorc.schedule.reinit import begin_again, plan_reinit

    ids = [job.id for job in jobs]
    begun = store.get(Workflow, workflow_id).run_id
    if begin_anew and begun:
        plan = plan_reinit(store, workflow_id, reset=ids)
        if plan.is_needed:
            begin_again(store, plan, force=force)
        return list(jobs)
    done = set(store.reset_jobs(workflow_id, ids, force=force))
    if begin_anew:
        begin(store, workflow_id)
    return [job for job in jobs if job.id in done]


def _as_json(workflow_id: int, jobs: Sequence[Job], *, dry_run: bool) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "status": "success",
        "dry_run": dry_run,
        "updated_count": 0 if dry_run else len(jobs),
        "jobs": [{"id": job.id, "name": job.name, "was": job.status.word} for job in jobs],
    }
