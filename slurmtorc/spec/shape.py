"""What may be written in the entries of a workflow file: jobs, files, requirements and so on.

With `top` this is the one description of the file: it validates, and it is the JSON Schema that
editors get. Nothing is coerced: a number is never read as text, nor text as a number. What
depends on more than one value (a name that must exist, a cycle) is not here but in the checks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from slurmtorc.spec.fields import (
    Command,
    Count,
    Line,
    Memory,
    Names,
    Parameters,
    Positive,
    Runtime,
    Shape,
    Walltime,
    Whole,
)


class Parameterized(Shape):
    """A section of which parameters make copies."""

    parameters: Parameters | None = None
    """Name -> values: '1:10', '0:1:0.1', '[a, b]', one value, or a list."""
    parameter_mode: Literal["product", "zip"] | None = None
    """'product' (default): all combinations. 'zip': the first with the first, and so on."""
    use_parameters: list[str] | None = None
    """Names from the workflow's `parameters`; not used where `parameters` is given."""


class Stdio(Shape):
    """Which files a job's output goes to."""

    mode: Literal["separate", "combined", "no_stdout", "no_stderr", "none"] | None = None
    """'separate' (default): .o and .e files. 'combined': one .log file."""
    delete_on_success: bool | None = None
    """Delete the files of a job that completed."""


class JobShape(Parameterized):
    """One job, or a family of jobs made by parameters."""

    name: Line
    """Unique after expansion; `{parameter}` is replaced."""
    command: Command
    """What to run; `{parameter}` and `${files.input.NAME}` are replaced."""
    invocation_script: str | None = None
    """Put in front of the command."""
    env: dict[str, str] | None = None
    """Environment of this job; wins over the workflow's."""
    resource_requirements: Line | None = None
    """Name of an entry of `resource_requirements`."""
    failure_handler: Line | None = None
    """Name of an entry of `failure_handlers`."""
    scheduler: Line | None = None
    """Name of an entry of `slurm_schedulers`: run only in its allocations."""
    cancel_on_blocking_job_failure: bool | None = None
    """Cancel this job when a job it waits for fails. Default: true."""
    supports_termination: bool | None = None
    """Accepted for older files."""
    depends_on: Names | None = None
    """Names of jobs to wait for."""
    depends_on_regexes: Names | None = None
    """Wait for every job whose name matches (a search, not anchored)."""
    input_files: Names | None = None
    """Names of files; the job waits for the jobs that write them."""
    output_files: Names | None = None
    """Names of files the job must leave behind."""
    input_file_regexes: Names | None = None
    """Every file whose name matches is an input."""
    output_file_regexes: Names | None = None
    """Every file whose name matches is an output."""
    input_user_data: Names | None = None
    """Names of user data; the job waits for the jobs that write them."""
    output_user_data: Names | None = None
    """Names of user data the job writes."""
    input_user_data_regexes: Names | None = None
    """All user data whose names match are inputs."""
    output_user_data_regexes: Names | None = None
    """All user data whose names match are outputs."""
    priority: Count | None = None
    """Jobs with a higher priority start first. Default: 0."""
    stdio: Stdio | None = None
    """Output files of this job; wins over the workflow's."""
    label: Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$")] | None = None
    """Only workers with this label take the job."""
    input_datasets: Names | None = None
    """Names of datasets the job reads."""
    output_datasets: Names | None = None
    """Names of datasets the job writes."""


class FileShape(Parameterized):
    """A file that jobs read or write."""

    name: Line
    """What jobs call it."""
    path: Line
    """Where it is; relative paths start in the directory of submission."""
    identifier: Line | None = None
    """Its identifier in a research object (RO-Crate)."""
    st_mtime: float | None = None
    """Modification time, in seconds since 1970."""


class UserDataShape(Parameterized):
    """A JSON value that jobs read or write through the store."""

    name: Line
    """What jobs call it."""
    data: Any = None
    """The value; null until a job writes it."""
    is_ephemeral: bool | None = None
    """Cleared between runs. Default: false."""


class DatasetShape(Shape):
    """A directory of files that many jobs write together."""

    name: Line
    """What jobs call it."""
    path: Line
    """The directory."""
    hash_mode: Literal["manifest", "content", "none"] | None = None
    """What its hash is made from. Default: manifest."""
    description: str | None = None
    """For people."""


class RequirementShape(Shape):
    """What a job needs, per node."""

    name: Line
    """'default' is reserved for jobs that name no requirement."""
    num_cpus: Positive
    """CPUs per node."""
    memory: Memory
    """A whole number and k, m, g or t."""
    num_gpus: Count = 0
    """GPUs per node."""
    num_nodes: Positive = 1
    """Nodes of one job."""
    runtime: Runtime = "PT1H"
    """The longest the job can take, as an ISO 8601 duration."""


class SchedulerShape(Shape):
    """A named request for Slurm allocations."""

    name: Line
    """What jobs and actions call it."""
    account: Line
    """Slurm's account."""
    nodes: Positive = 1
    """Nodes of one allocation."""
    walltime: Walltime = "01:00:00"
    """Slurm's time notation."""
    partition: Line | None = None
    """Slurm's partition."""
    qos: Line | None = None
    """Slurm's quality of service."""
    mem: Line | None = None
    """Memory per node, as `sbatch --mem` takes it."""
    gres: Line | None = None
    """Generic resources per node, as in gpu:2."""
    tmp: Line | None = None
    """Temporary disk space per node."""
    ntasks_per_node: Positive | None = None
    """A worker on each node, also without it; where jobs are steps one worker serves all nodes."""
    cpus_per_task: Positive | None = None
    """CPUs per node for the worker and its jobs; without it the partition decides."""
    extra: Line | None = None
    """More options of sbatch, as one line."""
    serialize_allocations: bool | None = None
    """Run the allocations of this scheduler one after the other."""


class RuleShape(Shape):
    """Which failures are tried again, and how often."""

    exit_codes: list[Whole] = Field(default_factory=list)
    """Return codes of the attempt; the rule is about these and about its `endings`."""
    match_all_exit_codes: bool = False
    """Any failure."""
    endings: (
        list[
            Literal[
                "exit", "timeout", "oom", "node_fail", "preempted", "canceled", "orphaned",
                "missing_output", "launch_failed",
            ]
        ]
        | None
    ) = None  # fmt: skip
    """Why the attempt ended."""
    recovery_script: str | None = None
    """Run before the next attempt; unless it exits with 0, the job fails."""
    recovery_timeout_seconds: Positive | None = None
    """The longest the script may take. Default: 600."""
    max_retries: Positive = 3
    """The number of attempts in all: 3 means at most two retries."""
    counts: bool | None = None
    """Whether attempts that ended by node_fail or preempted count too. Default: false."""


class HandlerShape(Shape):
    """Rules from failures to retries; the first that matches counts."""

    name: Line
    """What jobs call it."""
    rules: list[RuleShape]
    """In order; the first that matches counts."""


class ActionShape(Shape):
    """Something done once its trigger condition holds."""

    trigger_type: Literal[
        "on_workflow_start", "on_workflow_complete", "on_jobs_ready", "on_jobs_complete",
        "on_worker_start", "on_worker_complete",
    ]  # fmt: skip
    """What it waits for."""
    action_type: Literal["run_commands", "schedule_nodes"]
    """What it does."""
    jobs: Names | None = None
    """Names of the jobs an on_jobs_* trigger waits for."""
    job_name_regexes: Names | None = None
    """The same by patterns; both together are united."""
    job_name_patterns: Names | None = None
    """Older name of `jobs`."""
    commands: list[str] | None = None
    """For run_commands."""
    scheduler: Line | None = None
    """For schedule_nodes: name of an entry of `slurm_schedulers`."""
    scheduler_name: Line | None = None
    """Older name of `scheduler`."""
    scheduler_type: Literal["slurm"] | None = None
    """There is only one."""
    num_allocations: Positive | None = None
    """How many allocations to submit. Default: 1."""
    start_one_worker_per_node: bool | None = None
    """A worker on each node, also without it; where jobs are steps one worker serves all nodes."""
    max_parallel_jobs: Positive | None = None
    """The most jobs a worker runs at once."""
    persistent: bool | None = None
    """Done once by each worker, instead of once. Default: true for on_worker_*, else false."""
