"""What becomes of jobs that waited, said plainly for one job at a time.

A blocked job is settled once everything it waits for is complete. It is then ready; but if
something it waited for ended without success, and it cancels on that, it is canceled. That
completes it too, so its own dependents follow.

The store says the same with statements over many jobs at once (store/unblocking.py); this is
what those are held against, on drawn graphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def settled(
    waits_for: Sequence[Collection[int]],
    statuses: Sequence[JobStatus],
    cancels: Sequence[bool],
) -> list[JobStatus]:
    """The statuses after everything that can be settled has been. All three go by job."""
    after = list(statuses)
    while (changes := _round(waits_for, after, cancels)) != {}:
        for job, status in changes.items():
            after[job] = status
    return after


def _round(
    waits_for: Sequence[Collection[int]], statuses: Sequence[JobStatus], cancels: Sequence[bool]
) -> Mapping[int, JobStatus]:
    changes = {}
    for job, status in enumerate(statuses):
        others = [statuses[other] for other in waits_for[job]]
        if status is JobStatus.BLOCKED and COMPLETE.issuperset(others):
            doomed = cancels[job] and not UNSUCCESSFUL.isdisjoint(others)
            changes[job] = JobStatus.CANCELED if doomed else JobStatus.READY
    return changes
