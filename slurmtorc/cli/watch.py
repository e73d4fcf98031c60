"""`torc watch`: follow a workflow in Slurm until the end."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.log import log_to
from slurmtorc.cli.render import note

if TYPE_CHECKING:
    from slurmtorc.cli.watching import Display
    from slurmtorc.model import Workflow
    from slurmtorc.rules.watching import Stop
    from slurmtorc.watch.watcher import Watcher

log = logging.getLogger("slurmtorc.cli.watch")

INFRASTRUCTURE = 5


@click.command("watch", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option(
    "-p",
    "--poll-interval",
    type=click.FloatRange(min=1.0),
    default=10.0,
    show_default=True,
    help="Seconds between looks.",
)
@pass_state
def watch(state: State, workflow_id: int, poll_interval: float) -> int:
    """Follow a workflow's jobs and allocations until the end.

    Allocations that later stages need are asked for here too, and those that are left in the
    queue when nothing is left to run are canceled.

    Exit status: 0 all jobs completed, 1 some did not, 3 jobs are left and nothing can run them,
    4 the workflow was canceled, 5 the store was lost, 130 after Ctrl-C (the workflow goes on).

    Example: torc watch 7
    """
    from slurmtorc.cli.summary import emit_summary
    from slurmtorc.cli.watching import display_for
    from slurmtorc.model import Workflow

    workflow = state.store.get(Workflow, workflow_id)
    _log(state, workflow)
    with display_for(workflow) as display:
        ended = _drive(_watcher(state, workflow, poll_interval, display))
    if ended is None:
        return INFRASTRUCTURE
    emit_summary(state.store, workflow_id, as_json=state.as_json)
    note(f"Workflow {workflow_id}: {ended.reason}.")
    return ended.exit_code


def _drive(watcher: Watcher) -> Stop | None:
    """Watch until the end; None if the store was lost."""
    from slurmtorc.errors import StoreUnavailable
    from slurmtorc.loop import drive

    try:
        drive(watcher.tick, watcher.ports.clock.sleep)
    except StoreUnavailable as error:
        log.error("The store was lost: %s", error)  # noqa: TRY400  one clear line
        note(f"torc: error: {error}")
        return None
    assert watcher.ended is not None, "a watch ends by its own decision"
    return watcher.ended


def _watcher(state: State, workflow: Workflow, poll_s: float, display: Display) -> Watcher:
    from slurmtorc.watch.watcher import Ports, Watcher
    from slurmtorc.wiring import clock, slurm, submitter

    port = slurm(state.settings)
    asks = submitter(state.store, port, state.settings)
    ports = Ports(store=state.store, slurm=port, clock=clock, submitter=asks)
    output_dir = state.settings.output_dir
    return Watcher(ports, workflow, display.show, poll_s=poll_s, output_dir=output_dir)


def _log(state: State, workflow: Workflow) -> None:
    """Append to the watch's log, beside the workflow's output."""
    from slurmtorc.schedule.submit import directory_of

    host = socket.gethostname().partition(".")[0]
    folder = Path(directory_of(workflow), state.settings.output_dir)
    log_to(folder / f"watch_{host}_wf{workflow.id}.log")
