"""The records everything else speaks of. Frozen values; no behaviour beyond naming.

Units: memory in bytes, durations in seconds, moments in epoch seconds, CPU load in percent of
one CPU. `id` and `workflow_id` are 0 until a store has given them out. Field names are the
store's column names and, where torc has the field, torc's.
"""

from __future__ import annotations

from slurmtorc.model.changes import JobChange
from slurmtorc.model.clusters import (
    AccountingEntry,
    Habits,
    Partition,
    QueueEntry,
    Site,
    StepEntry,
    UsageEntry,
)
from slurmtorc.model.drafts import (
    Draft,
    DraftAction,
    DraftJob,
)
from slurmtorc.model.links import Links
from slurmtorc.model.overview import Failure, Mishap, Overview
from slurmtorc.model.records import (
    DEFAULT_REQUIREMENT,
    Action,
    ActionRun,
    Allocation,
    ComputeNode,
    Decision,
    Event,
    FailureHandler,
    File,
    Job,
    ResourceRequirements,
    Result,
    SlurmScheduler,
    SlurmStats,
    UserData,
    WatchState,
    Workflow,
)
from slurmtorc.model.running import (
    Backlog,
    Capacity,
    Claim,
    ExecutionConfig,
    Outlook,
    Progress,
    Report,
    Standing,
)
from slurmtorc.model.spawning import Spawned, SpawnJob
from slurmtorc.model.words import (
    COMPLETE,
    OPEN,
    RUNNABLE,
    TERMINAL,
    UNSUCCESSFUL,
    ActionType,
    AllocationStatus,
    Ending,
    JobStatus,
    SlurmState,
    StdioMode,
    TriggerType,
)

__all__ = [
    "COMPLETE",
    "DEFAULT_REQUIREMENT",
    "OPEN",
    "RUNNABLE",
    "TERMINAL",
    "UNSUCCESSFUL",
    "AccountingEntry",
    "Action",
    "ActionRun",
    "ActionType",
    "Allocation",
    "AllocationStatus",
    "Backlog",
    "Capacity",
    "Claim",
    "ComputeNode",
    "Decision",
    "Draft",
    "DraftAction",
    "DraftJob",
    "Ending",
    "Event",
    "ExecutionConfig",
    "Failure",
    "FailureHandler",
    "File",
    "Habits",
    "Job",
    "JobChange",
    "JobStatus",
    "Links",
    "Mishap",
    "Outlook",
    "Overview",
    "Partition",
    "Progress",
    "QueueEntry",
    "Report",
    "ResourceRequirements",
    "Result",
    "Site",
    "SlurmScheduler",
    "SlurmState",
    "SlurmStats",
    "SpawnJob",
    "Spawned",
    "Standing",
    "StdioMode",
    "StepEntry",
    "TriggerType",
    "UsageEntry",
    "UserData",
    "WatchState",
    "Workflow",
]
