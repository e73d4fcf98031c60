"""What an allocation of a scheduler offers to jobs, read from the request that was written.

Separate from placing.py, which goes the other way: from jobs to a request. Where a request says
nothing of a resource, what workers of earlier allocations of it had is the best evidence, then
the partition's nodes. What must never happen: nodes asked for again and again by a request whose
workers can claim none of the jobs they were asked for.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.errors import InvalidValue
from slurmtorc.model import Capacity
from slurmtorc.rules.packing import misfits, room
from slurmtorc.units import KIB, parse_walltime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import (
        ComputeNode,
        ExecutionConfig,
        Partition,
        ResourceRequirements,
        Site,
        SlurmScheduler,
    )

LAUNCH_S = 30
"""From the allocation's start to a worker's first claim, at least."""
_PLENTY = 1 << 62
_UNITS = {"K": KIB, "M": KIB**2, "G": KIB**3, "T": KIB**4}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)B?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One allocation of a scheduler."""

    scheduler: SlurmScheduler
    node: Capacity
    """What a worker has on each of its nodes."""
    nodes: int = 1
    at_once: int | None = None
    """The most jobs that run on a node at a time, if the allocation says so."""
    most: int | None = None
    """How many such allocations the partition's nodes can host at the same time."""

    def holds(self, need: ResourceRequirements) -> bool:
        """Whether such a job can run in it."""
        return not misfits(self.node, need)

    def capacity(self, need: ResourceRequirements) -> int:
        """How many such jobs it can run, one after another too."""
        if not self.holds(need):
            return 0
        rounds = 1
        if self.node.seconds is not None:
            rounds = max(1, int(self.node.seconds) // max(1, need.runtime_s))
        if need.num_nodes > 1:
            return self.nodes // need.num_nodes * rounds
        beside = room(self.node, need, _PLENTY if self.at_once is None else self.at_once)
        return self.nodes * min(beside, _AS_GOOD_AS_ALL) * rounds


_AS_GOOD_AS_ALL = 1 << 20
"""Jobs on one node; for jobs that need nothing."""


def shape_of(
    scheduler: SlurmScheduler,
    site: Site,
    config: ExecutionConfig,
    *,
    worked: ComputeNode | None = None,
    at_once: int | None = None,
) -> Shape | None:
    """What an allocation of it offers; None if the site would not give it.

    `worked` is a worker that an earlier allocation of it had.
    """
    parts = _partitions(scheduler, site)
    try:
        walltime = parse_walltime(scheduler.walltime)
    except InvalidValue:
        return None
    if (site.partitions and not parts) or any(_refuses(part, walltime) for part in parts):
        return None
    stop = config.sigterm_lead_seconds + config.sigkill_headroom_seconds + LAUNCH_S
    return Shape(
        scheduler=scheduler,
        node=Capacity(
            cpus=_cpus(scheduler, worked, parts),
            memory_bytes=_memory(scheduler, worked, parts),
            gpus=_gpus(scheduler, worked),
            nodes=1 if config.mode == "direct" else scheduler.nodes,
            seconds=None if walltime is None else walltime - stop,
            scheduler_id=scheduler.id,
        ),
        nodes=scheduler.nodes,
        at_once=at_once,
        most=max(1, sum(part.nodes for part in parts) // scheduler.nodes) if parts else None,
    )


def _partitions(scheduler: SlurmScheduler, site: Site) -> list[Partition]:
    """Those it names, or the default one; Slurm takes a list of names."""
    up = [part for part in site.partitions if part.is_up]
    if scheduler.partition:
        names = scheduler.partition.split(",")
        return [part for part in up if part.name in names]
    return [part for part in up if part.is_default] or up[:1]


def _refuses(part: Partition, walltime: int | None) -> bool:
    limit = math.inf if part.max_walltime_s is None else part.max_walltime_s
    return (math.inf if walltime is None else walltime) > limit


def _cpus(scheduler: SlurmScheduler, worked: ComputeNode | None, parts: Sequence[Partition]) -> int:
    if worked is not None:
        return worked.num_cpus
    if scheduler.cpus_per_task is not None:
        return scheduler.cpus_per_task * (scheduler.ntasks_per_node or 1)
    return min((part.cpus for part in parts), default=_PLENTY)


def _memory(
    scheduler: SlurmScheduler, worked: ComputeNode | None, parts: Sequence[Partition]
) -> int:
    if worked is not None:
        return worked.memory_bytes
    there = min((part.memory_bytes for part in parts), default=_PLENTY)
    return min(slurm_memory(scheduler.mem) or there, there)


def _gpus(scheduler: SlurmScheduler, worked: ComputeNode | None) -> int:
    return worked.num_gpus if worked is not None else gpus_of(scheduler.gres)


def slurm_memory(text: str | None) -> int | None:
    """Bytes of sbatch's --mem, megabytes if it names no unit; None for all of the node."""
    match = _MEMORY.fullmatch((text or "").strip())
    if match is None:
        return None
    return int(float(match[1]) * _UNITS[match[2].upper() or "M"]) or None


def gpus_of(gres: str | None) -> int:
    """GPUs of sbatch's --gres: 'gpu', 'gpu:2', 'gpu:a100:2', beside others after commas."""
    counts = [part.split(":") for part in (gres or "").split(",")]
    return sum(
        int(words[-1]) if words[-1].isdecimal() else 1 for words in counts if words[0] == "gpu"
    )
