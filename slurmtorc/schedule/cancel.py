"""Canceling: the store first, so that nothing new begins; then what Slurm has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError
from slurmtorc.model import Allocation, AllocationStatus
from slurmtorc.schedule.submit import cancel_ours

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
    known = [one for one in allocations if one.scheduler_id is not None]
    try:
        port = slurm()
        _end(store, port, known, done)
    except SlurmError as error:
        done.errors.append(f"allocations go on until they end by themselves: {error}")
        return done
    for intent in allocations:
        if intent.scheduler_id is None:
            _end_unanswered(store, port, intent, done)
    return done


def _end(store: Store, slurm: Slurm, known: Sequence[Allocation], done: Canceled) -> None:
    """End allocations that Slurm has."""
    tokens = {one.scheduler_id: one.token for one in known if one.scheduler_id is not None}
    done.slurm_job_ids += cancel_ours(slurm, tokens)
    for allocation in known:
        store.closed(allocation.id, "canceled")


def _end_unanswered(store: Store, slurm: Slurm, intent: Allocation, done: Canceled) -> None:
    """End a submission whose answer was lost, if Slurm has it."""
    try:
        found = slurm.find(intent.token, intent.created_at)
        if found is not None:
            slurm.cancel([found])
            done.slurm_job_ids.append(found)
    except SlurmError as error:
        done.errors.append(f"allocation {intent.id} may be in Slurm, which does not tell: {error}")
        return
    store.closed(intent.id, "canceled")
