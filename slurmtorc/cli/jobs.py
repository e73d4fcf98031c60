"""Jobs: list, get, and their output."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import State, TorcGroup, pass_state
from slurmtorc.cli.render import emit_json, emit_list, emit_record, emit_table, note, plain
from slurmtorc.errors import Conflict, NotFound
from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from slurmtorc.model import Job, Result

COMMAND_SHOWN = 60
STATUS_WORDS = click.Choice([status.word for status in JobStatus])


@click.group("jobs", cls=TorcGroup)
def jobs() -> None:
    """List and inspect jobs; read their output."""


@jobs.command("list")
@click.argument("workflow_id", type=int)
@click.option("-s", "--status", type=STATUS_WORDS, multiple=True, help="Only these; repeatable.")
@click.option("-l", "--limit", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--sort-by", default="id", show_default=True, help="A field of the job.")
@click.option("--reverse-sort", is_flag=True)
@pass_state
def list_(
    state: State,
    workflow_id: int,
    status: tuple[str, ...],
    limit: int,
    offset: int,
    sort_by: str,
    reverse_sort: bool,
) -> None:
    """List the jobs of a workflow.

    Example: torc jobs list 7 --status failed --status terminated
    """
    from slurmtorc.model import Job
    from slurmtorc.ports import Page

    store = state.store
    store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    where = {"status": [JobStatus[word.upper()] for word in status]} if status else {}
    page = Page(offset, limit, sort_by, reverse_sort)
    rows = store.rows(Job, page, workflow_id=workflow_id, **where)
    if state.as_json:
        emit_list("jobs", rows.items)
        return
    columns = ("ID", "Name", "Status", "Priority", "Attempt", "Command")
    emit_table(f"Jobs of workflow {workflow_id}", columns, map(_row, rows.items), empty=_EMPTY)
    if rows.has_more:
        note(f"{len(rows.items)} of {rows.total_count}; the next ones: --offset {offset + limit}")


_EMPTY = "No jobs found."


def _row(job: Job) -> tuple[object, ...]:
    command = " ".join(job.command.split())
    shown = command if len(command) <= COMMAND_SHOWN else command[: COMMAND_SHOWN - 1] + "…"
    return job.id, job.name, job.status.word, job.priority, job.attempt_id, shown


@jobs.command("get")
@click.argument("job_id", type=int)
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
@click.argument("job_id", type=int)
@click.option("--stderr", "which", flag_value="stderr", help="Standard error instead.")
@click.option("--stdout", "which", flag_value="stdout", default="stdout", hidden=True)
@click.option("-a", "--attempt", type=click.IntRange(min=1), help="An attempt; else the last.")
@click.option("--path", is_flag=True, help="Print where the file is instead of what is in it.")
@pass_state
def logs(state: State, job_id: int, which: str, attempt: int | None, path: bool) -> None:
    """Print what a job wrote, in its last attempt unless you say otherwise.

    Example: torc jobs logs 42 --stderr
    """
    result = _result(state, job_id, attempt)
    file = result.stdout_path if which == "stdout" else result.stderr_path
    if file is None:
        raise NotFound(f"attempt {result.attempt_id} of job {job_id} kept no {which}")
    if state.as_json:
        emit_json({"job_id": job_id, "attempt_id": result.attempt_id, "path": file})
    elif path:
        click.echo(file)
    else:
        _copy(Path(file))


def _result(state: State, job_id: int, attempt: int | None) -> Result:
    from slurmtorc.model import Job, Result
    from slurmtorc.ports import Page

    job = state.store.get(Job, job_id)
    where = {} if attempt is None else {"attempt_id": attempt}
    last = Page(limit=1, reverse_sort=True)
    found = state.store.rows(Result, last, job_id=job_id, superseded=False, **where).items
    if not found:
        which = "no attempt" if attempt is None else f"no attempt {attempt}"
        raise NotFound(f"{which} of job {job_id} has ended; it is {job.status.word}")
    return found[0]


def _copy(path: Path) -> None:
    try:
        with path.open("rb") as file:
            sys.stdout.flush()
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except OSError as error:
        raise Conflict(f"{path} cannot be read: {error.strerror}") from error
