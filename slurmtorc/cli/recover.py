"""`torc recover`: heal the failures of a complete workflow, and run exactly them again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.agent import AGENT_OPTIONS, Asked, ask_agent, chosen_agent
from slurmtorc.cli.context import ID, State, TorcCommand, pass_state, with_options
from slurmtorc.cli.render import emit_json, note
from slurmtorc.errors import Conflict
from slurmtorc.rules.wording import counted, does, several

if TYPE_CHECKING:
    from slurmtorc.ports import Slurm, Store
    from slurmtorc.rules.healing import Treatment
    from slurmtorc.schedule.submit import Outcome
    from slurmtorc.watch.recover import RecoveryPlan

_AT_LEAST_ONE = click.FloatRange(min=1.0)


@click.command("recover", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option(
    "--memory-multiplier",
    type=_AT_LEAST_ONE,
    default=1.5,
    show_default=True,
    help="How much more memory a job gets that ran out of it.",
)
@click.option(
    "--runtime-multiplier",
    type=_AT_LEAST_ONE,
    default=1.5,
    show_default=True,
    help="How much more time a job gets that ran out of it.",
)
@click.option("--retry-unknown", is_flag=True, help="Run jobs again whose cause is unknown.")
@click.option(
    "--recovery-hook",
    metavar="CMD",
    help="Run this first, if there are failures of unknown cause; they are run again then.",
)
@click.option(
    "-o", "--output-dir", metavar="DIR", help="Where output goes.  [default: torc_output]"
)
@click.option("--no-prompts", is_flag=True, help="Do not ask.")
@with_options(AGENT_OPTIONS)
@pass_state
def recover(
    state: State,
    workflow_id: int,
    dry_run: bool,
    memory_multiplier: float,
    runtime_multiplier: float,
    retry_unknown: bool,
    recovery_hook: str | None,
    output_dir: str | None,
    no_prompts: bool,
    ai_recovery: bool,
    ai_agent: str | None,
) -> int:
    """Heal what failed in a complete workflow, and run it again.

    Jobs that ran out of memory or time get more of it, up to what a partition offers; jobs
    beside them, and jobs that completed, are left alone. With --ai-recovery, jobs that were set
    aside are shown to an agent first; nodes are asked for what it lets run again.

    Exit status: 0 recovered, 1 nothing that failed can be run again.

    Example: torc recover 7 --dry-run
    """
    from slurmtorc.rules.healing import Treatment
    from slurmtorc.wiring import slurm

    if output_dir:
        state.overrides["output_dir"] = output_dir
    agent = chosen_agent(ai_agent, asked=ai_recovery)
    if agent is not None and (asked := ask_agent(state, workflow_id, agent, dry_run=dry_run)):
        return 0 if asked is Asked.DRY else _nodes_again(state, workflow_id)
    _refuse_unfinished(state.store, workflow_id)
    treatment = Treatment(
        memory_multiplier=memory_multiplier,
        runtime_multiplier=runtime_multiplier,
        retry_unknown=retry_unknown or recovery_hook is not None,
    )
    port = slurm(state.settings)
    plan = _plan(state, port, workflow_id, treatment)
    if not state.as_json:
        _show(plan)
    if dry_run or not plan.chosen:
        return _only_said(state, plan, dry_run=dry_run)
    question = f"Run {counted(len(plan.chosen), 'job')}?"
    if not (no_prompts or _nobody_to_ask()) and not click.confirm(question, err=True):
        return 0
    if recovery_hook is not None:
        plan = _after_hook(state, port, plan, recovery_hook)
    return _carried_out(state, port, plan)


def _nodes_again(state: State, workflow_id: int) -> int:
    """Nodes for what an agent lets run again: what `torc slurm regenerate --submit` does."""
    from slurmtorc.cli.slurm_nodes import carry_out
    from slurmtorc.schedule.regenerate import Options, in_queue, plan_again
    from slurmtorc.wiring import slurm

    port = slurm(state.settings)
    plan = plan_again(
        state.store,
        port.site(),
        workflow_id,
        Options(),
        output_dir=state.settings.output_dir,
        queued=in_queue(state.store, port, workflow_id),
    )
    carry_out(state, plan, submit=True)
    return 0


def _nobody_to_ask() -> bool:
    return not (sys.stdin.isatty() and sys.stderr.isatty())


def _refuse_unfinished(store: Store, workflow_id: int) -> None:
    """Raise Conflict, with what to do, unless the run is over and nobody works on it."""
    from slurmtorc.cli.run import refuse_closed
    from slurmtorc.model import RUNNABLE, Allocation, AllocationStatus, JobStatus, Workflow

    refuse_closed(store.get(Workflow, workflow_id))
    progress = store.progress(workflow_id)
    aside = progress.counts.get(JobStatus.PENDING_FAILED, 0)
    if not progress.is_complete:
        what = f"workflow {workflow_id} is not complete: {several(progress.unfinished, 'job')} left"
        if aside and not any(progress.counts.get(status) for status in RUNNABLE):
            waiting = f"{aside} {does(aside, 'wait')} for a decision"
            raise Conflict(f"{what}, and {waiting}: `torc jobs classify`")
        raise Conflict(f"{what}; follow it with `torc watch {workflow_id}`")
    alive = [status for status in AllocationStatus if status is not AllocationStatus.COMPLETE]
    left = store.rows(Allocation, workflow_id=workflow_id, status=alive).total_count
    workers = _workers(store, workflow_id)
    if left or workers:
        what = f"workflow {workflow_id} still has {counted(left, 'allocation')}"
        what = f"{what} and {counted(workers, 'worker')}"
        raise Conflict(f"{what}; wait, or find out with `torc workflows sync-status {workflow_id}`")


def _workers(store: Store, workflow_id: int) -> int:
    from slurmtorc.model import ComputeNode
    from slurmtorc.wiring import clock

    now = clock.now()
    active = store.rows(ComputeNode, workflow_id=workflow_id, is_active=True).items
    return sum(node.lease_until > now for node in active)


def _plan(state: State, port: Slurm, workflow_id: int, treatment: Treatment) -> RecoveryPlan:
    from slurmtorc.watch.recover import Means, plan_recovery

    means = Means(
        site=port.site(),
        output_dir=state.settings.output_dir,
        treatment=treatment,
    )
    return plan_recovery(state.store, workflow_id, means)


def _after_hook(state: State, port: Slurm, plan: RecoveryPlan, command: str) -> RecoveryPlan:
    """Run the hook if a failure is of unknown cause; the plan as it is after it."""
    from slurmtorc.rules.healing import Cause
    from slurmtorc.watch.hook import run_hook

    if not plan.number(Cause.UNKNOWN):
        return plan
    run_hook(command, plan.workflow, state.store.url)
    return _plan(state, port, plan.workflow.id, plan.means.treatment)


def _only_said(state: State, plan: RecoveryPlan, *, dry_run: bool) -> int:
    """Nothing is done: because only a dry run was asked for, or because there is nothing."""
    from slurmtorc.cli.slurm_nodes import show_table

    if state.as_json:
        emit_json(_as_json(plan) | {"dry_run": dry_run})
    elif plan.nodes is not None:
        show_table(plan.nodes)
    if plan.chosen:
        return 0
    what = "no job failed" if not plan.healings else "nothing that failed can be run again"
    note(f"Workflow {plan.workflow.id}: {what}.")
    return 1 if plan.healings else 0


def _show(plan: RecoveryPlan) -> None:
    from slurmtorc.watch.recover import lines

    for line in lines(plan):
        click.echo(line)


def _carried_out(state: State, port: Slurm, plan: RecoveryPlan) -> int:
    from slurmtorc.watch.recover import Hands, carry_out
    from slurmtorc.wiring import submitter

    outcome = carry_out(Hands(state.store, submitter(state.store, port, state.settings)), plan)
    _report(state, plan, outcome)
    return 0 if outcome.submitted or outcome.open or not outcome.refused else 1


def _report(state: State, plan: RecoveryPlan, outcome: Outcome) -> None:
    from slurmtorc.cli.slurm_nodes import warn

    ids = [one.scheduler_id for one in outcome.submitted]
    if state.as_json:
        emit_json(_as_json(plan) | {"dry_run": False, "slurm_job_ids": ids})
    else:
        listed = ", ".join(map(str, ids)) or "none"
        count = counted(len(plan.chosen), "job")
        click.echo(f"Run {plan.workflow.run_id + 1} of {count}; Slurm jobs: {listed}")
        click.echo(f"Follow it with: torc watch {plan.workflow.id}")
    warn(outcome)


def _as_json(plan: RecoveryPlan) -> dict[str, Any]:
    """Under torc's keys, and a reason for each job."""
    from slurmtorc.cli.slurm_nodes import plan_as_json
    from slurmtorc.rules.healing import Cause

    return {
        "workflow_id": plan.workflow.id,
        "run_id": plan.workflow.run_id,
        "oom_fixed": plan.number(Cause.OOM),
        "timeout_fixed": plan.number(Cause.TIMEOUT),
        "unknown_retried": plan.number(Cause.UNKNOWN),
        "other_failures": plan.unknown_left + plan.not_healed,
        "jobs_to_retry": list(plan.chosen),
        "adjustments": [_adjustment(plan, at) for at in range(len(plan.copies))],
        "jobs": [
            {
                "job_id": one.failure.job.id,
                "job_name": one.failure.job.name,
                "causes": [cause.value.lower() for cause in one.causes],
                "chosen": one.is_chosen,
                "reason": one.reason,
            }
            for one in plan.healings
        ],
        "slurm_dry_run": None if plan.nodes is None else plan_as_json(plan.nodes),
    }


def _adjustment(plan: RecoveryPlan, at: int) -> dict[str, Any]:
    """One new requirement, and the one it replaces for these jobs."""
    need, jobs = plan.copies[at]
    old = next(one.failure.need for one in plan.healings if one.failure.job.id == jobs[0])
    return {
        "resource_requirements_id": old.id,
        "job_ids": list(jobs),
        "original_memory": old.memory,
        "new_memory": need.memory,
        "original_runtime": old.runtime,
        "new_runtime": need.runtime,
    }
