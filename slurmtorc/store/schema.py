"""Every table, those of history.py too. Column names are the field names of the records in model/.

Times are epoch seconds, sizes bytes, durations seconds. Ids of tables that are filled in bulk
come from `id_block`, so that links can be written without asking back; the others count
themselves. An id is never given out twice. Conditions of partial indexes are written for SQLite
alone and hold for Postgres too (postgres.py): to name Postgres here would import its drivers.

Three things are not as in torc's own database, each for a reason:

* `job_class` holds what a claim looks at (priority, requirement, scheduler), once for all jobs
  that are alike. A claim then asks "which classes have ready jobs" and takes from each as many
  as fit, in a few index look-ups, however many jobs are ready.
* `job.blockers` counts what a blocked job still waits for. Completing a job lowers the counters
  of its dependents; whoever brings one to zero frees it. Two workers that complete the last two
  dependencies at the same moment meet at the row, so neither can miss the other.
* `barrier` stands between two groups of jobs of which each one of the second waits for all of
  the first: N + M rows instead of N x M. It is not a job and no list can show it.

`workflow.linked_jobs` is the highest id of the jobs whose files and user data have become
dependencies: those of later jobs follow when the next run begins. `workflow.job_count` is how
many jobs there are. It changes where jobs are made or deleted, never while they run.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from slurmtorc.store.columns import (
    ByBytes,
    Id,
    Json,
    flag,
    metadata,
    moment,
    number,
    of,
    optional_id,
    own_id,
    pairs,
    word,
)
from slurmtorc.store.history import (
    action_run,
    event,
    slurm_stats,
    upkeep,
    watch,
    watch_decision,
)

__all__ = [
    "TABLES",
    "action_job",
    "action_run",
    "allocation",
    "barrier",
    "barrier_in",
    "barrier_out",
    "compute_node",
    "event",
    "failure_handler",
    "file",
    "id_block",
    "job",
    "job_class",
    "job_depends_on",
    "job_input_file",
    "job_input_user_data",
    "job_output_file",
    "job_output_user_data",
    "resource_requirements",
    "result",
    "slurm_scheduler",
    "slurm_stats",
    "upkeep",
    "user_data",
    "watch",
    "watch_decision",
    "workflow",
    "workflow_action",
    "workflow_spec",
]

TABLES = metadata
"""All of them."""

id_block = Table(
    "id_block",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("next_id", Id, nullable=False),
)

workflow = Table(
    "workflow",
    metadata,
    own_id(counts=True),
    word("name"),
    word("user"),
    word("description", known=False),
    word("project", known=False),
    Column("metadata", Json),
    Column("env", Json),
    moment("timestamp", known=True),
    number("run_id", 0),
    flag("is_canceled"),
    flag("is_archived"),
    flag("use_pending_failed"),
    flag("enable_ro_crate"),
    word("submission_directory", known=False),
    Column("execution_config", Json),
    Column("resource_monitor_config", Json),
    Column("slurm_defaults", Json),
    Column("dynamic_jobs", Json),
    Column("access_groups", Json),
    word("jobs_sort_method", known=False),
    number("compute_node_expiration_buffer_seconds"),
    number("compute_node_wait_for_new_jobs_seconds", 90),
    flag("compute_node_ignore_workflow_completion"),
    number("compute_node_wait_for_healthy_database_minutes", 20),
    number("compute_node_min_time_for_new_jobs_seconds", 300),
    Column("linked_jobs", Id, nullable=False, server_default=text("0")),
    number("job_count", 0),
    sqlite_autoincrement=True,
)

workflow_spec = Table(
    "workflow_spec",
    metadata,
    Column("workflow_id", Id, ForeignKey("workflow.id", ondelete="CASCADE"), primary_key=True),
    word("spec"),
)

resource_requirements = Table(
    "resource_requirements",
    metadata,
    own_id(counts=False),
    of("workflow"),
    word("name"),
    number("num_cpus", 1),
    number("num_gpus", 0),
    number("num_nodes", 1),
    word("memory"),
    word("runtime"),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("runtime_s", BigInteger, nullable=False),
    Index(None, "workflow_id"),
)

slurm_scheduler = Table(
    "slurm_scheduler",
    metadata,
    own_id(counts=False),
    of("workflow"),
    word("name"),
    word("account"),
    number("nodes", 1),
    word("walltime"),
    word("partition", known=False),
    word("qos", known=False),
    word("mem", known=False),
    word("gres", known=False),
    word("tmp", known=False),
    number("ntasks_per_node"),
    number("cpus_per_task"),
    word("extra", known=False),
    flag("serialize_allocations"),
    Index(None, "workflow_id"),
)

failure_handler = Table(
    "failure_handler",
    metadata,
    own_id(counts=False),
    of("workflow"),
    word("name"),
    Column("rules", Json, nullable=False),
    Index(None, "workflow_id"),
)

file = Table(
    "file",
    metadata,
    own_id(counts=False),
    of("workflow"),
    word("name"),
    word("path"),
    moment("st_mtime"),
    word("content_hash", known=False),
    Index(None, "workflow_id"),
)

user_data = Table(
    "user_data",
    metadata,
    own_id(counts=False),
    of("workflow"),
    word("name"),
    Column("data", Json),
    flag("is_ephemeral"),
    moment("changed_at"),
    Index(None, "workflow_id", "name"),
)

allocation = Table(
    "allocation",
    metadata,
    own_id(counts=True),
    of("workflow"),
    of("slurm_scheduler", "scheduler_config_id", on_delete="SET NULL"),
    Column("scheduler_id", BigInteger),
    word("scheduler_type"),
    word("status"),
    Column("token", Text, nullable=False, unique=True),
    number("nodes", 1),
    number("max_parallel_jobs"),
    word("output_dir"),
    moment("created_at", known=True),
    moment("submitted_at"),
    moment("ended_at"),
    word("reason", known=False),
    word("slurm_state", known=False),
    Column("slurm_reason", Text, nullable=False, server_default=text("''")),
    moment("absent_since"),
    number("absences", 0),
    word("final_state", known=False),
    moment("final_at"),
    moment("asked_at"),
    Index(None, "workflow_id", "status"),
    Index(None, "scheduler_config_id"),
    sqlite_autoincrement=True,
)

compute_node = Table(
    "compute_node",
    metadata,
    own_id(counts=True),
    of("workflow"),
    word("hostname"),
    Column("pid", Integer, nullable=False),
    Column("pid_start", BigInteger),
    moment("start_time", known=True),
    moment("heartbeat", known=True),
    moment("lease_until", known=True),
    moment("end_time"),
    flag("is_active", default=True),
    Column("num_cpus", Integer, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    number("num_gpus", 0),
    number("num_nodes", 1),
    word("compute_node_type"),
    word("output_dir"),
    of("allocation", on_delete="SET NULL"),
    optional_id("scheduler_config_id"),
    Column("slurm_job_id", BigInteger),
    moment("missed_since"),
    Index(None, "workflow_id"),
    Index(None, "allocation_id"),
    sqlite_autoincrement=True,
)

job_class = Table(
    "job_class",
    metadata,
    own_id(counts=False),
    of("workflow"),
    number("priority", 0),
    of("resource_requirements"),
    of("slurm_scheduler", "scheduler_id", on_delete="SET NULL"),
    Index(None, "workflow_id"),
    Index(None, "resource_requirements_id"),
    Index(None, "scheduler_id"),
)

job = Table(
    "job",
    metadata,
    own_id(counts=False),
    of("workflow"),
    Column("name", ByBytes, nullable=False),
    word("command"),
    word("invocation_script", known=False),
    Column("status", SmallInteger, nullable=False, server_default=text("0")),
    Column("class_id", Id, nullable=False),
    of("failure_handler", on_delete="SET NULL"),
    flag("cancel_on_blocking_job_failure", default=True),
    flag("supports_termination"),
    Column("env", Json),
    Column("stdio", Json),
    number("attempt_id", 1),
    word("origin", known=False),
    of("compute_node", on_delete="SET NULL"),
    moment("start_time"),
    moment("ready_since"),
    number("blockers", 0),
    optional_id("result_id"),
    number("spared_attempts", 0),
    moment("changed_at"),
    Column("changes", Json),
    UniqueConstraint("workflow_id", "name"),
    Index("ix_job_status", "workflow_id", "status", "id"),
)

# Every change of a job writes into each of its indexes on Postgres, and this one serves nothing
# but a reference that nothing needs: classes go with their workflow, as jobs do. SQLite writes
# into an index only what has changed, and could not let go of the reference.
job.append_constraint(
    ForeignKeyConstraint(["class_id"], ["job_class.id"], ondelete="CASCADE").ddl_if("sqlite")
)
Index(None, job.c.class_id).ddl_if("sqlite")

Index(
    "ix_job_failure_handler_id",
    job.c.failure_handler_id,
    sqlite_where=text("failure_handler_id IS NOT NULL"),
)
Index(
    "ix_job_ready",
    job.c.workflow_id,
    job.c.class_id,
    job.c.id,
    sqlite_where=text("status = 2"),
)
Index(
    "ix_job_held",
    job.c.compute_node_id,
    sqlite_where=text("compute_node_id IS NOT NULL"),
)

job_depends_on = pairs("job_depends_on", "job", "job_id", "job", "depends_on_job_id")
job_input_file = pairs("job_input_file", "job", "job_id", "file", "file_id")
job_output_file = pairs("job_output_file", "job", "job_id", "file", "file_id")
job_input_user_data = pairs("job_input_user_data", "job", "job_id", "user_data", "user_data_id")
job_output_user_data = pairs("job_output_user_data", "job", "job_id", "user_data", "user_data_id")

barrier = Table(
    "barrier",
    metadata,
    own_id(counts=False),
    of("workflow"),
    number("blockers", 0),
    flag("failed"),
    Index(None, "workflow_id"),
)
barrier_in = pairs("barrier_in", "barrier", "barrier_id", "job", "job_id")
barrier_out = pairs("barrier_out", "barrier", "barrier_id", "job", "job_id")

result = Table(
    "result",
    metadata,
    own_id(counts=True),
    of("workflow"),
    of("job"),
    Column("run_id", Integer, nullable=False),
    Column("attempt_id", Integer, nullable=False),
    of("compute_node", on_delete="SET NULL"),
    Column("return_code", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    word("ending"),
    moment("start_time"),
    moment("completion_time", known=True),
    moment("exec_time_s", known=True),
    Column("peak_memory_bytes", BigInteger),
    Column("avg_memory_bytes", BigInteger),
    Column("peak_cpu_percent", Double),
    Column("avg_cpu_percent", Double),
    word("stdout_path", known=False),
    word("stderr_path", known=False),
    word("stderr_tail", known=False),
    flag("superseded"),
    Index(None, "workflow_id"),
    Index(None, "compute_node_id"),
    Index(None, "job_id"),
    sqlite_autoincrement=True,
)

Index(
    "uq_result_attempt",
    result.c.job_id,
    result.c.run_id,
    result.c.attempt_id,
    unique=True,
    sqlite_where=text("NOT superseded"),
)

workflow_action = Table(
    "workflow_action",
    metadata,
    own_id(counts=False),
    of("workflow"),
    word("trigger_type"),
    word("action_type"),
    Column("action_config", Json, nullable=False),
    number("trigger_count", 0),
    number("required_triggers", 1),
    flag("executed"),
    moment("executed_at"),
    of("compute_node", "executed_by", on_delete="SET NULL"),
    flag("persistent"),
    flag("is_recovery"),
    Index(None, "workflow_id"),
    Index(None, "executed_by"),
)
action_job = pairs("action_job", "workflow_action", "action_id", "job", "job_id")
