"""The words with a fixed set of values, and the sets of job statuses that have a name."""

from __future__ import annotations

from enum import IntEnum, StrEnum


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

RUNNABLE = frozenset({JobStatus.READY, JobStatus.PENDING, JobStatus.RUNNING})
"""These run, or may at any moment, without anybody's decision."""

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
