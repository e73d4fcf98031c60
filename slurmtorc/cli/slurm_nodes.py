"""`torc slurm regenerate`: nodes for what is left of a workflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json, emit_table, note
from slurmtorc.errors import Conflict, SubmissionRefused, UsageError
from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.model import SlurmScheduler, Workflow
    from slurmtorc.ports import Store
    from slurmtorc.schedule.regenerate import Regeneration
    from slurmtorc.schedule.submit import Outcome

OUTPUT_DIR = click.option(
    "-o", "--output-dir", metavar="DIR", help="Where output goes.  [default: torc_output]"
)


def _ids(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in (value or "").split(",") if word.strip())
    except ValueError:
        raise UsageError(f"job ids {value!r}; write numbers and commas, as in 1,2") from None


# ── torc slurm regenerate ────────────────────────────────────────────────────


@click.command("regenerate", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("--submit", is_flag=True, help="Ask Slurm for the allocations.")
@click.option("--dry-run", is_flag=True, help="Print the plan and the scripts; change nothing.")
@click.option("-a", "--account", help="The account to charge.  [default: the workflow's]")
@click.option("--partition", help="For all of them, instead of what schedulers have.")
@click.option("--walltime", help="The same, as in 04:00:00.")
@click.option("--single-allocation", is_flag=True, help="1 allocation of N nodes, not N of 1.")
@click.option(
    "--walltime-multiplier",
    type=click.FloatRange(min=1.0),
    default=1.5,
    show_default=True,
    help="How much longer than its runtime a job may take.",
)
@click.option(
    "--include-job-ids",
    metavar="IDS",
    callback=_ids,
    help="Plan for these jobs too, as in 1,2; for jobs that are over with --dry-run only.",
)
@OUTPUT_DIR
@pass_state
def regenerate(
    state: State,
    workflow_id: int,
    submit: bool,
    dry_run: bool,
    account: str | None,
    partition: str | None,
    walltime: str | None,
    single_allocation: bool,
    walltime_multiplier: float,
    include_job_ids: tuple[int, ...],
    output_dir: str | None,
) -> None:
    """Plan allocations for what is left of a workflow.

    Jobs go to their own scheduler if it can still run them; new schedulers are made for the
    others. What waits in Slurm's queue is subtracted. Jobs that wait for others get their nodes
    when they are ready. Without --submit schedulers are recorded, and nothing is asked for; with it
    jobs that were reset begin their next run, as with `torc workflows reinit`.

    Example: torc slurm regenerate 7 --dry-run
    """
    from slurmtorc.rules.remaining import as_if_rerun
    from slurmtorc.rules.requesting import Options
    from slurmtorc.schedule.regenerate import in_queue, planned, remaining
    from slurmtorc.wiring import slurm

    if output_dir:
        state.overrides["output_dir"] = output_dir
    options = Options(
        account=account,
        partition=partition,
        walltime=walltime,
        walltime_multiplier=walltime_multiplier,
        single_allocation=single_allocation,
    )
    store, port = state.store, slurm(state.settings)
    again = _of_next_run(store, workflow_id, begins=submit and not dry_run)
    left = remaining(
        store,
        workflow_id,
        job_ids=_included(store, workflow_id, include_job_ids, again, dry_run=dry_run),
        queued=in_queue(store, port, workflow_id),
    )
    left = as_if_rerun(left) if again else left
    plan = planned(left, port.site(), options, output_dir=state.settings.output_dir)
    if dry_run:
        show_plan(state, plan)
        return
    carry_out(state, plan, submit=submit)


def begun(store: Store, workflow_id: int) -> Workflow:
    """The workflow, with its first run begun, or the one in which jobs that were reset run again.

    Raises Conflict if workers are at work on others.
    """
    from slurmtorc.cli.run import refuse_closed
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.begin import begin

    workflow = store.get(Workflow, workflow_id)
    refuse_closed(workflow)
    if workflow.run_id and not _were_reset(store, workflow_id):
        return workflow
    now = begin(store, workflow_id, after_run=workflow.run_id)
    if workflow.run_id:
        note(f"Run {now.run_id} of workflow {workflow_id} begins: jobs that were reset run again.")
    return now


def _were_reset(store: Store, workflow_id: int) -> bool:
    """Whether there are jobs in no run."""
    return JobStatus.UNINITIALIZED in store.outlook(workflow_id).present


def _of_next_run(store: Store, workflow_id: int, *, begins: bool) -> Collection[int]:
    """The jobs that a later run would begin with; none if that run is begun here, or not needed."""
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.reinit import plan_reinit

    if begins:
        begun(store, workflow_id)
        return ()
    later = store.get(Workflow, workflow_id).run_id > 0 and _were_reset(store, workflow_id)
    return list(plan_reinit(store, workflow_id).reasons) if later else ()


def _included(
    store: Store,
    workflow_id: int,
    wanted: Collection[int],
    again: Collection[int],
    *,
    dry_run: bool,
) -> set[int] | None:
    """The ids to plan for; None for all that is left. `again`: what the next run begins with."""
    from slurmtorc.model import Job
    from slurmtorc.ports import EVERYTHING
    from slurmtorc.schedule.regenerate import LEFT

    if not wanted and not again:
        return None
    rows = store.rows(Job, EVERYTHING, workflow_id=workflow_id, status=LEFT).items
    left = {job.id for job in rows}.union(again)
    over = sorted(set(wanted) - left)
    if over and not dry_run:
        word = store.get(Job, over[0]).status.word
        raise Conflict(f"job {over[0]} is {word}, so nodes would be of no use; reset it first")
    return left.union(wanted)


def carry_out(state: State, plan: Regeneration, *, submit: bool) -> None:
    """Record the plan; ask for what is needed now."""
    from slurmtorc.schedule.regenerate import ask, record
    from slurmtorc.wiring import slurm, submitter

    store = state.store
    if submit:
        _warn_of_active(store, plan)
    with store.together(durable=True):
        asked = record(store, plan, intend=submit)
    outcome = ask(submitter(store, slurm(state.settings), state.settings), plan.workflow, asked)
    if state.as_json:
        emit_json(_as_json(store, plan, outcome, submit=submit))
    else:
        _tell(plan, outcome, submit=submit)
    complain(plan.workflow, outcome)


def _warn_of_active(store: Store, plan: Regeneration) -> None:
    """Allocations that run may take some of the jobs too; how many nobody knows."""
    from slurmtorc.model import Allocation, AllocationStatus

    active = store.rows(
        Allocation, workflow_id=plan.workflow.id, status=AllocationStatus.ACTIVE
    ).total_count
    if active and plan.now:
        note(f"torc: warning: {active} allocations run now; what they still take is not counted")


def _as_json(store: Store, plan: Regeneration, outcome: Outcome, *, submit: bool) -> dict[str, Any]:
    from slurmtorc.model import SlurmScheduler

    known = store.rows(SlurmScheduler, workflow_id=plan.workflow.id).items
    report = plan_as_json(plan, {one.name: one.id for one in known})
    report["allocations_submitted"] = len(outcome.submitted)
    report["slurm_job_ids"] = [one.scheduler_id for one in outcome.submitted]
    report["warnings"] += [reason for _, reason in (*outcome.refused, *outcome.open)]
    report["submitted"] = submit and not outcome.refused and not outcome.open
    return report


def plan_as_json(plan: Regeneration, ids: dict[str, int] | None = None) -> dict[str, Any]:
    """A plan under torc's keys; `ids`: of the schedulers, once they are recorded."""
    requests = plan.demand.requests
    shown = [
        {
            "id": one.scheduler.id or (ids or {}).get(one.scheduler.name),
            "name": one.scheduler.name,
            "account": one.scheduler.account,
            "partition": one.scheduler.partition,
            "nodes": one.scheduler.nodes,
            "walltime": one.scheduler.walltime,
            "job_count": len(one.jobs),
            "num_allocations": one.allocations,
            "has_dependencies": one.is_deferred,
            "created": not one.scheduler.id,
        }
        for one in requests
    ]
    return {
        "workflow_id": plan.workflow.id,
        "pending_jobs": len(plan.jobs),
        "schedulers_created": [one for one in shown if one["created"]],
        "schedulers_used": [one for one in shown if not one["created"]],
        "total_allocations": plan.now + plan.later,
        "allocations_submitted": 0,
        "allocations_deferred": plan.later,
        "jobs_served_by_queue": plan.demand.served,
        "jobs_of_armed_actions": plan.demand.armed,
        "warnings": list(plan.demand.warnings),
        "submitted": False,
    }


def show_plan(state: State, plan: Regeneration) -> None:
    """The plan and one script for each scheduler, without an intent of any."""
    schedulers = {one.scheduler.name: one.scheduler for one in plan.demand.requests}
    scripts = {name: _script(state, plan, one) for name, one in schedulers.items()}
    if state.as_json:
        emit_json({"dry_run": True, **plan_as_json(plan), "scripts": list(scripts.values())})
        return
    show_table(plan)
    for name, script in scripts.items():
        click.echo(f"\n# ── {name} ──\n{script}")


def show_table(plan: Regeneration, *, stderr: bool = False) -> None:
    """The plan for people."""
    columns = [column.capitalize() for column in plan.demand.COLUMNS]
    emit_table("Plan", columns, plan.demand.rows(), empty=_nothing(plan), stderr=stderr)
    for warning in plan.demand.warnings:
        note(f"torc: warning: {warning}")


def _nothing(plan: Regeneration) -> str:
    jobs, demand = len(plan.jobs), plan.demand
    if not jobs:
        return f"Nothing is left to run in workflow {plan.workflow.id}."
    return (
        f"Nothing to ask for: of {jobs} jobs, {demand.served} run in allocations that wait in "
        f"the queue, and for {demand.armed} an action asks for nodes."
    )


def _script(state: State, plan: Regeneration, scheduler: SlurmScheduler) -> str:
    from slurmtorc.model import Allocation
    from slurmtorc.schedule.folder import directory_of
    from slurmtorc.wiring import allocation_script, shown_url

    output = os.path.join(directory_of(plan.workflow), plan.output_dir)  # noqa: PTH118
    example = Allocation(workflow_id=plan.workflow.id, token="dryrun", output_dir=output)  # noqa: S106
    return allocation_script(shown_url(state.settings), plan.workflow, scheduler, example).text


def _tell(plan: Regeneration, outcome: Outcome, *, submit: bool) -> None:
    show_table(plan)
    if submit:
        ids = ", ".join(str(one.scheduler_id) for one in outcome.submitted) or "none"
        click.echo(f"Slurm jobs: {ids}; asked for later: {plan.later}")
    elif plan.demand.requests:
        click.echo(f"Nothing is asked for yet: torc slurm regenerate {plan.workflow.id} --submit")


def complain(workflow: Workflow, outcome: Outcome) -> None:
    """Say what was not submitted; raise SubmissionRefused if nothing was."""
    warn(outcome)
    if outcome.refused and not outcome.submitted:
        raise SubmissionRefused(f"workflow {workflow.id}: Slurm refused every allocation")


def warn(outcome: Outcome) -> None:
    """Say what was not submitted, and why."""
    for allocation, reason in (*outcome.refused, *outcome.open):
        note(f"torc: warning: allocation {allocation.id}: {reason}")
