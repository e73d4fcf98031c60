"""`torc jobs spawn`: a job that is a shell script adds jobs to its own workflow."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json
from slurmtorc.errors import InvalidValue, UsageError
from slurmtorc.rules.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import Spawned, SpawnJob


@click.command("spawn", cls=TorcCommand)
@click.argument("file", metavar="[FILE|-]", required=False)
@click.option("-n", "--name", "names", multiple=True, help="Name of a job; repeatable.")
@click.option("-c", "--command", "commands", multiple=True, help="Its command, in the same order.")
@click.option("--job", "job_id", type=ID, help="The running job that spawns.  [env: TORC_JOB_ID]")
@click.option(
    "--lineage",
    metavar="NAME",
    help="The chain of jobs that spawn one another.  [default: its own]",
)
@click.option("--state", "state_text", metavar="JSON", help="A value kept with this generation.")
@pass_state
def spawn(
    state: State,
    file: str | None,
    names: tuple[str, ...],
    commands: tuple[str, ...],
    job_id: int | None,
    lineage: str | None,
    state_text: str | None,
) -> None:
    """Add jobs to the workflow of a running job; they wait until it has ended.

    FILE holds `jobs` as a workflow file does (with parameters, if you like), and may hold
    `lineage` and `state`; - reads YAML or JSON from standard input. Or name the jobs by --name
    and --command. Inside a job everything else is known; outside, name the job by --job. All
    are added, or none; the same call again finds the same jobs and adds nothing. With --state
    and no jobs, the lineage has converged.

    Example: torc jobs spawn next.yaml --state '{"best": 1.5}'
    """
    if file is not None and (names or commands):
        raise UsageError("give a FILE, or jobs by --name and --command, not both")
    jobs, in_file, value = _from_file(file) if file else (_pairs(names, commands), None, None)
    value = value if state_text is None else _json(state_text)
    if not jobs and value is None:
        raise UsageError("no jobs to spawn; give a FILE, or --name and --command, or --state")
    found = state.store.spawn(_caller(job_id), lineage or in_file, jobs, value)
    _show(jobs, found, as_json=state.as_json)


def _from_file(path: str) -> tuple[list[SpawnJob], str | None, Any]:
    from slurmtorc.spec.spawned import load_batch

    batch = load_batch(path)
    return batch.jobs, batch.lineage, batch.state


def _pairs(names: Sequence[str], commands: Sequence[str]) -> list[SpawnJob]:
    from slurmtorc.model import SpawnJob

    if len(names) != len(commands):
        counted = f"--name is given {len(names)} times and --command {len(commands)} times"
        raise UsageError(f"{counted}; give each job a name and a command")
    pairs = zip(names, commands, strict=True)
    return [SpawnJob(name=name, command=command) for name, command in pairs]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidValue(
            f"--state is no JSON ({error}): {text!r}", allowed="""write it as in '{"best": 1.5}'"""
        ) from None


def _caller(given: int | None) -> int:
    """The job that spawns: the one that was named, or the one this command runs in."""
    if given is not None:
        return given
    written = os.environ.get("TORC_JOB_ID", "")
    if not written.isdecimal():
        raise UsageError("this is no job of a workflow; name the running job by --job ID")
    return int(written)


def _show(jobs: Sequence[SpawnJob], found: Spawned, *, as_json: bool) -> None:
    """In JSON the keys of torc's answer."""
    if as_json:
        emit_json({"iteration": found.iteration, "spawned_job_ids": found.job_ids})
        return
    if not jobs:
        click.echo(f"Converged after iteration {found.iteration}")
        return
    what = "job" if len(jobs) == 1 else "jobs"
    click.echo(f"Iteration {found.iteration}: {what} {listed([str(i) for i in found.job_ids])}")
