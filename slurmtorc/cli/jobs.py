"""Jobs: list, get, and their output."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import ID, State, TorcGroup, paged, pass_state
from slurmtorc.cli.job_changes import delete, disable, enable, reset_jobs, update
from slurmtorc.cli.render import Listing, emit_json, emit_record, emit_rows, note, plain
from slurmtorc.cli.resets import classify
from slurmtorc.cli.spawning import spawn
from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from slurmtorc.model import Job
    from slurmtorc.ports import Page
    from slurmtorc.worker.paths import Stdio

COMMAND_SHOWN = 60
STATUS_WORDS = click.Choice([status.word for status in JobStatus])


@click.group("jobs", cls=TorcGroup)
def jobs() -> None:
    """List and inspect jobs; read their output."""


@jobs.command("list")
@click.argument("workflow_id", type=ID)
@click.option("-s", "--status", type=STATUS_WORDS, multiple=True, help="Only these; repeatable.")
@paged
@pass_state
def list_(state: State, workflow_id: int, status: tuple[str, ...], page: Page) -> None:
    """List the jobs of a workflow.

    Example: torc jobs list 7 --status failed --status terminated
    """
    from slurmtorc.model import Job

    store = state.store
    store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    where = {"status": [JobStatus[word.upper()] for word in status]} if status else {}
    rows = store.rows(Job, page, workflow_id=workflow_id, **where)
    emit_rows(rows, _LISTING, of=f"workflow {workflow_id}", as_json=state.as_json)


def _row(job: Job) -> tuple[object, ...]:
    command = " ".join(job.command.split())
    shown = command if len(command) <= COMMAND_SHOWN else command[: COMMAND_SHOWN - 1] + "…"
    return job.id, job.name, job.status.word, job.priority, job.attempt_id, shown


_COLUMNS = ("ID", "Name", "Status", "Priority", "Attempt", "Command")
_LISTING = Listing("Jobs", "jobs", _COLUMNS, _row)


@jobs.command("get")
@click.argument("job_id", type=ID)
@pass_state
def get(state: State, job_id: int) -> None:
    """Show one job, and which jobs it waits for.

    Example: torc jobs get 42
    """
    from slurmtorc.model import Job

    record = plain(state.store.get(Job, job_id))
    record["depends_on_job_ids"] = state.store.dependencies([job_id])[job_id]
    emit_json(record) if state.as_json else emit_record(record)


@jobs.command("logs")
@click.argument("job_id", type=ID)
@click.option("--stderr", "which", flag_value="stderr", help="Standard error instead.")
@click.option(
    "--stdout",
    "which",
    flag_value="stdout",
    default="stdout",
    help="Standard output (the default).",
)
@click.option("-a", "--attempt", type=click.IntRange(min=1), help="An attempt; else the last.")
@click.option("-r", "--run-id", type=ID, help="A run; else the last in which it ran.")
@click.option("--path", is_flag=True, help="Print where the file is instead of what is in it.")
@pass_state
def logs(
    state: State, job_id: int, which: str, attempt: int | None, run_id: int | None, path: bool
) -> None:
    """Print what a job wrote, or has written so far if it runs.

    Of its last attempt in its last run, unless you name others.

    Example: torc jobs logs 42 --stderr
    """
    found = _running(state, job_id, attempt, run_id) or _ended(state, job_id, attempt, run_id)
    attempt, stdio = found
    file = stdio.stdout if which == "stdout" else stdio.stderr
    if file is None:
        raise NotFound(f"attempt {attempt} of job {job_id} kept no {which}")
    if state.as_json:
        where = {"path": file, "bundle": _bundle(Path(file))}
        emit_json({"job_id": job_id, "attempt_id": attempt, **where})
    elif path:
        click.echo(file)
        if bundle := _bundle(Path(file)):
            note(f"It is packed in {bundle}; torc logs unbundle puts it back.")
    else:
        copy(Path(file))


def _ended(state: State, job_id: int, attempt: int | None, run_id: int | None) -> tuple[int, Stdio]:
    """An attempt with a result, the last one if none is named, and where it wrote.

    One that ended after its job had been canceled, or given to another worker, counts too.
    """
    from slurmtorc.model import Job, Result
    from slurmtorc.ports import NEWEST
    from slurmtorc.worker.paths import Stdio

    given = {"attempt_id": attempt, "run_id": run_id}
    where = {name: value for name, value in given.items() if value is not None}
    found = state.store.rows(Result, NEWEST, job_id=job_id, **where).items
    if not found:
        job = state.store.get(Job, job_id)
        which = "no attempt" if attempt is None else f"no attempt {attempt}"
        which += "" if run_id is None else f" of run {run_id}"
        raise NotFound(f"{which} of job {job_id} has ended; it is {job.status.word}")
    return found[0].attempt_id, Stdio(found[0].stdout_path, found[0].stderr_path)


def _running(
    state: State, job_id: int, attempt: int | None, run_id: int | None
) -> tuple[int, Stdio] | None:
    """The attempt that runs now, and where its worker lets it write."""
    from slurmtorc.model import ComputeNode, Job, Workflow
    from slurmtorc.worker.paths import attempt_stem, stdio, stdio_mode

    job = state.store.get(Job, job_id)
    if job.status is not JobStatus.RUNNING or attempt not in {None, job.attempt_id}:
        return None
    workflow = state.store.get(Workflow, job.workflow_id)
    if run_id not in {None, workflow.run_id}:
        return None
    node = state.store.get(ComputeNode, job.compute_node_id or 0)
    stem = attempt_stem(workflow.id, job.id, workflow.run_id, job.attempt_id)
    mode = stdio_mode(job.stdio, workflow.execution_config)
    return job.attempt_id, stdio(node.output_dir, stem, mode)


def _bundle(path: Path) -> str | None:
    """The bundle a file has been packed into, if it is a file no more."""
    from slurmtorc.bundles.places import find

    packed = None if path.exists() else find(path)
    return None if packed is None else str(packed.bundle)


def copy(path: Path) -> None:
    """Print a file as it is, out of a bundle if it has been packed."""
    from slurmtorc.bundles.places import find

    packed = None if path.exists() else find(path)
    try:
        with path.open("rb") if packed is None else packed.open_bytes() as file:
            sys.stdout.flush()
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except OSError as error:
        raise Conflict(f"{path} cannot be read: {error.strerror}") from error


for command in (classify, delete, disable, enable, reset_jobs, spawn, update):
    jobs.add_command(command)
