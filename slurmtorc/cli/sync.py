"""`torc workflows sync-status`: what a watch would find dead, found and ended once by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json
from slurmtorc.errors import Conflict

if TYPE_CHECKING:
    from slurmtorc.model import Allocation, Workflow
    from slurmtorc.watch.acts import Actor, Ports
    from slurmtorc.watch.look import Scene
    from slurmtorc.watch.sweep import Toll

LEASE_S = 120.0


@click.command("sync-status", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@pass_state
def sync_status(state: State, workflow_id: int, dry_run: bool) -> None:
    """End the jobs of workers and allocations that are gone.

    A watch does this all the time. By hand it takes one look: what only time can prove (an
    allocation that the queue does not know) is said, and believed at a later look.

    Example: torc workflows sync-status 7 --dry-run
    """
    from slurmtorc.cli.watch import watch_ports
    from slurmtorc.model import Workflow
    from slurmtorc.watch.acts import Actor, Manner
    from slurmtorc.watch.look import look
    from slurmtorc.watch.sweep import toll

    workflow = state.store.get(Workflow, workflow_id)
    ports = watch_ports(state)
    if not dry_run:
        _begin(ports, workflow)
    scene = look(state.store, ports.slurm, ports.clock, [workflow_id])[workflow_id]
    dead = [toll(state.store, workflow, lost) for lost in scene.lost]
    actor = Actor(ports, Manner(output_dir=state.settings.output_dir))
    said = actor.foresee(workflow, scene) if dry_run else _swept(ports, actor, workflow, scene)
    if state.as_json:
        emit_json(_as_json(workflow, scene, dead) | {"dry_run": dry_run})
        return
    for line in said or ["Nothing is dead."]:
        click.echo(line)
    for allocation in _doubtful(scene):
        click.echo(f"allocation {allocation.id}: {_doubt(scene)}")


def _begin(ports: Ports, workflow: Workflow) -> None:
    """Hold the lease, so that no watch does the same at the same time."""
    store, until = ports.store, ports.clock.now() + LEASE_S
    if store.hold_watch(ports.watch_of(workflow.id, until)) is None:
        there = store.watch_state(workflow.id)
        where = f" on {there.hostname} (process {there.pid})" if there else ""
        raise Conflict(f"a watch of workflow {workflow.id} is at work{where}; it does this itself")
    store.suspect([workflow.id])


def _swept(ports: Ports, actor: Actor, workflow: Workflow, scene: Scene) -> list[str]:
    ports.store.observe(scene.changed)
    try:
        said = actor.sweep(workflow, scene)
        while ports.scripts is not None and ports.scripts.running:
            ports.clock.sleep(0.2)
            if ports.scripts.poll():
                said += actor.sweep(workflow, scene)
    finally:
        ports.store.leave_watch(workflow.id, ports.holder)
    return list(dict.fromkeys(said))


def _doubtful(scene: Scene) -> list[Allocation]:
    from slurmtorc.rules.evidence import Standing
    from slurmtorc.watch.look import standing_of

    return [one for one in scene.allocations if standing_of(one) is Standing.UNKNOWN]


def _doubt(scene: Scene) -> str:
    if not scene.answered:
        return "Slurm does not answer"
    return "the queue does not know it; look again in some minutes"


def _as_json(workflow: Workflow, scene: Scene, dead: list[Toll]) -> dict[str, Any]:
    """Under torc's keys."""
    details = [
        {
            "job_id": fate.job.id,
            "job_name": fate.job.name,
            "reason": str(fate),
            "slurm_job_id": fate.node.slurm_job_id,
        }
        for each in dead
        for fate in each.fates
    ]
    in_slurm = [detail for detail in details if detail["slurm_job_id"] is not None]
    return {
        "workflow_id": workflow.id,
        "slurm_jobs_failed": len(in_slurm),
        "pending_allocations_cleaned": len(scene.ended),
        "running_jobs_failed": len(details) - len(in_slurm),
        "failed_job_details": details,
        "undecided_allocations": [one.id for one in _doubtful(scene)],
    }
