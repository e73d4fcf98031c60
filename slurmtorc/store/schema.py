"""Every table. Column names are the field names of the records in model/.

Times are epoch seconds, sizes bytes, durations seconds. Ids of tables that are filled in bulk
come from `id_block`, so that links can be written without asking back; the others count
themselves. An id is never given out twice.

Three things are not as in torc's own database, each for a reason:

* `job_class` holds what a claim looks at (priority, requirement, scheduler), once for all jobs
  that are alike. A claim then asks "which classes have ready jobs" and takes from each as many
  as fit, in a few index look-ups, however many jobs are ready.
* `job.blockers` counts what a blocked job still waits for. Completing a job lowers the counters
  of its dependents; whoever brings one to zero frees it. Two workers that complete the last two
  dependencies at the same moment meet at the row, so neither can miss the other.
* `barrier` stands between two groups of jobs of which each one of the second waits for all of
  the first: N + M rows instead of N x M. It is not a job and no list can show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause

    from slurmtorc.model import JobStatus

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
"""64 bits everywhere; SQLite makes INTEGER PRIMARY KEY its row id."""

Json = JSON(none_as_null=True)


def _id(*, counts: bool) -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=counts)


def _of(table: str, name: str = "", *, on_delete: str = "CASCADE") -> Column[int]:
    reference = ForeignKey(f"{table}.id", ondelete=on_delete)
    return Column(name or f"{table}_id", Id, reference, nullable=on_delete == "SET NULL")


def _flag(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text(str(default).lower()))


def _number(name: str, default: int | None = None) -> Column[int]:
    server_default = None if default is None else text(str(default))
    return Column(name, Integer, nullable=default is None, server_default=server_default)


def _optional_id(name: str) -> Column[int]:
    return Column(name, Id)


def _time(name: str, *, known: bool = False) -> Column[float]:
    return Column(name, Double, nullable=not known)


def _word(name: str, *, known: bool = True) -> Column[str]:
    return Column(name, Text, nullable=not known)


id_block = Table(
    "id_block",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("next_id", Id, nullable=False),
)

workflow = Table(
    "workflow",
    metadata,
    _id(counts=True),
    _word("name"),
    _word("user"),
    _word("description", known=False),
    _word("project", known=False),
    Column("metadata", Json),
    Column("env", Json),
    _time("timestamp", known=True),
    _number("run_id", 0),
    _flag("is_canceled"),
    _flag("is_archived"),
    _flag("use_pending_failed"),
    _flag("enable_ro_crate"),
    _word("submission_directory", known=False),
    Column("execution_config", Json),
    Column("resource_monitor_config", Json),
    Column("slurm_defaults", Json),
    Column("dynamic_jobs", Json),
    Column("access_groups", Json),
    _word("jobs_sort_method", known=False),
    _number("compute_node_expiration_buffer_seconds"),
    _number("compute_node_wait_for_new_jobs_seconds", 90),
    _flag("compute_node_ignore_workflow_completion"),
    _number("compute_node_wait_for_healthy_database_minutes", 20),
    _number("compute_node_min_time_for_new_jobs_seconds", 300),
    sqlite_autoincrement=True,
)

workflow_spec = Table(
    "workflow_spec",
    metadata,
    Column("workflow_id", Id, ForeignKey("workflow.id", ondelete="CASCADE"), primary_key=True),
    _word("spec"),
)

resource_requirements = Table(
    "resource_requirements",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("name"),
    _number("num_cpus", 1),
    _number("num_gpus", 0),
    _number("num_nodes", 1),
    _word("memory"),
    _word("runtime"),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("runtime_s", BigInteger, nullable=False),
    Index(None, "workflow_id"),
)

slurm_scheduler = Table(
    "slurm_scheduler",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("name"),
    _word("account"),
    _number("nodes", 1),
    _word("walltime"),
    _word("partition", known=False),
    _word("qos", known=False),
    _word("mem", known=False),
    _word("gres", known=False),
    _word("tmp", known=False),
    _number("ntasks_per_node"),
    _number("cpus_per_task"),
    _word("extra", known=False),
    _flag("serialize_allocations"),
    Index(None, "workflow_id"),
)

failure_handler = Table(
    "failure_handler",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("name"),
    Column("rules", Json, nullable=False),
    Index(None, "workflow_id"),
)

file = Table(
    "file",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("name"),
    _word("path"),
    _time("st_mtime"),
    Index(None, "workflow_id"),
)

user_data = Table(
    "user_data",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("name"),
    Column("data", Json),
    _flag("is_ephemeral"),
    Index(None, "workflow_id", "name"),
)

allocation = Table(
    "allocation",
    metadata,
    _id(counts=True),
    _of("workflow"),
    _of("slurm_scheduler", "scheduler_config_id", on_delete="SET NULL"),
    Column("scheduler_id", BigInteger),
    _word("scheduler_type"),
    _word("status"),
    Column("token", Text, nullable=False, unique=True),
    _number("nodes", 1),
    _number("max_parallel_jobs"),
    _word("output_dir"),
    _time("created_at", known=True),
    _time("submitted_at"),
    _time("ended_at"),
    _word("reason", known=False),
    _word("slurm_state", known=False),
    Column("slurm_reason", Text, nullable=False, server_default=text("''")),
    _time("absent_since"),
    _number("absences", 0),
    _word("final_state", known=False),
    _time("final_at"),
    Index(None, "workflow_id", "status"),
    Index(None, "scheduler_config_id"),
    sqlite_autoincrement=True,
)

compute_node = Table(
    "compute_node",
    metadata,
    _id(counts=True),
    _of("workflow"),
    _word("hostname"),
    Column("pid", Integer, nullable=False),
    Column("pid_start", BigInteger),
    _time("start_time", known=True),
    _time("heartbeat", known=True),
    _time("lease_until", known=True),
    _time("end_time"),
    _flag("is_active", default=True),
    Column("num_cpus", Integer, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    _number("num_gpus", 0),
    _number("num_nodes", 1),
    _word("compute_node_type"),
    _word("output_dir"),
    _of("allocation", on_delete="SET NULL"),
    _optional_id("scheduler_config_id"),
    Column("slurm_job_id", BigInteger),
    Index(None, "workflow_id"),
    Index(None, "allocation_id"),
    sqlite_autoincrement=True,
)

job_class = Table(
    "job_class",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _number("priority", 0),
    _of("resource_requirements"),
    _of("slurm_scheduler", "scheduler_id", on_delete="SET NULL"),
    Index(None, "workflow_id"),
    Index(None, "resource_requirements_id"),
    Index(None, "scheduler_id"),
)

job = Table(
    "job",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("name"),
    _word("command"),
    _word("invocation_script", known=False),
    Column("status", SmallInteger, nullable=False, server_default=text("0")),
    _of("job_class", "class_id"),
    _of("failure_handler", on_delete="SET NULL"),
    _flag("cancel_on_blocking_job_failure", default=True),
    _flag("supports_termination"),
    Column("env", Json),
    Column("stdio", Json),
    _number("attempt_id", 1),
    _word("origin", known=False),
    _of("compute_node", on_delete="SET NULL"),
    _time("start_time"),
    _time("ready_since"),
    _number("blockers", 0),
    _optional_id("result_id"),
    _number("spared_attempts", 0),
    UniqueConstraint("workflow_id", "name"),
    Index("ix_job_status", "workflow_id", "status", "id"),
    Index(None, "class_id"),
    Index(None, "failure_handler_id"),
)

Index(
    "ix_job_ready",
    job.c.workflow_id,
    job.c.class_id,
    job.c.id,
    sqlite_where=text("status = 2"),
    postgresql_where=text("status = 2"),
)
Index(
    "ix_job_held",
    job.c.compute_node_id,
    sqlite_where=text("compute_node_id IS NOT NULL"),
    postgresql_where=text("compute_node_id IS NOT NULL"),
)


def has_status(table: FromClause, *statuses: JobStatus) -> ColumnElement[bool]:
    """Whether a job has one of these statuses, written out rather than bound.

    So both databases see which index suffices, and nothing has to be expanded at each call. A
    single status is an equation: SQLite takes a partial index for nothing else.
    """
    written = [_literal(status) for status in sorted(statuses)]
    status = table.c.status
    return status == written[0] if len(written) == 1 else status.in_(written)


def _literal(status: JobStatus) -> ColumnElement[int]:
    return literal_column(str(int(status)))


def _pairs(name: str, left: str, left_name: str, right: str, right_name: str) -> Table:
    """A table of pairs, found from either side."""
    return Table(
        name,
        metadata,
        Column(left_name, Id, ForeignKey(f"{left}.id", ondelete="CASCADE"), primary_key=True),
        Column(right_name, Id, ForeignKey(f"{right}.id", ondelete="CASCADE"), primary_key=True),
        Index(None, right_name),
        sqlite_with_rowid=False,
    )


job_depends_on = _pairs("job_depends_on", "job", "job_id", "job", "depends_on_job_id")
job_input_file = _pairs("job_input_file", "job", "job_id", "file", "file_id")
job_output_file = _pairs("job_output_file", "job", "job_id", "file", "file_id")
job_input_user_data = _pairs("job_input_user_data", "job", "job_id", "user_data", "user_data_id")
job_output_user_data = _pairs("job_output_user_data", "job", "job_id", "user_data", "user_data_id")

barrier = Table(
    "barrier",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _number("blockers", 0),
    _flag("failed"),
    Index(None, "workflow_id"),
)
barrier_in = _pairs("barrier_in", "barrier", "barrier_id", "job", "job_id")
barrier_out = _pairs("barrier_out", "barrier", "barrier_id", "job", "job_id")

result = Table(
    "result",
    metadata,
    _id(counts=True),
    _of("workflow"),
    _of("job"),
    Column("run_id", Integer, nullable=False),
    Column("attempt_id", Integer, nullable=False),
    _of("compute_node", on_delete="SET NULL"),
    Column("return_code", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False),
    _word("ending"),
    _time("start_time"),
    _time("completion_time", known=True),
    _time("exec_time_s", known=True),
    Column("peak_memory_bytes", BigInteger),
    Column("avg_memory_bytes", BigInteger),
    Column("peak_cpu_percent", Double),
    Column("avg_cpu_percent", Double),
    _word("stdout_path", known=False),
    _word("stderr_path", known=False),
    _word("stderr_tail", known=False),
    _flag("superseded"),
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
    postgresql_where=text("NOT superseded"),
)

workflow_action = Table(
    "workflow_action",
    metadata,
    _id(counts=False),
    _of("workflow"),
    _word("trigger_type"),
    _word("action_type"),
    Column("action_config", Json, nullable=False),
    _number("trigger_count", 0),
    _number("required_triggers", 1),
    _flag("executed"),
    _time("executed_at"),
    _of("compute_node", "executed_by", on_delete="SET NULL"),
    _flag("persistent"),
    _flag("is_recovery"),
    Index(None, "workflow_id"),
    Index(None, "executed_by"),
)
action_job = _pairs("action_job", "workflow_action", "action_id", "job", "job_id")

event = Table(
    "event",
    metadata,
    _id(counts=True),
    _of("workflow"),
    _time("timestamp", known=True),
    _word("type"),
    Column("data", Json, nullable=False),
    Index(None, "workflow_id", "id"),
    sqlite_autoincrement=True,
)

watch = Table(
    "watch",
    metadata,
    Column("workflow_id", Id, ForeignKey("workflow.id", ondelete="CASCADE"), primary_key=True),
    _word("holder"),
    _word("hostname"),
    _number("pid", 0),
    _time("lease_until", known=True),
    _time("since", known=True),
    _time("last_scheduled_at"),
    _number("schedule_failures", 0),
    _time("not_before", known=True),
    _number("recoveries", 0),
)

watch_decision = Table(
    "watch_decision",
    metadata,
    _id(counts=True),
    _of("workflow"),
    _time("timestamp", known=True),
    _word("decision"),
    _word("reason"),
    Column("numbers", Json, nullable=False),
    Index(None, "workflow_id", "id"),
    sqlite_autoincrement=True,
)

slurm_stats = Table(
    "slurm_stats",
    metadata,
    _id(counts=True),
    _of("workflow"),
    _of("job"),
    Column("run_id", Integer, nullable=False),
    Column("attempt_id", Integer, nullable=False),
    Column("slurm_job_id", BigInteger, nullable=False),
    _word("step"),
    Column("max_rss_bytes", BigInteger),
    Column("max_vm_size_bytes", BigInteger),
    Column("max_disk_read_bytes", BigInteger),
    Column("max_disk_write_bytes", BigInteger),
    Column("ave_cpu_seconds", Double),
    _word("node_list"),
    UniqueConstraint("job_id", "run_id", "attempt_id"),
    Index(None, "workflow_id"),
    sqlite_autoincrement=True,
)
