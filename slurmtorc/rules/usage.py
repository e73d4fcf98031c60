"""What allocations have cost, and what of it the jobs in them have used.

Three CPU times, each at most the one before: what allocations held, what jobs had reserved of it
(their requirement for as long as they ran), and what processes used. Reserved of held is how
well jobs were packed; used of reserved is how well requirements are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slurmtorc.model import Allocation, ComputeNode, UsageEntry


class Source(StrEnum):
    """Who says what an allocation cost."""

    ACCOUNTING = "accounting"
    STORE = "store"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one allocation has cost so far."""

    allocation: Allocation
    source: Source
    nodes: int = 0
    elapsed_s: float = 0.0
    node_s: float = 0.0
    cpu_s: float = 0.0
    """CPU time held: elapsed times CPUs."""
    used_cpu_s: float | None = None
    """CPU time that Slurm saw used; it learns of it when a step ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one attempt had, for as long as it ran."""

    allocation_id: int
    seconds: float
    cpus: int
    """Of its requirement, on all its nodes."""
    cpu_percent: float | None
    """Mean load in percent of one CPU; None if it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the jobs of an allocation had of it."""

    attempts: int = 0
    job_s: float = 0.0
    reserved_cpu_s: float = 0.0
    used_cpu_s: float = 0.0
    measured: int = 0
    """Attempts whose load was measured; the others count as no CPU time used."""


def held(
    allocation: Allocation,
    entry: UsageEntry | None,
    workers: Iterable[ComputeNode],
    now: float,
) -> Held:
    """By accounting where it has a row that began; by the workers' time elsewhere."""
    if entry is not None and (entry.num_nodes or entry.state.final):
        return Held(
            allocation=allocation,
            source=Source.ACCOUNTING,
            nodes=entry.num_nodes,
            elapsed_s=entry.elapsed_s,
            node_s=entry.elapsed_s * entry.num_nodes,
            cpu_s=entry.cpu_time_s,
            used_cpu_s=entry.used_cpu_s,
        )
    present = list(workers)
    if not present:
        return Held(allocation=allocation, source=Source.NOTHING)
    times = [(_lasted(one, now), one) for one in present]
    return Held(
        allocation=allocation,
        source=Source.STORE,
        nodes=sum(one.num_nodes for one in present),
        elapsed_s=max(seconds for seconds, _ in times),
        node_s=sum(seconds * one.num_nodes for seconds, one in times),
        cpu_s=sum(seconds * one.num_cpus for seconds, one in times),
    )


def _lasted(worker: ComputeNode, now: float) -> float:
    """From its start to its end; of one that is given up or silent, to its last heartbeat."""
    end = worker.end_time
    if end is None:
        end = now if worker.is_active and worker.lease_until > now else worker.heartbeat
    return max(0.0, end - worker.start_time)


def used(jobs: Iterable[Job]) -> dict[int, Used]:
    """Allocation id -> what its jobs had."""
    found: dict[int, Used] = {}
    for job in jobs:
        before = found.get(job.allocation_id, Used())
        load = job.cpu_percent
        found[job.allocation_id] = Used(
            attempts=before.attempts + 1,
            job_s=before.job_s + job.seconds,
            reserved_cpu_s=before.reserved_cpu_s + job.seconds * job.cpus,
            used_cpu_s=before.used_cpu_s + job.seconds * (load or 0.0) / 100,
            measured=before.measured + (load is not None),
        )
    return found


def share(part: float, whole: float) -> float | None:
    """A part in percent; None of nothing."""
    return 100 * part / whole if whole > 0 else None
