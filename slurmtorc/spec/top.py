"""What may be written at the top level of a workflow file, and the schema of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, StringConstraints, WithJsonSchema

from slurmtorc.spec.fields import Count, Line, Names, Parameters, Positive, Shape, Whole
from slurmtorc.spec.shape import (
    ActionShape,
    DatasetShape,
    FileShape,
    HandlerShape,
    JobShape,
    RequirementShape,
    SchedulerShape,
    Stdio,
    UserDataShape,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Granularity = Literal["summary", "time_series"]


class JobMonitorShape(Shape):
    """Which measurements of jobs are kept."""

    model_config = ConfigDict(extra="allow")

    enabled: bool = False
    """Measure them."""
    granularity: Granularity = "summary"
    """'summary' (default): peak and mean. 'time_series': every sample."""


class NodeMonitorShape(JobMonitorShape):
    """Which measurements of nodes are kept."""

    cpu: bool = True
    """Measure CPUs."""
    memory: bool = True
    """Measure memory."""


class MonitorShape(JobMonitorShape):
    """How jobs are measured. Unknown keys are tolerated here."""

    sample_interval_seconds: Positive = 5
    """Time between two measurements."""
    generate_plots: bool = False
    """Draw figures at the end."""
    flush_interval_seconds: Positive = 300
    """Time between two writes of a time series."""
    jobs: JobMonitorShape | None = None
    """Measurements of jobs; wins over the keys beside it."""
    compute_node: NodeMonitorShape | None = None
    """Measurements of whole nodes."""


class ExecutionShape(Shape):
    """How workers start and end jobs."""

    mode: Literal["direct", "slurm", "auto"] | None = None
    """'direct' (default): a process of the worker. 'slurm': a job step."""
    sigkill_headroom_seconds: Count | None = None
    """Kill what runs this long before the allocation's end. Default: 60."""
    timeout_exit_code: Whole | None = None
    """Default: 152."""
    staggered_start: bool | None = None
    """Start workers of one allocation a little apart."""
    stdio: Stdio | None = None
    """Output files of all jobs."""
    limit_resources: bool | None = None
    """Kill jobs that use more than they asked for. Default: true."""
    termination_signal: Line | None = None
    """direct only. Default: SIGTERM."""
    sigterm_lead_seconds: Count | None = None
    """direct only: time between the signal and the kill. Default: 30."""
    oom_exit_code: Whole | None = None
    """direct only. Default: 137."""
    srun_termination_signal: Line | None = None
    """slurm only, as in TERM@120."""
    enable_cpu_bind: bool | None = None
    """slurm only."""
    srun_mpi: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+_.-]+$")] | None = None
    """`srun --mpi`; needs an action with start_one_worker_per_node."""


class DynamicShape(Shape):
    """Jobs that add jobs."""

    max_iterations: Positive | None = None
    """How many rounds of new jobs there may be."""


class Head(Shape):
    """The keys of the top level that are not lists of things."""

    name: Line
    """Need not be unique."""
    user: str | None = None
    """Ignored: the workflow belongs to whoever creates it."""
    description: str | None = None
    """For people."""
    project: str | None = None
    """A label to group workflows by."""
    metadata: Annotated[
        Any, WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]})
    ] = None
    """A map, or text that holds a JSON object."""
    parameters: Parameters | None = None
    """Parameters shared by jobs, files and user data that name them in `use_parameters`."""
    variables: dict[str, str] | None = None
    """Constants: `{name}` is replaced in every text before anything else."""
    env: dict[str, str] | None = None
    """Environment of all jobs."""
    slurm_defaults: dict[str, Any] | None = None
    """More sbatch options for every allocation: long name -> value."""
    resource_monitor: MonitorShape | None = None
    """How jobs are measured."""
    execution_config: ExecutionShape | None = None
    """How workers start and end jobs."""
    dynamic_jobs: DynamicShape | None = None
    """Jobs that add jobs."""
    use_pending_failed: bool | None = None
    """Failures that no rule matches become pending_failed instead of failed."""
    enable_ro_crate: bool | None = None
    """Describe the results as a research object."""
    access_groups: Names | None = None
    """Groups whose members may see the workflow."""
    jobs_sort_method: Literal["gpus_runtime_memory", "gpus_memory_runtime", "none"] | None = None
    """Replaced by the `priority` of jobs."""
    compute_node_expiration_buffer_seconds: Count | None = None
    """Replaced by `execution_config`."""
    compute_node_wait_for_new_jobs_seconds: Count | None = None
    """How long an idle worker waits for jobs to become ready. Default: 90."""
    compute_node_ignore_workflow_completion: bool | None = None
    """Keep allocations after the workflow's end."""
    compute_node_wait_for_healthy_database_minutes: Count | None = None
    """How long a worker waits for a store that does not answer. Default: 20."""
    compute_node_min_time_for_new_jobs_seconds: Count | None = None
    """Start no job with less time left than this."""


class SpecShape(Head):
    """A workflow file."""

    jobs: list[JobShape]
    """What is to be run."""
    files: list[FileShape] | None = None
    """Files that jobs read and write."""
    user_data: list[UserDataShape] | None = None
    """JSON values that jobs read and write."""
    datasets: list[DatasetShape] | None = None
    """Directories that jobs write together."""
    resource_requirements: list[RequirementShape] | None = None
    """What jobs need, by name."""
    failure_handlers: list[HandlerShape] | None = None
    """What is done on failure, by name."""
    slurm_schedulers: list[SchedulerShape] | None = None
    """Requests for allocations, by name."""
    actions: list[ActionShape] | None = None
    """What is done besides jobs."""


SECTIONS: Mapping[str, type[Shape]] = {
    "jobs": JobShape,
    "files": FileShape,
    "user_data": UserDataShape,
    "datasets": DatasetShape,
    "resource_requirements": RequirementShape,
    "slurm_schedulers": SchedulerShape,
    "failure_handlers": HandlerShape,
    "actions": ActionShape,
}
"""Key of a list -> the shape of its entries."""


def schema() -> dict[str, Any]:
    """The JSON Schema of a workflow file, with a description of every key."""
    found = SpecShape.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["title"] = "torc workflow"
    return found
