"""`torc slurm usage`: what allocations cost, and what jobs had of it. It changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import emit_json, emit_table, note
from slurmtorc.cli.slurm_reports import accounted, known_to_slurm
from slurmtorc.errors import SlurmError
from slurmtorc.units import HOUR, display_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slurmtorc.model import UsageEntry
    from slurmtorc.ports import Store
    from slurmtorc.rules.usage import Held, Job, Used


@click.command("usage", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@pass_state
def usage(state: State, workflow_id: int) -> None:
    """Node time and CPU time of the allocations, and what jobs had of it.

    Packed: CPU time that jobs had reserved by their requirements, of what allocations held.
    Used: CPU time that jobs really used, of what they had reserved. What an allocation held is
    from Slurm's accounting where that knows it, and from its workers' times elsewhere.

    Example: torc slurm usage 7
    """
    from slurmtorc.rules.usage import used

    costs = _costs(state, workflow_id)
    had = used(_jobs(state.store, workflow_id))
    if state.as_json:
        emit_json(_usage(workflow_id, costs, had))
        return
    rows = [_usage_row(cost, had) for cost in costs]
    title = f"What the allocations of workflow {workflow_id} cost"
    emit_table(title, _USAGE, rows, empty="No allocations found.")
    if costs:
        _say_total(_total(costs, had))


_USAGE = ("Allocation", "Slurm job", "By", "Nodes", "Elapsed", "Node-hours", "CPU-hours", "Jobs",
          "Packed", "Used")  # fmt: skip


def _costs(state: State, workflow_id: int) -> list[Held]:
    """What each allocation cost, by whoever can say it."""
    from slurmtorc.model import ComputeNode
    from slurmtorc.rules.usage import held
    from slurmtorc.wiring import clock

    allocations = known_to_slurm(state.store, workflow_id)
    entries: Mapping[int, Sequence[UsageEntry]] = {}
    try:
        entries = accounted(state, allocations)
    except SlurmError as error:
        note(f"torc: warning: accounting was not heard, so times are the workers': {error}")
    workers: dict[int, list[ComputeNode]] = {}
    for one in every(state.store, ComputeNode, workflow_id=workflow_id):
        workers.setdefault(one.allocation_id or 0, []).append(one)
    return [
        held(
            one,
            next(iter(entries.get(one.scheduler_id or 0, ())), None),
            workers.get(one.id, ()),
            clock.now(),
        )
        for one in allocations
    ]


def _jobs(store: Store, workflow_id: int) -> Iterator[Job]:
    """Every attempt that ran or runs in an allocation."""
    from slurmtorc.model import ComputeNode, JobStatus, Result
    from slurmtorc.model import Job as JobRecord
    from slurmtorc.rules.usage import Job
    from slurmtorc.wiring import clock

    places = {
        one.id: one.allocation_id
        for one in every(store, ComputeNode, workflow_id=workflow_id)
        if one.allocation_id is not None
    }
    if not places:
        return
    cpus = _cpus(store, workflow_id)
    for job in every(store, JobRecord, workflow_id=workflow_id, status=JobStatus.RUNNING):
        place = places.get(job.compute_node_id or 0)
        if job.start_time is not None and place is not None:
            seconds = max(0.0, clock.now() - job.start_time)
            reserved = cpus.get(job.id, 1)
            yield Job(allocation_id=place, seconds=seconds, cpus=reserved, cpu_percent=None)
    for result in every(store, Result, workflow_id=workflow_id, superseded=False):
        place = places.get(result.compute_node_id or 0)
        if place is not None:
            yield Job(
                allocation_id=place,
                seconds=result.exec_time_s,
                cpus=cpus.get(result.job_id, 1),
                cpu_percent=result.avg_cpu_percent,
            )


def _cpus(store: Store, workflow_id: int) -> dict[int, int]:
    """Job id -> the CPUs it reserves."""
    from slurmtorc.model import Job, ResourceRequirements

    needs = {
        one.id: one.num_cpus * one.num_nodes
        for one in every(store, ResourceRequirements, workflow_id=workflow_id)
    }
    return {
        job.id: needs.get(job.resource_requirements_id or 0, 1)
        for job in every(store, Job, workflow_id=workflow_id)
    }


def _usage(workflow_id: int, costs: Collection[Held], had: Mapping[int, Used]) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        **_total(costs, had),
        "allocations": [_usage_record(cost, had) for cost in costs],
    }


def _usage_record(cost: Held, had: Mapping[int, Used]) -> dict[str, Any]:
    return {
        "allocation_id": cost.allocation.id,
        "slurm_job_id": cost.allocation.scheduler_id,
        "source": cost.source.value,
        "nodes": cost.nodes,
        "elapsed_s": cost.elapsed_s,
        "slurm_used_cpu_s": cost.used_cpu_s,
        **_shares([cost], had),
    }


def _total(costs: Collection[Held], had: Mapping[int, Used]) -> dict[str, Any]:
    sources = sorted({cost.source.value for cost in costs})
    return {"sources": sources, **_shares(costs, had)}


def _shares(costs: Collection[Held], had: Mapping[int, Used]) -> dict[str, Any]:
    """Times of some allocations together, and how much of them was of use."""
    from slurmtorc.rules.usage import share

    inside = [had[cost.allocation.id] for cost in costs if cost.allocation.id in had]
    cpu_s = sum(cost.cpu_s for cost in costs)
    reserved = sum(one.reserved_cpu_s for one in inside)
    used_s = sum(one.used_cpu_s for one in inside)
    return {
        "node_time_s": sum(cost.node_s for cost in costs),
        "cpu_time_s": cpu_s,
        "attempts": sum(one.attempts for one in inside),
        "attempts_measured": sum(one.measured for one in inside),
        "job_time_s": sum(one.job_s for one in inside),
        "job_reserved_cpu_s": reserved,
        "job_used_cpu_s": used_s,
        "packing_percent": share(reserved, cpu_s),
        "cpu_efficiency_percent": share(used_s, reserved),
    }


def _usage_row(cost: Held, had: Mapping[int, Used]) -> tuple[object, ...]:
    shares = _shares([cost], had)
    return (
        cost.allocation.id,
        cost.allocation.scheduler_id,
        cost.source.value,
        cost.nodes,
        display_seconds(cost.elapsed_s),
        f"{cost.node_s / HOUR:.3g}",
        f"{cost.cpu_s / HOUR:.3g}",
        shares["attempts"],
        _percent(shares["packing_percent"]),
        _percent(shares["cpu_efficiency_percent"]),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"


def _say_total(total: Mapping[str, Any]) -> None:
    click.echo(
        f"In all: {total['node_time_s'] / HOUR:.3g} node-hours, {total['cpu_time_s'] / HOUR:.3g} "
        f"CPU-hours held (by {' and '.join(total['sources'])}); jobs had "
        f"{total['job_reserved_cpu_s'] / HOUR:.3g} of them reserved (packed "
        f"{_percent(total['packing_percent'])}), and used {total['job_used_cpu_s'] / HOUR:.3g} "
        f"(of what was reserved {_percent(total['cpu_efficiency_percent'])})"
    )
