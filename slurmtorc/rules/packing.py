"""Which ready jobs fit into what a worker has free.

Jobs that need the same are one class; a claim goes through the classes in order and takes from
each as many as fit. So a big job at the head of the queue never hides small ones behind it.
All numbers of a requirement are per node.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slurmtorc.units import display_memory, display_seconds

if TYPE_CHECKING:
    from slurmtorc.model import Capacity, ResourceRequirements


def order(priority: int, need: ResourceRequirements) -> tuple[int, ...]:
    """Sort key of claims: priority, gpus, runtime, memory, cpus, the largest first."""
    return (-priority, -need.num_gpus, -need.runtime_s, -need.memory_bytes, -need.num_cpus)


def room(free: Capacity, need: ResourceRequirements, limit: int) -> int:
    """How many jobs of this need fit into `free` together, at most `limit`.

    Several whole nodes are offered to jobs of several nodes alone: others would share them.
    """
    several = free.nodes > 1
    if need.num_nodes > free.nodes or several != (need.num_nodes > 1):
        return 0
    if free.seconds is not None and need.runtime_s > free.seconds:
        return 0
    counts = [limit, free.nodes // need.num_nodes] if several else [limit]
    for available, wanted in (
        (free.cpus, need.num_cpus),
        (free.memory_bytes, need.memory_bytes),
        (free.gpus, need.num_gpus),
    ):
        if wanted > 0:
            fits = available // wanted
            counts.append(fits * free.nodes if several else fits)
    return max(0, min(counts))


def take(free: Capacity, need: ResourceRequirements, count: int = 1) -> Capacity:
    """What is left of `free` once `count` such jobs run."""
    if free.nodes > 1:
        left = free.nodes - count * need.num_nodes
        return replace(free, nodes=left if left > 1 else 0)  # one alone is offered by itself
    return replace(
        free,
        cpus=free.cpus - count * need.num_cpus,
        memory_bytes=free.memory_bytes - count * need.memory_bytes,
        gpus=free.gpus - count * need.num_gpus,
    )


def give_back(free: Capacity, need: ResourceRequirements) -> Capacity:
    """What is free again once one such job has ended."""
    return take(free, need, -1)


def until(free: Capacity, seconds: float | None) -> Capacity:
    """The same for a limited time."""
    return free if seconds is None else replace(free, seconds=seconds)


def misfits(whole: Capacity, need: ResourceRequirements) -> list[str]:
    """Why such a job can never run in `whole`, one reason for each resource; empty if it can."""
    reasons = []
    if need.num_cpus > whole.cpus:
        reasons.append(f"{need.num_cpus} CPUs of {whole.cpus}")
    if need.memory_bytes > whole.memory_bytes:
        wanted, there = display_memory(need.memory_bytes), display_memory(whole.memory_bytes)
        reasons.append(f"{wanted} of memory of {there}")
    if need.num_gpus > whole.gpus:
        reasons.append(f"{need.num_gpus} GPUs of {whole.gpus}")
    if need.num_nodes > whole.nodes:
        reasons.append(f"{need.num_nodes} nodes of {whole.nodes}")
    if whole.seconds is not None and need.runtime_s > whole.seconds:
        wanted, there = display_seconds(need.runtime_s), display_seconds(whole.seconds)
        reasons.append(f"{wanted} of {there} left")
    return reasons
