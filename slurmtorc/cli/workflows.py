"""Workflows: create, list, get, status, cancel, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.asking import DRY_RUN, NO_PROMPTS, agreed, perhaps
from slurmtorc.cli.check_resources import check_resources
from slurmtorc.cli.context import ID, State, TorcCommand, TorcGroup, paged, pass_state
from slurmtorc.cli.porting import export, import_
from slurmtorc.cli.prune import prune
from slurmtorc.cli.reinit import initialize, reinit, restart
from slurmtorc.cli.render import Listing, emit_json, emit_record, emit_rows, note, plain
from slurmtorc.cli.resets import reset_status
from slurmtorc.cli.status import status
from slurmtorc.cli.sync import sync_status
from slurmtorc.errors import UsageError
from slurmtorc.rules.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Page

NOT_COMPLETE = 1


@click.command("create", cls=TorcCommand)
@click.argument("file", metavar="FILE")
@pass_state
def create(state: State, file: str) -> None:
    """Store a workflow without running it.

    Run it later with `torc run ID`, or submit it with `torc submit ID`.

    Example: torc create examples/hello.yaml
    """
    from slurmtorc.cli.run import read_draft

    draft = read_draft(file)
    workflow_id = state.open_store(create=True).create(draft)
    if state.as_json:
        message = f"created with {counted(len(draft.jobs), 'job')}"
        emit_json({"workflow_id": workflow_id, "status": "success", "message": message})
    else:
        click.echo(f"Created workflow {workflow_id}")


@click.command("cancel", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@pass_state
def cancel(state: State, workflow_id: int) -> None:
    """Cancel a workflow and its Slurm allocations.

    Its workers end their running jobs; jobs that wait never start.

    Example: torc cancel 7
    """
    from slurmtorc.schedule.cancel import cancel_workflow
    from slurmtorc.wiring import slurm

    done = cancel_workflow(state.store, lambda: slurm(state.settings), workflow_id)
    if state.as_json:
        emit_json(
            {
                "workflow_id": workflow_id,
                "status": "partial_success" if done.errors else "success",
                "canceled_jobs": done.jobs,
                "canceled_slurm_jobs": done.slurm_job_ids,
                "errors": done.errors,
            }
        )
    else:
        jobs = counted(done.jobs, "job")
        allocations = counted(len(done.slurm_job_ids), "allocation")
        click.echo(f"Canceled workflow {workflow_id}: {jobs}, {allocations}")
    for error in done.errors:
        note(f"torc: warning: {error}")


# ── torc workflows … ─────────────────────────────────────────────────────────


class _Workflows(TorcGroup):
    """With torc's second names."""

    aliases = {"init": "initialize", "reinitialize": "reinit"}  # noqa: RUF012  never changed


@click.group("workflows", cls=_Workflows)
def workflows() -> None:
    """List, inspect, cancel and delete workflows."""


@workflows.command("list")
@click.option("-u", "--user", help="Workflows of this user only.")
@click.option("--all-users", is_flag=True, help="Workflows of all users.")
@click.option("--include-archived", is_flag=True, help="Those in the archive too.")
@click.option("--archived-only", is_flag=True, help="Only those in the archive.")
@paged
@pass_state
def list_(
    state: State,
    user: str | None,
    all_users: bool,
    include_archived: bool,
    archived_only: bool,
    page: Page,
) -> None:
    """List workflows: yours, unless you say otherwise.

    Example: torc workflows list --all-users -f json
    """
    from slurmtorc.cli.run import caller
    from slurmtorc.model import Workflow

    if include_archived and archived_only:
        raise UsageError("--include-archived and --archived-only exclude each other; give one")
    where: dict[str, Any] = {} if all_users else {"user": user or caller()}
    if not include_archived:
        where["is_archived"] = archived_only
    rows = state.store.rows(Workflow, page, **where)
    emit_rows(rows, _LISTING, as_json=state.as_json)


def _row(workflow: Workflow) -> tuple[object, ...]:
    from slurmtorc.units import iso_time

    return (
        workflow.id,
        workflow.user,
        workflow.name,
        workflow.description,
        workflow.project,
        workflow.run_id,
        iso_time(workflow.timestamp),
    )


_COLUMNS = ("ID", "User", "Name", "Description", "Project", "Run", "Created")
_LISTING = Listing("Workflows", "workflows", _COLUMNS, _row)


@workflows.command("get")
@click.argument("workflow_id", type=ID)
@pass_state
def get(state: State, workflow_id: int) -> None:
    """Show one workflow.

    Example: torc workflows get 7
    """
    from slurmtorc.model import Workflow

    record = plain(state.store.get(Workflow, workflow_id))
    emit_json(record) if state.as_json else emit_record(record)


@workflows.command("is-complete")
@click.argument("workflow_id", type=ID)
@pass_state
def is_complete(state: State, workflow_id: int) -> int:
    """Whether nothing more will happen; exit 0 if so, 1 if not.

    Example: torc workflows is-complete 7 && echo done
    """
    outlook = state.store.outlook(workflow_id)
    if state.as_json:
        emit_json({"is_complete": outlook.is_complete, "is_canceled": outlook.is_canceled})
    else:
        click.echo(f"is_complete: {outlook.is_complete}\nis_canceled: {outlook.is_canceled}")
    return 0 if outlook.is_complete else NOT_COMPLETE


@workflows.command("delete")
@click.argument("workflow_ids", type=ID, nargs=-1, required=True)
@click.option("--no-prompts", is_flag=True, help="Do not ask.")
@pass_state
def delete(state: State, workflow_ids: tuple[int, ...], no_prompts: bool) -> int:
    """Delete workflows with everything of them, or none of them. Output files stay.

    It asks first, except with --no-prompts or -f json.

    Example: torc workflows delete 7 8 --no-prompts
    """
    for workflow_id in workflow_ids:
        state.store.progress(workflow_id)  # an unknown id is an error before anything is deleted
    listed = ", ".join(map(str, workflow_ids))
    ask = not no_prompts and not state.as_json
    if ask and not click.confirm(f"Delete workflows {listed}?", err=True):
        return 0
    with state.store.together():
        for workflow_id in workflow_ids:
            state.store.delete_workflow(workflow_id)
    if state.as_json:
        emit_json([{"id": workflow_id, "deleted": True} for workflow_id in workflow_ids])
    else:
        click.echo(f"Deleted workflows {listed}")
    return 0


@workflows.command("archive")
@click.argument("archived", metavar="true|false", type=bool)
@click.argument("workflow_ids", type=ID, nargs=-1, required=True)
@DRY_RUN
@NO_PROMPTS
@pass_state
def archive(
    state: State,
    archived: bool,
    workflow_ids: tuple[int, ...],
    dry_run: bool,
    no_prompts: bool,
) -> None:
    """Put workflows into the archive (true), or take them out (false): all, or none.

    What is in the archive is kept and not listed, and nothing in it can run. Refused while workers
    or allocations of it live.

    Example: torc workflows archive true 7 8
    """
    _archive(state, workflow_ids, archived=archived, dry_run=dry_run, no_prompts=no_prompts)


@workflows.command("unarchive")
@click.argument("workflow_ids", type=ID, nargs=-1, required=True)
@DRY_RUN
@NO_PROMPTS
@pass_state
def unarchive(state: State, workflow_ids: tuple[int, ...], dry_run: bool, no_prompts: bool) -> None:
    """Take workflows out of the archive: as `archive false`.

    Example: torc workflows unarchive 7
    """
    _archive(state, workflow_ids, archived=False, dry_run=dry_run, no_prompts=no_prompts)


def _archive(
    state: State, workflow_ids: Sequence[int], *, archived: bool, dry_run: bool, no_prompts: bool
) -> None:
    listed = ", ".join(map(str, workflow_ids))
    verb = "Archive" if archived else "Unarchive"
    if not dry_run and not agreed(state, f"{verb} workflows {listed}?", no_prompts=no_prompts):
        return
    with perhaps(state.store, dry_run=dry_run):
        for workflow_id in workflow_ids:
            state.store.archive(workflow_id, archived=archived)
    if state.as_json:
        told = {"is_archived": archived, "dry_run": dry_run}
        emit_json([{"id": workflow_id} | told for workflow_id in workflow_ids])
    else:
        click.echo(f"{'Would be: ' if dry_run else ''}{verb.lower()}d workflows {listed}")


COMMANDS = (
    cancel,
    check_resources,
    create,
    export,
    import_,
    initialize,
    prune,
    reinit,
    reset_status,
    restart,
    status,
    sync_status,
)
for command in COMMANDS:
    workflows.add_command(command)
