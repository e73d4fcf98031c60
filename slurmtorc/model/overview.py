"""Where a workflow stands at one moment: what a status tells, and no more of any record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.model.running import Progress
    from slurmtorc.model.words import AllocationStatus, Ending, JobStatus, TriggerType

FAILURES_SHOWN = 10
"""An overview holds the first ones only; their number is in its progress."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a job failed: its last attempt."""

    job_id: int
    job_name: str
    attempt_id: int
    return_code: int
    status: JobStatus
    ending: Ending
    exec_time_s: float
    stderr_path: str | None
    stderr_tail: str | None


@dataclass(frozen=True, slots=True)
class Mishap:
    """How an action failed in the present run, or was lost."""

    action_id: int
    trigger_type: TriggerType
    persistent: bool
    return_code: int | None
    """None for one that was lost."""
    reason: str | None
    log_path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A workflow, what hosts it, and what went wrong in it."""

    name: str
    user: str
    progress: Progress
    allocations: Mapping[AllocationStatus, int]
    active_workers: int
    failures: tuple[Failure, ...]
    """In the order of the jobs."""
    mishaps: tuple[Mishap, ...]
    """Those that were not mended since."""
