"""`torc workflows initialize`, `reinit` and `restart`: beginning the runs of a workflow."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.asking import DRY_RUN, NO_PROMPTS, agreed
from slurmtorc.cli.context import ID, State, TorcCommand, pass_state, with_options
from slurmtorc.cli.render import emit_json, note
from slurmtorc.errors import Conflict
from slurmtorc.rules.wording import archived, counted, does

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.model import Workflow
    from slurmtorc.schedule.reinit import ReinitPlan

_OPTIONS = (
    DRY_RUN,
    click.option(
        "--hash",
        "by_contents",
        is_flag=True,
        help="Compare and note the contents of files (SHA-256).",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Begin although input files are missing; workers that run nothing are sent away.",
    ),
    NO_PROMPTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What may be said of the beginning of any run."""

    dry_run: bool
    by_contents: bool
    force: bool
    no_prompts: bool


def _with_how(command: Callable[..., object]) -> Callable[..., object]:
    """Let a command be told of a workflow, and how its run begins; it gets that as `how`."""

    @wraps(command)
    def told(state: State, workflow_id: int, **given: bool) -> object:
        return command(state, workflow_id, How(**given))

    decorated: Callable[..., object] = with_options(
        (click.argument("workflow_id", type=ID), *_OPTIONS, pass_state)
    )(told)
    return decorated


@click.command("reinit", cls=TorcCommand)
@_with_how
def reinit(state: State, workflow_id: int, how: How) -> None:
    """Begin a run of what must run again, and of nothing else.

    That is: jobs that were reset, terminated, canceled or set aside; jobs of which an input file,
    the command, the environment, a dependency or user data was changed, or an output is missing;
    and all jobs behind these. Failed jobs stay, unless you reset them. --dry-run says why.

    Example: torc workflows reinit 7 --dry-run
    """
    _refuse_unbegun(state, workflow_id)
    _begin_later(state, workflow_id, how)


@click.command("restart", cls=TorcCommand)
@_with_how
def restart(state: State, workflow_id: int, how: How) -> None:
    """Run everything again, as if the workflow were new.

    All jobs but disabled ones run again, from their first attempt; all actions may fire again,
    those of the workflow's start too. Results and logs of earlier runs stay.

    Example: torc workflows restart 7 --dry-run
    """
    _refuse_unbegun(state, workflow_id)
    _begin_later(state, workflow_id, how, anew=True)


@click.command("initialize", cls=TorcCommand)
@_with_how
def initialize(state: State, workflow_id: int, how: How) -> int:
    """Begin the first run of a workflow, without a worker.

    `torc run ID` and `torc submit ID` do so by themselves. A workflow that has run begins anew with
    everything, as with restart: you are asked for that, or say --no-prompts.

    Example: torc workflows initialize 7
    """
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.begin import begin

    workflow = state.store.get(Workflow, workflow_id)
    _refuse_archived(workflow)
    if workflow.run_id:
        _refuse_unasked(state, workflow, how)
        _begin_later(state, workflow_id, how, anew=True)
        return 0
    if how.dry_run:
        return foresee(state, workflow, force=how.force)
    workflow = begin(
        state.store, workflow_id, ignore_missing=how.force, by_contents=how.by_contents
    )
    _say_begun(state, workflow, f"Began run {workflow.run_id} of workflow {workflow_id}")
    return 0


def _refuse_unasked(state: State, workflow: Workflow, how: How) -> None:
    """Raise Conflict if nobody can be asked whether everything is to run again."""
    if not (how.dry_run or how.no_prompts or (sys.stdin.isatty() and not state.as_json)):
        message = f"workflow {workflow.id} has been run already (run {workflow.run_id})"
        raise Conflict(
            f"{message}; begin what must run again with `torc workflows reinit {workflow.id}`, or "
            f"everything with `torc workflows restart {workflow.id}` (or --no-prompts here)"
        )


def foresee(state: State, workflow: Workflow, *, force: bool) -> int:
    """What a first run would meet, under torc's keys; 1 if it could not begin."""
    from slurmtorc.schedule.folder import directory_of
    from slurmtorc.schedule.looking import modified, refuse_missing

    _refuse_archived(workflow)
    refuse_missing(state.store, workflow, [])  # user data
    directory = directory_of(workflow)
    needed = state.store.required_files(workflow.id)
    missing = [file.path for file in needed if modified(directory, file.path) is None]
    safe = force or not missing
    if state.as_json:
        emit_json(
            {
                "workflow_id": workflow.id,
                "dry_run": True,
                "safe": safe,
                "missing_input_files": missing,
                "missing_input_file_count": len(missing),
            }
        )
    else:
        for path in missing:
            click.echo(f"missing input file: {path}")
        click.echo(f"Workflow {workflow.id} {'can' if safe else 'cannot'} begin its first run")
    return 0 if safe else 1


def _refuse_unbegun(state: State, workflow_id: int) -> None:
    from slurmtorc.model import Workflow

    workflow = state.store.get(Workflow, workflow_id)
    _refuse_archived(workflow)
    if not workflow.run_id:
        message = f"workflow {workflow_id} has not been run yet, so nothing can run again"
        raise Conflict(f"{message}; begin with `torc run {workflow_id}`")


def _refuse_archived(workflow: Workflow) -> None:
    if workflow.is_archived:
        raise Conflict(archived(workflow.id))


def sweep_here(state: State, workflow_id: int) -> bool:
    """Workers of this machine that have died hold nothing any more; whether any job came back."""
    from slurmtorc.worker.node import this_node
    from slurmtorc.worker.sweep import sweep

    if back := sweep(state.store, workflow_id, this_node(os.environ).hostname):
        jobs = f"{counted(back, 'job')} of a worker that died"
        note(f"Workflow {workflow_id}: {jobs} {does(back, 'come')} back")
    return bool(back)


def _begin_later(state: State, workflow_id: int, how: How, *, anew: bool = False) -> None:
    """Show a plan; ask; begin the run. Nothing is changed before the answer."""
    from slurmtorc.cli.replan import as_json, show
    from slurmtorc.schedule.reinit import plan_reinit

    contents = how.by_contents
    planned = partial(plan_reinit, state.store, workflow_id, anew=anew, by_contents=contents)
    plan = planned()
    if how.dry_run:
        emit_json(as_json(plan) | {"dry_run": True}) if state.as_json else show(plan)
        return
    if plan.is_needed and not _agreed(state, plan, no_prompts=how.no_prompts):
        return
    if sweep_here(state, plan.workflow.id):
        plan = planned()
    _refuse_held(plan)
    if plan.is_needed:
        _begin(state, plan, force=how.force)
    else:
        _nothing(state, plan)


def _agreed(state: State, plan: ReinitPlan, *, no_prompts: bool) -> bool:
    from slurmtorc.cli.replan import show

    if not (no_prompts or state.as_json) and sys.stdin.isatty():
        show(plan, stderr=True)
    count = counted(len(plan.reasons) or plan.waiting, "job")
    question = f"Begin run {plan.workflow.run_id + 1} of workflow {plan.workflow.id}: {count}?"
    return agreed(state, question, no_prompts=no_prompts)


def _refuse_held(plan: ReinitPlan) -> None:
    """Raise Conflict while jobs are held: what was changed would not be seen by those."""
    if plan.held:
        held = counted(plan.held, "pending or running job")
        message = f"workflow {plan.workflow.id} has {held}"
        raise Conflict(f"{message}; wait for them, or cancel the workflow first")


def _begin(state: State, plan: ReinitPlan, *, force: bool) -> None:
    from slurmtorc.cli.replan import as_json
    from slurmtorc.schedule.reinit import begin_again

    workflow_id, count = plan.workflow.id, len(plan.reasons)
    begun = begin_again(state.store, plan, ignore_missing=force, force=force)
    if state.as_json:
        emit_json(as_json(plan) | {"dry_run": False, "status": "success", "message": "begun"})
        return
    again = f"{counted(count, 'job')} {does(count, 'run')} again"
    _say_begun(state, begun, f"Run {begun.run_id} of workflow {workflow_id}: {again}")


def _nothing(state: State, plan: ReinitPlan) -> None:
    """No run is begun; what has been seen to be the same by its contents is noted."""
    from slurmtorc.cli.replan import as_json

    state.store.note_files(plan.sight.times)
    state.store.note_contents(plan.sight.contents)
    if state.as_json:
        emit_json(as_json(plan) | {"dry_run": False, "status": "success", "message": "nothing"})
        return
    click.echo(f"Nothing of workflow {plan.workflow.id} must run again.")
    if plan.waiting:
        waiting = f"{counted(plan.waiting, 'job')} of run {plan.workflow.run_id}"
        note(f"{waiting} {does(plan.waiting, 'wait')} for a worker.")


def _say_begun(state: State, workflow: Workflow, message: str) -> None:
    if state.as_json:
        said: dict[str, Any] = {"workflow_id": workflow.id, "status": "success"}
        emit_json(said | {"run_id": workflow.run_id, "message": message})
        return
    click.echo(message)
    note(f"Run it with: torc run {workflow.id}, or in Slurm: torc submit {workflow.id}")
