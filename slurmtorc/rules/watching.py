"""One look at a workflow in Slurm -> one decision: wait, or stop with an exit status.

An allocation counts as gone only when the queue has said so twice, some time apart, and no
worker of it lives; an empty answer or a failed question is never an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from slurmtorc.model import Progress

ALL_COMPLETED = 0
SOME_FAILED = 1
STUCK = 3
CANCELED = 4

ABSENCE_S = 300.0
"""For how long the queue must not know any allocation before they count as gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one look has found."""

    now: float
    progress: Progress
    on_record: int
    """Allocations that the store believes to wait or run."""
    in_slurm: int | None
    """How many of them the queue knows as alive; None if the question failed."""
    gone_since: float | None
    """Since when every successful look has found none of them; None if one was seen."""
    workers: int
    """Workers whose lease has not run out."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The watch is over."""

    exit_code: int
    reason: str


def decide(seen: Sighting) -> Wait | Stop:
    """Whether to go on watching."""
    progress = seen.progress
    if progress.is_complete:
        return _end(progress)
    if seen.workers:
        return Wait(f"{seen.workers} workers are active")
    if seen.on_record:
        return _without_workers(seen)
    return Stop(STUCK, f"{_left(progress)}, and no allocation is there or asked for")


def _end(progress: Progress) -> Stop:
    if progress.is_canceled:
        return Stop(CANCELED, "the workflow was canceled")
    if progress.unsuccessful:
        return Stop(
            SOME_FAILED, f"{progress.unsuccessful} of {progress.total} jobs did not complete"
        )
    return Stop(ALL_COMPLETED, f"all {progress.total} jobs are completed")


def _without_workers(seen: Sighting) -> Wait | Stop:
    if seen.in_slurm is None:
        return Wait("Slurm does not answer")
    if seen.in_slurm:
        return Wait(f"{seen.in_slurm} allocations are in Slurm's queue")
    if seen.gone_since is None or seen.now - seen.gone_since < ABSENCE_S:
        return Wait("Slurm's queue knows no allocation; looking again before that is believed")
    return Stop(STUCK, f"{_left(seen.progress)}, and all allocations are gone")


def _left(progress: Progress) -> str:
    ready = progress.counts.get(JobStatus.READY, 0)
    return f"{progress.unfinished} jobs are left ({ready} ready)"
