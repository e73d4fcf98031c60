"""`torc submit` and `torc submit-slurm`: a workflow into Slurm."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json, emit_table, note, plain
from slurmtorc.cli.run import is_id, read_draft, refuse_closed
from slurmtorc.errors import Conflict, SlurmUnavailable, SpecError, SubmissionRefused, UsageError

if TYPE_CHECKING:
    from slurmtorc.model import Draft, Workflow
    from slurmtorc.ports import Slurm
    from slurmtorc.rules.planning import Plan
    from slurmtorc.schedule.submit import Outcome

_OUTPUT_DIR = click.option(
    "-o", "--output-dir", metavar="DIR", help="Where output goes.  [default: torc_output]"
)
_IGNORE_MISSING = click.option(
    "-i", "--ignore-missing-data", is_flag=True, help="Begin although input files are missing."
)


# ── torc submit ──────────────────────────────────────────────────────────────


@click.command("submit", cls=TorcCommand)
@click.argument("workflow", metavar="FILE|ID")
@_OUTPUT_DIR
@_IGNORE_MISSING
@pass_state
def submit(state: State, workflow: str, output_dir: str | None, ignore_missing_data: bool) -> None:
    """Submit a workflow by its own schedulers and actions.

    Its schedule_nodes actions ask for allocations of its slurm_schedulers.

    Every action whose trigger holds is executed now; later ones are executed by workers and by
    `torc watch`. A workflow without any is planned by `torc submit-slurm`.

    Example: torc submit examples/staged.yaml
    """
    from slurmtorc.wiring import slurm

    if output_dir:
        state.overrides["output_dir"] = output_dir
    port = slurm(state.settings)
    if is_id(workflow):
        _submit_existing(state, port, int(workflow), ignore_missing=ignore_missing_data)
        return
    draft = read_draft(workflow)
    _refuse_without_actions(draft, workflow)
    _submit_new(state, port, draft, workflow, ignore_missing=ignore_missing_data)


def _refuse_without_actions(draft: Draft, name: str) -> None:
    from slurmtorc.model import ActionType

    if not any(action.action_type is ActionType.SCHEDULE_NODES for action in draft.actions):
        raise Conflict(
            f"{name} has no schedule_nodes action, so nothing asks for nodes; "
            "plan them with `torc submit-slurm --account ACCOUNT`, or run it here with `torc run`"
        )


def _submit_existing(state: State, port: Slurm, workflow_id: int, *, ignore_missing: bool) -> None:
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.begin import begin
    from slurmtorc.wiring import submitter

    workflow = state.store.get(Workflow, workflow_id)
    refuse_closed(workflow)
    if not workflow.run_id:
        workflow = begin(state.store, workflow_id, ignore_missing=ignore_missing)
    asks = submitter(state.store, port, state.settings)
    outcome = asks.act(workflow, state.settings.output_dir)
    _refuse_failed(outcome)
    if not (outcome.submitted or outcome.refused or outcome.open):
        raise Conflict(
            f"workflow {workflow_id} has no schedule_nodes action to execute now; "
            f"see `torc allocations list {workflow_id}` and `torc status {workflow_id}`, or ask "
            f"for nodes for what is left by `torc slurm regenerate {workflow_id} --submit`"
        )
    _report(state, workflow, outcome, "Submitted")


def _submit_new(
    state: State, port: Slurm, draft: Draft, name: str, *, ignore_missing: bool
) -> None:
    """Create, initialize, submit. If Slurm refuses everything, nothing of it is left."""
    from slurmtorc.schedule.begin import begin, refuse_missing_inputs
    from slurmtorc.schedule.doubts import doubts
    from slurmtorc.schedule.folder import make_folder
    from slurmtorc.wiring import submitter

    if not ignore_missing:
        refuse_missing_inputs(draft, os.getcwd(), name)  # noqa: PTH109
    # A Slurm that does not answer says so here, before anything is created.
    for doubt in doubts(draft, port.site()):
        note(f"torc: warning: {doubt}")
    make_folder(os.path.abspath(state.settings.output_dir))  # noqa: PTH100  resolve follows links
    store = state.open_store(create=True)
    workflow = begin(store, store.create(draft), ignore_missing=ignore_missing)
    outcome = submitter(store, port, state.settings).act(workflow, state.settings.output_dir)
    _refuse_failed(outcome)
    if outcome.refused and not outcome.submitted and not outcome.open:
        store.delete_workflow(workflow.id)
        raise SubmissionRefused(f"{outcome.refused[0][1]} (nothing was created)")
    _report(state, workflow, outcome, "Created")


def _refuse_failed(outcome: Outcome) -> None:
    """Raise Conflict if no action could be executed; what is wrong with some is logged."""
    if outcome.failed and not outcome.count:
        action_id, why = outcome.failed[0]
        raise Conflict(f"action {action_id}: {why}")


def _report(state: State, workflow: Workflow, outcome: Outcome, verb: str) -> None:
    from slurmtorc.cli.slurm_nodes import complain

    if state.as_json:
        emit_json(_as_json(workflow, outcome))
    else:
        ids = ", ".join(str(a.scheduler_id) for a in outcome.submitted) or "none"
        click.echo(f"{verb} workflow {workflow.id} ({workflow.name}); Slurm jobs: {ids}")
        click.echo(f"Follow it with: torc watch {workflow.id}")
    complain(workflow, outcome)
    if outcome.open and not outcome.submitted:
        raise SlurmUnavailable(
            f"workflow {workflow.id} is stored, and nothing is submitted yet; "
            f"go on with: torc submit {workflow.id}"
        )


def _as_json(workflow: Workflow, outcome: Outcome) -> dict[str, Any]:
    return {
        "workflow_id": workflow.id,
        "status": "success" if not outcome.refused else "partial_success",
        "slurm_job_ids": [allocation.scheduler_id for allocation in outcome.submitted],
        "refused": [reason for _, reason in outcome.refused],
        "open": [reason for _, reason in outcome.open],
    }


# ── torc submit-slurm ────────────────────────────────────────────────────────


@click.command("submit-slurm", cls=TorcCommand)
@click.argument("file", metavar="FILE")
@click.option("-a", "--account", help="The account to charge.  [default: slurm_defaults.account]")
@click.option("-p", "--partition", help="Use this partition.  [default: the smallest that fits]")
@click.option("--single-allocation", is_flag=True, help="1 allocation of N nodes, not N of 1.")
@click.option(
    "--walltime-multiplier",
    type=click.FloatRange(min=1.0),
    default=1.5,
    show_default=True,
    help="How much longer than its runtime a job may take.",
)
@click.option("--overwrite", is_flag=True, help="Plan anew what the file says about allocations.")
@click.option("--dry-run", is_flag=True, help="Print the plan and the scripts; touch nothing.")
@_OUTPUT_DIR
@_IGNORE_MISSING
@pass_state
def submit_slurm(
    state: State,
    file: str,
    account: str | None,
    partition: str | None,
    single_allocation: bool,
    walltime_multiplier: float,
    overwrite: bool,
    dry_run: bool,
    output_dir: str | None,
    ignore_missing_data: bool,
) -> None:
    """Plan Slurm allocations for a workflow, and submit.

    Jobs are grouped by requirement and dependency level; each group gets allocations of the
    right size and length, asked for when its jobs are ready.

    Example: torc submit-slurm --account myproject examples/ising_sweep.yaml --dry-run
    """
    from slurmtorc.rules.planning import Options, plan
    from slurmtorc.wiring import slurm

    if output_dir:
        state.overrides["output_dir"] = output_dir
    draft = read_draft(file)
    port = slurm(state.settings)
    options = Options(
        account=account or _default_account(draft),
        partition=partition,
        walltime_multiplier=walltime_multiplier,
        single_allocation=single_allocation,
        overwrite=overwrite,
    )
    planned = plan(draft, site=port.site(), options=options)
    _refuse_faults(planned, file)
    for dropped in planned.dropped:
        note(f"torc: warning: left out, for --overwrite: {dropped}")
    whole = planned.apply(draft)
    if dry_run:
        _show(state, planned, whole)
        return
    _show_plan(planned, stderr=True)
    _submit_new(state, port, whole, file, ignore_missing=ignore_missing_data)


def _default_account(draft: Draft) -> str:
    account = (draft.workflow.slurm_defaults or {}).get("account")
    if not account:
        raise UsageError("no account: name one with --account, or in slurm_defaults.account")
    return str(account)


def _refuse_faults(planned: Plan, name: str) -> None:
    from slurmtorc.cli.faults import lines

    warnings = [fault for fault in planned.faults if fault.warning]
    if len(warnings) < len(planned.faults):
        raise SpecError(name, list(planned.faults))
    for line in lines(name, warnings):
        note(line)


def _show(state: State, planned: Plan, draft: Draft) -> None:
    """The plan and one script for each scheduler, without an intent of any."""
    scripts = [_script(state, draft, at) for at in range(len(planned.schedulers))]
    if state.as_json:
        emit_json(
            {
                "dry_run": True,
                "plan": [dict(zip(planned.COLUMNS, row, strict=True)) for row in planned.rows()],
                "slurm_schedulers": plain(list(planned.schedulers)),
                "scripts": scripts,
            }
        )
        return
    _show_plan(planned, stderr=False)
    for scheduler, script in zip(planned.schedulers, scripts, strict=True):
        click.echo(f"\n# ── {scheduler.name} ──\n{script}")


def _show_plan(planned: Plan, *, stderr: bool) -> None:
    columns = [column.capitalize() for column in planned.COLUMNS]
    emit_table("Plan", columns, planned.rows(), empty="Nothing to plan.", stderr=stderr)


def _script(state: State, draft: Draft, at: int) -> str:
    from slurmtorc.model import Allocation
    from slurmtorc.wiring import allocation_script

    output = os.path.join(os.getcwd(), state.settings.output_dir)  # noqa: PTH109, PTH118
    example = Allocation(workflow_id=0, token="dryrun", output_dir=output)  # noqa: S106
    workflow = replace(draft.workflow, id=0)
    return allocation_script(_shown_url(state), workflow, draft.schedulers[at], example).text


def _shown_url(state: State) -> str:
    """The store's URL as a script would have it, without its password."""
    from slurmtorc.wiring import shown_url

    return shown_url(state.settings)
