"""`torc logs analyze` and `torc slurm parse-logs`: what log files tell. They change nothing.

Logs that have been packed (bundle.py) are read from their bundles.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.bundle import bundle, unbundle
from slurmtorc.cli.context import ID, State, TorcCommand, TorcGroup, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import emit_json
from slurmtorc.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.cli.troubles import Log
    from slurmtorc.ports import Store


@click.group("logs", cls=TorcGroup)
def logs() -> None:
    """Look for known trouble in log files, and pack them."""


@logs.command("analyze")
@click.argument("path_or_id", metavar="PATH|WORKFLOW_ID")
@click.option("-w", "--workflow-id", type=ID, help="Only the files of this workflow.")
@click.option("--errors-only", is_flag=True, help="Leave warnings out.")
@pass_state
def analyze(state: State, path_or_id: str, workflow_id: int | None, errors_only: bool) -> None:
    """Look for known trouble in a directory of logs, or in the logs of a workflow.

    Out of memory, time limits, crashes, full disks, missing files and modules, and what Slurm
    complains of: each with what it means and what helps. A directory or file needs no store.

    Example: torc logs analyze torc_output
    """
    from slurmtorc.cli.troubles import Owners, directories_of, files_below, read, report, show

    path = Path(path_or_id)
    if path_or_id.isdecimal() and not path.exists():
        workflow_id = int(path_or_id)
        folders = directories_of(state.store, workflow_id)
    else:
        folders = [path]
    files = [
        one
        for folder in folders
        if folder.exists() or folder == path
        for one in files_below(folder, workflow_id)
    ]
    scan = read(files, Owners.known_to(state, workflow_id), errors_only=errors_only)
    if state.as_json:
        emit_json(report(scan, workflow_id=workflow_id, paths=[str(one) for one in folders]))
    else:
        show(scan)


@click.command("parse-logs", cls=TorcCommand)
@click.argument("where", metavar="WORKFLOW_ID|DIRECTORY")
@click.option("-w", "--workflow-id", type=ID, help="Of a directory, only this workflow's files.")
@click.option("--errors-only", is_flag=True, help="Leave warnings out.")
@pass_state
def parse_logs(state: State, where: str, workflow_id: int | None, errors_only: bool) -> None:
    """Look for known trouble in what Slurm wrote for the allocations, and in jobs' stderr.

    Of a workflow: the output of its allocations, and stderr of the attempts that did not
    succeed. Of a directory, which needs no store: the same files of every workflow in it.

    Example: torc slurm parse-logs 7 --errors-only
    """
    from slurmtorc.cli.troubles import Owners, directories_of, read, report, show

    path = Path(where)
    if where.isdecimal() and not path.is_dir():
        workflow_id = int(where)
        folders = directories_of(state.store, workflow_id)
        files = _files_of(state.store, workflow_id, folders)
    else:
        folders = [path]
        files = _files_in(path, workflow_id)
    scan = read(files, Owners.known_to(state, workflow_id), errors_only=errors_only)
    if state.as_json:
        slurm_jobs = {source.slurm_job_id for source in map(_source, files) if source}
        shown = [str(one) for one in folders]
        head = {"workflow_id": workflow_id, "output_dir": shown[0] if shown else None}
        emit_json(
            report(scan, **head, output_dirs=shown, slurm_jobs_count=len(slurm_jobs - {None}))
        )
    else:
        show(scan)


def _files_of(store: Store, workflow_id: int, folders: Sequence[Path]) -> list[Log]:
    from slurmtorc.bundles.places import find
    from slurmtorc.cli.slurm_reports import known_to_slurm
    from slurmtorc.cli.troubles import FAILED, files_below
    from slurmtorc.model import Result
    from slurmtorc.slurm.logs import of_slurm

    numbers = {one.scheduler_id for one in known_to_slurm(store, workflow_id)}
    written = [
        file
        for folder in folders
        if folder.is_dir()
        for file in files_below(folder, workflow_id)
        if of_slurm(file.name) and (source := _source(file)) and source.slurm_job_id in numbers
    ]
    failed = every(store, Result, workflow_id=workflow_id, status=FAILED)
    stderr = dict.fromkeys(Path(one.stderr_path) for one in failed if one.stderr_path)
    there = (file if file.exists() else find(file) for file in stderr)
    return [*written, *(file for file in there if file)]


def _files_in(folder: Path, workflow_id: int | None) -> list[Log]:
    from slurmtorc.cli.troubles import files_below
    from slurmtorc.slurm.logs import of_slurm

    if not folder.is_dir():
        raise NotFound(f"there is no directory {folder}")
    files = files_below(folder, workflow_id)
    return [
        file
        for file in files
        if of_slurm(file.name)
        or (_source(file) and file.name.startswith("job_wf") and not file.name.endswith(".o"))
    ]


def _source(file: Log) -> Any:
    from slurmtorc.slurm.logs import source

    return source(file.name)


logs.add_command(bundle)
logs.add_command(unbundle)
