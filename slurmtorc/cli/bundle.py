"""`torc logs bundle` and `unbundle`: log files of finished runs as few files, and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json, note
from slurmtorc.errors import Conflict
from slurmtorc.rules.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.bundles.packing import Packing
    from slurmtorc.ports import Store


@click.command("bundle", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("-r", "--run-id", type=ID, multiple=True, help="Only these runs; repeatable.")
@click.option("--remove", is_flag=True, help="Delete the files that are safe in a bundle.")
@pass_state
def bundle(state: State, workflow_id: int, run_id: tuple[int, ...], remove: bool) -> None:
    """Pack the log files of a finished workflow, or of earlier runs, into few files.

    The output of jobs, of recovery scripts, actions, workers, watches and allocations goes to
    log_bundles/ in the output directory: tar files in gzip, which tar unpacks. `torc jobs logs`
    and `torc logs analyze` read from them. With --remove, files go once their bundle has been
    written to the disk and read back. A command that was killed is given again.

    Example: torc logs bundle 7 --remove
    """
    from slurmtorc.bundles.packing import alone_in, pack
    from slurmtorc.bundles.places import logs_in, set_apart
    from slurmtorc.worker.lease import LEASE_S

    _refuse_unfinished(state.store, workflow_id, run_id)
    ended = _last_sign(state.store, workflow_id) + LEASE_S
    done = []
    for folder in _folders(state.store, workflow_id):
        with alone_in(folder):
            logs = logs_in(folder, workflow_id, _action_logs(state.store, workflow_id))
            found, younger = set_apart(folder, logs, ended)
            if younger:
                _warn_of_younger(folder, workflow_id, younger)
            for run, names in found.items():
                if not run_id or run in run_id:
                    done.append(pack(folder, workflow_id, run, names, remove=remove))
    _tell(workflow_id, done, as_json=state.as_json)


def _refuse_unfinished(store: Store, workflow_id: int, runs: tuple[int, ...]) -> None:
    """Raise Conflict while anybody may still write, or has yet to."""
    from slurmtorc.model import Workflow

    outlook = store.outlook(workflow_id)
    use = _use(store, workflow_id) or ("running jobs" if outlook.held else None)
    if use:
        raise Conflict(f"workflow {workflow_id} has {use}; its logs are packed once it has ended")
    newest = store.get(Workflow, workflow_id).run_id
    finished = outlook.is_complete or outlook.is_canceled
    if not finished and (not runs or max(runs) >= newest):
        message = f"run {newest} of workflow {workflow_id} has not ended"
        raise Conflict(f"{message}; earlier runs can be packed with --run-id")


def _use(store: Store, workflow_id: int) -> str | None:
    """Who is at work in a workflow."""
    from slurmtorc.cli.reading import every
    from slurmtorc.model import Allocation, AllocationStatus, ComputeNode
    from slurmtorc.wiring import clock

    now = clock.now()
    workers = every(store, ComputeNode, workflow_id=workflow_id, is_active=True)
    if any(one.lease_until > now for one in workers):
        return "live workers"
    live = [one for one in AllocationStatus if one is not AllocationStatus.COMPLETE]
    if any(every(store, Allocation, workflow_id=workflow_id, status=live)):
        return "allocations in Slurm"
    watch = store.watch_state(workflow_id)
    return "a live watch" if watch and watch.holder and watch.lease_until > now else None


def _last_sign(store: Store, workflow_id: int) -> float:
    """When anything was last heard of the workflow: by its events, and by its workers."""
    from slurmtorc.cli.reading import every
    from slurmtorc.model import ComputeNode, Event
    from slurmtorc.ports import NEWEST

    told = [one.timestamp for one in store.rows(Event, NEWEST, workflow_id=workflow_id).items]
    beats = [one.heartbeat for one in every(store, ComputeNode, workflow_id=workflow_id)]
    return max([*told, *beats], default=math.inf)


def _warn_of_younger(folder: Path, workflow_id: int, count: int) -> None:
    late = f"written after workflow {workflow_id} had ended, perhaps by another store's"
    note(f"torc: warning: left alone, as {late}: {counted(count, 'file')} in {folder}")


def _folders(store: Store, workflow_id: int) -> Iterator[Path]:
    from slurmtorc.cli.troubles import directories_of

    for folder in directories_of(store, workflow_id):
        if folder.is_dir():
            yield folder


def _action_logs(store: Store, workflow_id: int) -> list[Path]:
    from slurmtorc.cli.reading import every
    from slurmtorc.model import ActionRun

    runs = every(store, ActionRun, workflow_id=workflow_id)
    return [Path(one.log_path) for one in runs if one.log_path]


def _tell(workflow_id: int, done: list[Packing], *, as_json: bool) -> None:
    from slurmtorc.units import display_memory

    bundles = [str(path) for one in done for path in one.bundles]
    sums = {
        name: sum(getattr(one, name) for one in done)
        for name in ("packed", "removed", "changed", "raw_bytes", "bytes")
    }
    if as_json:
        emit_json({"workflow_id": workflow_id, "bundles": bundles, **sums})
        return
    for path in bundles:
        click.echo(path)
    sizes = f"{display_memory(sums['raw_bytes'])} as {display_memory(sums['bytes'])}"
    click.echo(f"Packed {counted(sums['packed'], 'file')}, {sizes}; removed {sums['removed']}")
    if sums["changed"]:
        note(f"torc: warning: left there, as changed since: {counted(sums['changed'], 'file')}")


@click.command("unbundle", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("-r", "--run-id", type=ID, multiple=True, help="Only these runs; repeatable.")
@click.option("--remove", is_flag=True, help="Delete a bundle once all its logs are files again.")
@pass_state
def unbundle(state: State, workflow_id: int, run_id: tuple[int, ...], remove: bool) -> int:
    """Put packed logs back where they were. A file that is there is never written over.

    Example: torc logs unbundle 7 --run-id 1 --remove
    """
    from slurmtorc.bundles.packing import alone_in, unpack
    from slurmtorc.bundles.places import bundles_in

    back, others = 0, []
    for folder in _folders(state.store, workflow_id):
        with alone_in(folder):
            for run in run_id or (None,):
                newer: set[str] = set()
                for path in reversed(bundles_in(folder, workflow_id, run)):
                    count, differ = unpack(folder, path, remove=remove, newer=newer)
                    back += count
                    others += [str(folder / name) for name in differ]
    if state.as_json:
        emit_json({"workflow_id": workflow_id, "unpacked": back, "differ": others})
    else:
        click.echo(f"Unpacked {counted(back, 'file')}")
    for name in others:
        note(f"torc: warning: {name} is there with something else in it, and stays")
    return 1 if others else 0
