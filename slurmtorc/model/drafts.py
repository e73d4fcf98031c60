"""A whole workflow before it has ids: what a spec hands to a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.model.records import (
        FailureHandler,
        File,
        ResourceRequirements,
        SlurmScheduler,
        UserData,
        Workflow,
    )
    from slurmtorc.model.words import ActionType, TriggerType


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
