"""Jobs that a running job adds to its own workflow: what it asks for, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnJob:
    """A job to be added. What it refers to is named: it is in the store, or spawned with it."""

    name: str
    """Unique in the workflow. The same name spawned again is the same job."""
    command: str
    """What to run, as in a workflow file."""
    depends_on: Sequence[str] = ()
    """Jobs to wait for besides the one that spawns: of the workflow, or of the same call."""
    resource_requirements: str | None = None
    """Name of a requirement of the workflow; without one, the job is as small as can be."""
    priority: int = 0
    """Jobs with a higher priority start first."""
    cancel_on_blocking_job_failure: bool = True
    """Cancel it when a job it waits for fails."""
    invocation_script: str | None = None
    """Put in front of the command."""
    env: Mapping[str, str] | None = None
    """Environment of this job; wins over the workflow's."""
    failure_handler: str | None = None
    """Name of a failure handler of the workflow."""
    scheduler: str | None = None
    """Name of a Slurm scheduler of the workflow: run only in its allocations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """What a call came to."""

    job_ids: list[int]
    """In the order of the jobs that were given."""
    iteration: int
    """The lineage's generation that these jobs are; of none, the last one there is."""
