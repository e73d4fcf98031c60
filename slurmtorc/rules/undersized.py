"""Workers that came and were too small for what is ready: which, in what, and what to write.

Separate from the offers of what is there now, because these workers have left: they are the
best evidence of what the next allocation of the same scheduler will be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import Capacity
from slurmtorc.rules.packing import misfits
from slurmtorc.rules.placing import WORKER_MEMORY
from slurmtorc.units import KIB, display_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.model import ComputeNode, ResourceRequirements, SlurmScheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """The last worker that an allocation of a scheduler had."""

    node: ComputeNode
    scheduler: SlurmScheduler

    @property
    def whole(self) -> Capacity:
        """All that its jobs could use, for any length of time."""
        node = self.node
        return Capacity(
            cpus=node.num_cpus,
            memory_bytes=node.memory_bytes,
            gpus=node.num_gpus,
            nodes=node.num_nodes,
        )

    @property
    def words(self) -> str:
        """Where it was, and how large."""
        node = self.node
        parts = [f"{node.num_cpus} CPU{'s' if node.num_cpus != 1 else ''}"]
        parts.append(display_memory(node.memory_bytes))
        if node.num_gpus:
            parts.append(f"{node.num_gpus} GPU{'s' if node.num_gpus != 1 else ''}")
        return f"{node.hostname}: {', '.join(parts)}"


def too_small(former: Iterable[Former], need: ResourceRequirements) -> list[Former]:
    """Those in which no such job could run; none if any worker was large enough."""
    known = list(former)
    small = [one for one in known if misfits(one.whole, need)]
    return small if len(small) == len(known) else []


def complaint(one: Former, need: ResourceRequirements, job: str = "") -> str:
    """In what it was too small, as a sentence without its end; `job`: one that needs so much."""
    lacks = ", ".join(misfits(one.whole, need))
    unsaid = [key for key, value in _missing(one, need) if _written(one.scheduler, key) is None]
    name, whom = one.scheduler.name, f" for {job!r}" if job else ""
    text = f"the last worker of scheduler '{name}' ({one.words}) was too small{whom}: {lacks}"
    if unsaid:
        text += f"; '{name}' says nothing of {' and '.join(unsaid)}, so Slurm gave its default"
    return text


def advice(small: Sequence[Former], need: ResourceRequirements) -> str:
    """What to write in the file."""
    one = small[-1]
    lines = ", ".join(f"{key}: {value}" for key, value in _missing(one, need))
    return f"write {lines} in scheduler '{one.scheduler.name}'"


def _missing(one: Former, need: ResourceRequirements) -> list[tuple[str, str]]:
    """The keys of a scheduler that give more of what was too little, and enough of it."""
    node = one.node
    memory = math.ceil((need.memory_bytes + WORKER_MEMORY) / KIB**2)
    asked = (
        (need.memory_bytes > node.memory_bytes, "mem", f"{memory}M"),
        (need.num_cpus > node.num_cpus, "cpus_per_task", str(need.num_cpus)),
        (need.num_gpus > node.num_gpus, "gres", f"gpu:{need.num_gpus}"),
        (need.num_nodes > node.num_nodes, "nodes", str(need.num_nodes)),
    )
    return [(key, value) for is_short, key, value in asked if is_short]


def _written(scheduler: SlurmScheduler, key: str) -> object:
    return {
        "mem": scheduler.mem,
        "cpus_per_task": scheduler.cpus_per_task,
        "gres": scheduler.gres,
        "nodes": scheduler.nodes,
    }[key]
