"""The records of the store: one class per table, one field per column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slurmtorc.model.words import AllocationStatus, JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.model.words import ActionType, Ending, SlurmState, TriggerType


DEFAULT_REQUIREMENT = "default"
"""The requirement every workflow has, for jobs that name none. It is never enforced."""


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
    """As its producer left it; of a file that no job writes, as the run found it."""
    content_hash: str | None = None
    """SHA-256 of its contents, hexadecimal, where a run was begun with contents compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """A JSON value that jobs read or write through the store."""

    id: int = 0
    workflow_id: int = 0
    name: str
    data: Any = None
    is_ephemeral: bool = False
    changed_at: float | None = None
    """When its value last became another."""


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
    spared_attempts: int = 0
    """Attempts that do not count against a handler's max_retries: node failure, preemption."""
    origin: str | None = None
    """None as written in the spec; 'retry' or 'spawn' otherwise."""
    compute_node_id: int | None = None
    """The worker that holds the job, while it is pending or running."""
    start_time: float | None = None
    ready_since: float | None = None
    changed_at: float | None = None
    """When it was last changed after it had run; `changes` says in what."""
    changes: tuple[str, ...] | None = None
    """What was changed since its last attempt: command, invocation_script, env, depends_on."""


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
class ActionRun:
    """One execution of an action: where, when, and what came of it."""

    id: int = 0
    workflow_id: int = 0
    action_id: int
    run_id: int = 0
    compute_node_id: int | None = None
    """The worker that executed it; None for the watch, or for who submitted."""
    hostname: str = ""
    start_time: float = 0.0
    end_time: float | None = None
    """None while it runs."""
    return_code: int | None = None
    """Of the command that failed, or 0; None while it runs, and for one that was lost."""
    reason: str | None = None
    """What failed, in one line."""
    log_path: str | None = None
    """What its commands wrote; absolute."""


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
    asked_at: float | None = None
    """When sbatch was last called for it; None if never."""
    submitted_at: float | None = None
    ended_at: float | None = None
    reason: str | None = None
    """Why it is complete, when that needs saying: refused, canceled, surplus."""
    slurm_state: SlurmState | None = None
    """What the queue said of it when it last knew it."""
    slurm_reason: str = ""
    """Why it waited then, in Slurm's word."""
    absent_since: float | None = None
    """Since when every successful look at the queue has not found it."""
    absences: int = 0
    """How many such looks there were."""
    final_state: SlurmState | None = None
    """How it ended, by accounting or by proven absence (UNKNOWN); never changed again."""
    final_at: float | None = None
    """When it ended, as far as that is known."""


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
    missed_since: float | None = None
    """Since when watches have seen its lease run out; None again when it is renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, committed together with what it tells of."""

    id: int = 0
    workflow_id: int = 0
    timestamp: float = 0.0
    type: str
    data: Mapping[str, Any]


# ── what a watch remembers ───────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """All that the watches of one workflow remember; whoever holds the lease acts."""

    workflow_id: int
    holder: str = ""
    """Unique for each watch process; empty when nobody watches."""
    hostname: str = ""
    pid: int = 0
    lease_until: float = 0.0
    since: float = 0.0
    """When the workflow's run was first watched: cooldown and waiting count from here."""
    last_scheduled_at: float | None = None
    schedule_failures: int = 0
    """Submissions refused or failed in a row."""
    not_before: float = 0.0
    """No allocation is asked for before this moment, after failures."""
    recoveries: int = 0
    """Recoveries done so far in the workflow's life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision of a watch, with its reason and its numbers."""

    id: int = 0
    workflow_id: int
    timestamp: float = 0.0
    decision: str
    """wait, schedule, sweep, recover, cancel, stop."""
    reason: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmStats:
    """What Slurm's accounting says of the step of one attempt."""

    id: int = 0
    workflow_id: int
    job_id: int
    run_id: int
    attempt_id: int
    slurm_job_id: int
    step: str = ""
    max_rss_bytes: int | None = None
    max_vm_size_bytes: int | None = None
    max_disk_read_bytes: int | None = None
    max_disk_write_bytes: int | None = None
    ave_cpu_seconds: float | None = None
    node_list: str = ""
