"""`torc slurm schedule-nodes`: allocations of one scheduler, asked for by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json, plain
from slurmtorc.cli.slurm_nodes import OUTPUT_DIR, begun, complain
from slurmtorc.errors import Conflict, UsageError

if TYPE_CHECKING:
    from slurmtorc.model import Allocation, SlurmScheduler, Workflow
    from slurmtorc.ports import Store
    from slurmtorc.schedule.submit import Outcome


@click.command("schedule-nodes", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("--scheduler-config-id", type=int, help="The scheduler; needed if there are several.")
@click.option(
    "-n",
    "--num-hpc-jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many allocations.",
)
@click.option("-j", "--job-prefix", default="", help="What their names in Slurm begin with.")
@click.option(
    "-m",
    "--max-parallel-jobs",
    type=click.IntRange(min=1),
    help="Run at most so many jobs at a time on a node.",
)
@click.option("--dry-run", is_flag=True, help="Print the script; change nothing.")
@OUTPUT_DIR
@pass_state
def schedule_nodes(
    state: State,
    workflow_id: int,
    scheduler_config_id: int | None,
    num_hpc_jobs: int,
    job_prefix: str,
    max_parallel_jobs: int | None,
    dry_run: bool,
    output_dir: str | None,
) -> None:
    """Ask for allocations of one scheduler now.

    Whatever jobs the workflow has: nothing is computed, and actions still fire besides. A
    workflow that has not begun is begun; so is the next run of jobs that were reset.

    Example: torc slurm schedule-nodes 7 --scheduler-config-id 3 -n 2
    """
    from slurmtorc.cli.run import refuse_closed
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.regenerate import ask
    from slurmtorc.wiring import slurm, submitter

    if output_dir:
        state.overrides["output_dir"] = output_dir
    store = state.store
    workflow = store.get(Workflow, workflow_id)
    refuse_closed(workflow)
    scheduler = _scheduler(store, workflow_id, scheduler_config_id)
    intents = _intents(state, workflow, scheduler, num_hpc_jobs, max_parallel_jobs)
    if dry_run:
        _show_script(state, workflow, scheduler, intents, job_prefix)
        return
    port = slurm(state.settings)
    if not store.outlook(workflow_id).held:
        begun(store, workflow_id)
    asks = submitter(store, port, state.settings, prefix=job_prefix)
    recorded = [(scheduler, intent) for intent in store.intend(intents)]
    _report(state, workflow, ask(asks, workflow, recorded))


def _scheduler(store: Store, workflow_id: int, wanted: int | None) -> SlurmScheduler:
    from slurmtorc.model import SlurmScheduler

    found = store.rows(SlurmScheduler, workflow_id=workflow_id).items
    listed = ", ".join(f"{one.id} ({one.name})" for one in found) or "none"
    if wanted is None and len(found) == 1:
        return found[0]
    for one in found:
        if one.id == wanted:
            return one
    if wanted is None and found:
        raise UsageError(f"which scheduler? --scheduler-config-id takes one of: {listed}")
    what = "no scheduler" if wanted is None else f"no scheduler {wanted}"
    hint = "" if found else f"; `torc slurm regenerate {workflow_id}` plans them"
    raise Conflict(f"workflow {workflow_id} has {what}; it has: {listed}{hint}")


def _intents(
    state: State, workflow: Workflow, scheduler: SlurmScheduler, count: int, at_once: int | None
) -> list[Allocation]:
    from slurmtorc.model import Action, ActionType, TriggerType
    from slurmtorc.schedule.submit import intents

    by_hand = Action(
        workflow_id=workflow.id,
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.SCHEDULE_NODES,
        action_config={"num_allocations": count, "max_parallel_jobs": at_once},
    )
    return intents(workflow, by_hand, scheduler, state.settings.output_dir)


def _show_script(
    state: State,
    workflow: Workflow,
    scheduler: SlurmScheduler,
    intents: list[Allocation],
    prefix: str,
) -> None:
    from slurmtorc.wiring import allocation_script, shown_url

    url = shown_url(state.settings)
    example = replace(intents[0], token="dryrun")  # noqa: S106
    script = allocation_script(url, workflow, scheduler, example, prefix=prefix).text
    if state.as_json:
        report = {"dry_run": True, "workflow_id": workflow.id, "num_allocations": len(intents)}
        emit_json({**report, "slurm_scheduler": plain(scheduler), "scripts": [script]})
    else:
        click.echo(f"# ── {scheduler.name}, {len(intents)} times ──\n{script}")


def _report(state: State, workflow: Workflow, outcome: Outcome) -> None:
    ids = [one.scheduler_id for one in outcome.submitted]
    if state.as_json:
        emit_json(
            {
                "workflow_id": workflow.id,
                "status": "success" if not outcome.refused else "partial_success",
                "slurm_job_ids": ids,
                "refused": [reason for _, reason in outcome.refused],
                "open": [reason for _, reason in outcome.open],
            }
        )
    else:
        listed = ", ".join(map(str, ids)) or "none"
        click.echo(f"Workflow {workflow.id} ({workflow.name}); Slurm jobs: {listed}")
    complain(workflow, outcome)
