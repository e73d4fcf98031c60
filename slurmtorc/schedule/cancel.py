"""Canceling: the store first, so that nothing new begins; then what Slurm has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError
from slurmtorc.model import Allocation, AllocationStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slurmtorc.ports import Slurm, Store


@dataclass(slots=True)
class Canceled:
    """What was ended, and what could not be."""

    jobs: int
    slurm_job_ids: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def cancel_workflow(store: Store, slurm: Callable[[], Slurm], workflow_id: int) -> Canceled:
    """Cancel a workflow. Slurm is only asked if it may have something of it."""
    done = Canceled(jobs=store.cancel(workflow_id))
    live = [status for status in AllocationStatus if status is not AllocationStatus.COMPLETE]
    allocations = store.rows(Allocation, workflow_id=workflow_id, status=live).items
    if not allocations:
        return done
    try:
        port = slurm()
        done.slurm_job_ids = _known_to_slurm(port, allocations)
        port.cancel(done.slurm_job_ids)
    except SlurmError as error:
        done.errors.append(f"allocations go on until they end by themselves: {error}")
        return done
    for allocation in allocations:
        store.closed(allocation.id, "canceled")
    return done


def _known_to_slurm(slurm: Slurm, allocations: Sequence[Allocation]) -> list[int]:
    """Slurm's ids, those of submissions whose answer was lost included."""
    ids = [one.scheduler_id for one in allocations if one.scheduler_id is not None]
    lost = [one for one in allocations if one.scheduler_id is None]
    found = [slurm.find(intent.token, intent.created_at) for intent in lost]
    return ids + [slurm_job_id for slurm_job_id in found if slurm_job_id is not None]
