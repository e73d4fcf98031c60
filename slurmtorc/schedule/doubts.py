"""What a draft leaves unsaid, and this cluster fills in so that jobs would not run.

Separate from the checks of a file, which know no cluster. Only warnings: a partition may have a
rule of its own that is not known here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from slurmtorc.rules.placing import WORKER_MEMORY
from slurmtorc.units import KIB, display_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.model import Draft, DraftAction, ResourceRequirements, Site, SlurmScheduler


def doubts(draft: Draft, site: Site) -> Iterator[str]:
    """One line for each scheduler whose allocations would hold none of their jobs."""
    for at, scheduler in enumerate(draft.schedulers):
        given = _default(scheduler, site)
        needs = _needs(draft, at)
        if given is None or not needs or any(need.memory_bytes <= given for need in needs):
            continue
        least = min(needs, key=lambda need: need.memory_bytes)
        enough = math.ceil((least.memory_bytes + WORKER_MEMORY) / KIB**2)
        yield (
            f"scheduler '{scheduler.name}' names no mem, and '{site.name}' then gives "
            f"{display_memory(given)}, too little for its jobs (requirement '{least.name}' asks "
            f"for {display_memory(least.memory_bytes)}); write mem: {enough}M in it, unless the "
            "partition has a default of its own"
        )


def _default(scheduler: SlurmScheduler, site: Site) -> int | None:
    """Bytes on a node of an allocation that asks for none, as far as the cluster tells."""
    if scheduler.mem is not None or "mem" in (scheduler.extra or ""):
        return None
    if site.memory_per_cpu is not None:
        cpus = (scheduler.cpus_per_task or 1) * (scheduler.ntasks_per_node or 1)
        return site.memory_per_cpu * cpus
    return site.memory_per_node


def _needs(draft: Draft, scheduler: int) -> list[ResourceRequirements]:
    """What the jobs ask for that it may be meant for: its own, those of its actions, or all."""
    bound = [job for job in draft.jobs if job.scheduler == scheduler]
    gated = [draft.jobs[at] for action in draft.actions for at in _gate(action, scheduler)]
    jobs = bound or gated or draft.jobs
    wanted = {job.requirement for job in jobs if job.requirement is not None}
    return [draft.requirements[at] for at in sorted(wanted)]


def _gate(action: DraftAction, scheduler: int) -> tuple[int, ...]:
    return action.jobs if action.scheduler == scheduler else ()
