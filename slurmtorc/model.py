"""The records everything else speaks of. Frozen values; no behaviour beyond naming.

Units: memory in bytes, durations in seconds, moments in epoch seconds, CPU load in percent of
one CPU. `id` and `workflow_id` are 0 until a store has given them out. Field names are the
store's column names and, where torc has the field, torc's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_REQUIREMENT = "default"
"""The requirement every workflow has, for jobs that name none. It is never enforced."""


# ── words with a fixed set of values ─────────────────────────────────────────


class JobStatus(IntEnum):
    """The eleven statuses of a job; the numbers are torc's. Transitions: rules/status.py."""

    UNINITIALIZED = 0
    BLOCKED = 1
    READY = 2
    PENDING = 3
    RUNNING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELED = 7
    TERMINATED = 8
    DISABLED = 9
    PENDING_FAILED = 10

    @property
    def word(self) -> str:
        """The lower-case word of the API and of all output."""
        return self.name.lower()


COMPLETE = frozenset(
    {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.TERMINATED}
)
"""Nothing more will happen to these in this run, and dependents may go on."""

TERMINAL = COMPLETE | {JobStatus.PENDING_FAILED}
"""An attempt has ended; PENDING_FAILED still waits for somebody's decision."""

OPEN = frozenset(JobStatus) - COMPLETE - {JobStatus.DISABLED}
"""Something is still before these in this run; a workflow without any is complete."""

UNSUCCESSFUL = COMPLETE - {JobStatus.COMPLETED}
"""A dependent that cancels on failure is canceled by these."""


class Ending(StrEnum):
    """Why a process or an allocation ended."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    OOM = "oom"
    NODE_FAIL = "node_fail"
    PREEMPTED = "preempted"
    CANCELED = "canceled"
    ORPHANED = "orphaned"
    MISSING_OUTPUT = "missing_output"
    LAUNCH_FAILED = "launch_failed"


class TriggerType(StrEnum):
    """What an action waits for."""

    ON_WORKFLOW_START = "on_workflow_start"
    ON_WORKFLOW_COMPLETE = "on_workflow_complete"
    ON_JOBS_READY = "on_jobs_ready"
    ON_JOBS_COMPLETE = "on_jobs_complete"
    ON_WORKER_START = "on_worker_start"
    ON_WORKER_COMPLETE = "on_worker_complete"


class ActionType(StrEnum):
    """What an action does."""

    RUN_COMMANDS = "run_commands"
    SCHEDULE_NODES = "schedule_nodes"


class AllocationStatus(StrEnum):
    """Where one allocation stands in the store."""

    INTENDED = "intended"
    """Recorded, not yet known to Slurm; after a crash `find(token)` tells which."""
    PENDING = "pending"
    ACTIVE = "active"
    COMPLETE = "complete"


class SlurmState(StrEnum):
    """What Slurm says of an allocation, after slurm/states.py has read its many words."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETING = "COMPLETING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    CANCELLED = "CANCELLED"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    DEADLINE = "DEADLINE"
    UNKNOWN = "UNKNOWN"

    @property
    def alive(self) -> bool:
        """Whether the allocation waits, runs or is still being cleaned up."""
        return self in _ALIVE

    @property
    def final(self) -> bool:
        """Whether this is an end; UNKNOWN is neither alive nor final."""
        return not self.alive and self is not SlurmState.UNKNOWN


_ALIVE = frozenset(
    {SlurmState.PENDING, SlurmState.RUNNING, SlurmState.SUSPENDED, SlurmState.COMPLETING}
)


class StdioMode(StrEnum):
    """Which files a job's output goes to."""

    SEPARATE = "separate"
    COMBINED = "combined"
    NO_STDOUT = "no_stdout"
    NO_STDERR = "no_stderr"
    NONE = "none"


# ── records of the store ─────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What one spec file creates."""

    id: int = 0
    name: str
    user: str = ""
    description: str | None = None
    project: str | None = None
    metadata: Mapping[str, Any] | None = None
    env: Mapping[str, str] | None = None
    """Exported to every job; a job's own `env` wins."""
    timestamp: float = 0.0
    run_id: int = 0
    is_canceled: bool = False
    is_archived: bool = False
    use_pending_failed: bool = False
    enable_ro_crate: bool = False
    submission_directory: str | None = None
    """Absolute; jobs run here and relative paths start here."""
    execution_config: Mapping[str, Any] | None = None
    resource_monitor_config: Mapping[str, Any] | None = None
    slurm_defaults: Mapping[str, Any] | None = None
    dynamic_jobs: Mapping[str, Any] | None = None
    access_groups: tuple[str, ...] | None = None
    jobs_sort_method: str | None = None
    compute_node_expiration_buffer_seconds: int | None = None
    compute_node_wait_for_new_jobs_seconds: int = 90
    compute_node_ignore_workflow_completion: bool = False
    compute_node_wait_for_healthy_database_minutes: int = 20
    compute_node_min_time_for_new_jobs_seconds: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequirements:
    """What a job needs, per node."""

    id: int = 0
    workflow_id: int = 0
    name: str
    num_cpus: int = 1
    num_gpus: int = 0
    num_nodes: int = 1
    memory: str = "1m"
    """As written; `memory_bytes` is its value."""
    runtime: str = "PT1M"
    """As written; `runtime_s` is its value."""
    memory_bytes: int = 1024**2
    runtime_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmScheduler:
    """A named request shape for allocations."""

    id: int = 0
    workflow_id: int = 0
    name: str
    account: str
    nodes: int = 1
    walltime: str = "01:00:00"
    partition: str | None = None
    qos: str | None = None
    mem: str | None = None
    gres: str | None = None
    tmp: str | None = None
    ntasks_per_node: int | None = None
    cpus_per_task: int | None = None
    """CPUs per node for the worker and its jobs; None leaves it to the partition."""
    extra: str | None = None
    serialize_allocations: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureHandler:
    """Rules from exit codes to retries, as written in the spec."""

    id: int = 0
    workflow_id: int = 0
    name: str
    rules: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that jobs read or write."""

    id: int = 0
    workflow_id: int = 0
    name: str
    path: str
    st_mtime: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """A JSON value that jobs read or write through the store."""

    id: int = 0
    workflow_id: int = 0
    name: str
    data: Any = None
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The workflow's unit of work. Never a Slurm job."""

    id: int = 0
    workflow_id: int = 0
    name: str
    command: str
    invocation_script: str | None = None
    status: JobStatus = JobStatus.UNINITIALIZED
    priority: int = 0
    resource_requirements_id: int | None = None
    scheduler_id: int | None = None
    failure_handler_id: int | None = None
    cancel_on_blocking_job_failure: bool = True
    supports_termination: bool = False
    env: Mapping[str, str] | None = None
    stdio: Mapping[str, Any] | None = None
    attempt_id: int = 1
    origin: str | None = None
    """None as written in the spec; 'retry' or 'spawn' otherwise."""
    compute_node_id: int | None = None
    """The worker that holds the job, while it is pending or running."""
    start_time: float | None = None
    ready_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one attempt came to."""

    id: int = 0
    workflow_id: int = 0
    job_id: int
    job_name: str = ""
    run_id: int
    attempt_id: int
    compute_node_id: int | None = None
    return_code: int
    status: JobStatus
    ending: Ending
    start_time: float | None = None
    completion_time: float
    exec_time_s: float
    peak_memory_bytes: int | None = None
    avg_memory_bytes: int | None = None
    peak_cpu_percent: float | None = None
    avg_cpu_percent: float | None = None
    stdout_path: str | None = None
    stderr_path: str | None = None
    stderr_tail: str | None = None
    superseded: bool = False
    """A late report of an attempt that had been given up; kept, never applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`run_commands` or `schedule_nodes`, fired once its trigger condition holds."""

    id: int = 0
    workflow_id: int = 0
    trigger_type: TriggerType
    action_type: ActionType
    action_config: Mapping[str, Any]
    trigger_count: int = 0
    required_triggers: int = 1
    executed: bool = False
    executed_at: float | None = None
    executed_by: int | None = None
    persistent: bool = False
    is_recovery: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """One Slurm job that hosts workers (torc's API: scheduled compute node)."""

    id: int = 0
    workflow_id: int = 0
    scheduler_config_id: int | None = None
    scheduler_id: int | None = None
    """Slurm's job id, once known."""
    scheduler_type: str = "slurm"
    status: AllocationStatus = AllocationStatus.INTENDED
    token: str = ""
    """Unique; the Slurm job name's suffix and its comment."""
    nodes: int = 1
    max_parallel_jobs: int | None = None
    output_dir: str = ""
    created_at: float = 0.0
    submitted_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    """Why it is complete, when that needs saying: refused, canceled, surplus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeNode:
    """The row of one worker: a process that claims and launches jobs on a node."""

    id: int = 0
    workflow_id: int = 0
    hostname: str
    pid: int
    pid_start: int | None = None
    """When the kernel started it (clock ticks since boot): with pid it names one process."""
    start_time: float = 0.0
    heartbeat: float = 0.0
    lease_until: float = 0.0
    """After this moment, with no renewal, the worker counts as gone."""
    end_time: float | None = None
    is_active: bool = True
    num_cpus: int
    memory_bytes: int
    num_gpus: int = 0
    num_nodes: int = 1
    compute_node_type: str = "local"
    output_dir: str = ""
    """Absolute; its jobs write in a folder of it."""
    allocation_id: int | None = None
    scheduler_config_id: int | None = None
    slurm_job_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, committed together with what it tells of."""

    id: int = 0
    workflow_id: int = 0
    timestamp: float = 0.0
    type: str
    data: Mapping[str, Any]


# ── what a spec hands to a store ─────────────────────────────────────────────


@dataclass(slots=True, kw_only=True)
class DraftJob:
    """A job before it has an id. References are indices into the Draft's lists."""

    name: str
    command: str
    invocation_script: str | None = None
    requirement: int | None = None
    scheduler: int | None = None
    failure_handler: int | None = None
    priority: int = 0
    cancel_on_blocking_job_failure: bool = True
    supports_termination: bool = False
    env: Mapping[str, str] | None = None
    stdio: Mapping[str, Any] | None = None
    depends_on: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    """Indices of `Draft.barriers`: this job waits for all jobs of each."""
    input_files: tuple[int, ...] = ()
    output_files: tuple[int, ...] = ()
    input_user_data: tuple[int, ...] = ()
    output_user_data: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class DraftAction:
    """An action before it has an id."""

    trigger_type: TriggerType
    action_type: ActionType
    jobs: tuple[int, ...] = ()
    """The gate: indices of `Draft.jobs`."""
    commands: tuple[str, ...] = ()
    scheduler: int | None = None
    num_allocations: int = 1
    start_one_worker_per_node: bool = False
    max_parallel_jobs: int | None = None
    persistent: bool = False


@dataclass(slots=True, kw_only=True)
class Draft:
    """A whole workflow, checked and expanded, ready to be created."""

    workflow: Workflow
    jobs: list[DraftJob] = field(default_factory=list)
    barriers: list[tuple[int, ...]] = field(default_factory=list)
    """Groups of job indices that several jobs wait for together: N + M rows, never N x M."""
    files: list[File] = field(default_factory=list)
    user_data: list[UserData] = field(default_factory=list)
    requirements: list[ResourceRequirements] = field(default_factory=list)
    schedulers: list[SlurmScheduler] = field(default_factory=list)
    failure_handlers: list[FailureHandler] = field(default_factory=list)
    actions: list[DraftAction] = field(default_factory=list)
    spec: str | None = None
    """The spec as written, as JSON; keys nobody acts on yet are kept here."""


# ── between a worker and the store ───────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a worker has free now, and for how long."""

    cpus: int
    memory_bytes: int
    gpus: int = 0
    nodes: int = 1
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

    @classmethod
    def of(cls, written: Mapping[str, Any] | None) -> ExecutionConfig:
        """From a workflow's row; keys of other modes are left to them."""
        known = {item.name for item in fields(cls)}
        given = {k: v for k, v in (written or {}).items() if k in known and v is not None}
        return cls(**given)


# ── Slurm and sites ──────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """What squeue says of one allocation now."""

    slurm_job_id: int
    name: str
    state: SlurmState
    reason: str = ""
    nodes: str = ""
    """Slurm's compressed node list; empty while pending."""
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountingEntry:
    """What sacct says of one allocation: its row, without its steps."""

    slurm_job_id: int
    name: str
    state: SlurmState
    nodes: str = ""
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    elapsed_s: int | None = None
    timelimit_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition of a site; sizes are of one node, the smallest the partition has."""

    name: str
    cpus: int
    memory_bytes: int
    nodes: int
    gpus: int = 0
    gpu_type: str | None = None
    max_walltime_s: int | None = None
    is_default: bool = False
    is_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One cluster, as far as planning needs to know it."""

    name: str
    partitions: tuple[Partition, ...]
