"""What a worker and the store tell each other while a workflow runs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from slurmtorc.model.words import OPEN, UNSUCCESSFUL, JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.model.records import ResourceRequirements
    from slurmtorc.model.words import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a worker has free now, and for how long."""

    cpus: int
    memory_bytes: int
    gpus: int = 0
    nodes: int = 1
    """More than one: so many whole nodes with this much on each, for jobs of several nodes."""
    seconds: float | None = None
    """Until the worker must end; None for no limit."""
    scheduler_id: int | None = None


@dataclass(slots=True, kw_only=True)
class Claim:
    """One job that this worker now holds, with all it takes to run it."""

    job_id: int
    name: str
    command: str
    invocation_script: str | None
    attempt_id: int
    spared_attempts: int
    env: Mapping[str, str] | None
    stdio: Mapping[str, Any] | None
    failure_handler_id: int | None
    requirement: ResourceRequirements
    outputs: tuple[tuple[int, str], ...] = ()
    """(file id, path) of every declared output."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What a worker says of one attempt that has ended."""

    job_id: int
    run_id: int
    attempt_id: int
    return_code: int
    status: JobStatus
    ending: Ending
    completion_time: float
    start_time: float | None = None
    peak_memory_bytes: int | None = None
    avg_memory_bytes: int | None = None
    peak_cpu_percent: float | None = None
    avg_cpu_percent: float | None = None
    stdout_path: str | None = None
    stderr_path: str | None = None
    stderr_tail: str | None = None
    files: tuple[tuple[int, float], ...] = ()
    """(file id, modification time) of the outputs found."""
    again: bool = False
    """The attempt is recorded, and the job goes back to ready as its next attempt."""
    spared: bool = False
    """This attempt does not count against its handler's max_retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a workflow is."""

    workflow_id: int
    run_id: int
    counts: Mapping[JobStatus, int]
    is_canceled: bool

    @property
    def total(self) -> int:
        """All jobs, disabled ones included."""
        return sum(self.counts.values())

    @property
    def unfinished(self) -> int:
        """Jobs that still have something before them in this run."""
        return sum(count for status, count in self.counts.items() if status in OPEN)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will happen: torc's `is_complete`."""
        return self.is_canceled or not self.unfinished

    @property
    def unsuccessful(self) -> int:
        """Jobs that ended without success."""
        return sum(self.counts.get(status, 0) for status in UNSUCCESSFUL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Jobs that are ready and wait for a worker."""

    ready: int = 0
    retries: int = 0
    """Those of them that no allocation was planned for: retried or spawned."""
    oldest_retry: float | None = None
    """Since when the first of these has been ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What may still happen in a workflow's run."""

    is_canceled: bool
    present: frozenset[JobStatus]
    """Which of the unfinished statuses any job has."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will happen."""
        return self.is_canceled or not self.present

    @property
    def held(self) -> bool:
        """Whether some worker holds a job."""
        return not self.present.isdisjoint({JobStatus.PENDING, JobStatus.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """How jobs are run and ended: torc's `execution_config`, with its defaults."""

    mode: str = "direct"
    limit_resources: bool = True
    termination_signal: str = "SIGTERM"
    sigterm_lead_seconds: int = 30
    sigkill_headroom_seconds: int = 60
    timeout_exit_code: int = 152
    oom_exit_code: int = 137
    srun_termination_signal: str | None = None
    """What srun is to send before a step's limit, and when: TERM@120."""
    enable_cpu_bind: bool = False
    staggered_start: bool = True

    @classmethod
    def of(cls, written: Mapping[str, Any] | None) -> ExecutionConfig:
        """From a workflow's row; keys of other modes are left to them."""
        known = {item.name for item in fields(cls)}
        given = {k: v for k, v in (written or {}).items() if k in known and v is not None}
        return cls(**given)

    def by_steps(self, *, in_slurm: bool) -> bool:
        """Whether each job is a step of its allocation; `auto` asks where the worker is."""
        return self.mode == "slurm" or (self.mode == "auto" and in_slurm)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the beginning of a run has to know of a job."""

    name: str
    status: JobStatus
    cancels: bool = True
    """Whether it is canceled when something it waits for fails."""
