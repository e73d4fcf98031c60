"""The first schema.

Written out rather than taken from schema.py: a step never changes once it has been released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make every table."""
    _workflows()
    _workers()
    _jobs()
    _links()
    _actions()


def _workflows() -> None:
    """Workflows, and what their specs name."""
    op.create_table(
        "id_block",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("next_id", Id, nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_id_block")),
    )
    op.create_table(
        "workflow",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("metadata", Json, nullable=True),
        sa.Column("env", Json, nullable=True),
        sa.Column("timestamp", sa.Double(), nullable=False),
        sa.Column("run_id", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_canceled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "use_pending_failed", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("enable_ro_crate", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("submission_directory", sa.Text(), nullable=True),
        sa.Column("execution_config", Json, nullable=True),
        sa.Column("resource_monitor_config", Json, nullable=True),
        sa.Column("slurm_defaults", Json, nullable=True),
        sa.Column("dynamic_jobs", Json, nullable=True),
        sa.Column("access_groups", Json, nullable=True),
        sa.Column("jobs_sort_method", sa.Text(), nullable=True),
        sa.Column("compute_node_expiration_buffer_seconds", sa.Integer(), nullable=True),
        sa.Column(
            "compute_node_wait_for_new_jobs_seconds",
            sa.Integer(),
            server_default=sa.text("90"),
            nullable=False,
        ),
        sa.Column(
            "compute_node_ignore_workflow_completion",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column(
            "compute_node_wait_for_healthy_database_minutes",
            sa.Integer(),
            server_default=sa.text("20"),
            nullable=False,
        ),
        sa.Column(
            "compute_node_min_time_for_new_jobs_seconds",
            sa.Integer(),
            server_default=sa.text("300"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "workflow_spec",
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_workflow_spec_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workflow_id", name=op.f("pk_workflow_spec")),
    )
    op.create_table(
        "resource_requirements",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("num_cpus", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("num_gpus", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("num_nodes", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("memory", sa.Text(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("runtime_s", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_resource_requirements_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource_requirements")),
    )
    op.create_index(
        op.f("ix_resource_requirements_workflow_id"),
        "resource_requirements",
        ["workflow_id"],
        unique=False,
    )
    op.create_table(
        "slurm_scheduler",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("walltime", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=True),
        sa.Column("qos", sa.Text(), nullable=True),
        sa.Column("mem", sa.Text(), nullable=True),
        sa.Column("gres", sa.Text(), nullable=True),
        sa.Column("tmp", sa.Text(), nullable=True),
        sa.Column("ntasks_per_node", sa.Integer(), nullable=True),
        sa.Column("cpus_per_task", sa.Integer(), nullable=True),
        sa.Column("extra", sa.Text(), nullable=True),
        sa.Column(
            "serialize_allocations", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_slurm_scheduler_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slurm_scheduler")),
    )
    op.create_index(
        op.f("ix_slurm_scheduler_workflow_id"), "slurm_scheduler", ["workflow_id"], unique=False
    )
    op.create_table(
        "failure_handler",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rules", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_failure_handler_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failure_handler")),
    )
    op.create_index(
        op.f("ix_failure_handler_workflow_id"), "failure_handler", ["workflow_id"], unique=False
    )
    op.create_table(
        "file",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("st_mtime", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflow.id"], name=op.f("fk_file_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file")),
    )
    op.create_index(op.f("ix_file_workflow_id"), "file", ["workflow_id"], unique=False)
    op.create_table(
        "user_data",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=True),
        sa.Column("is_ephemeral", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_user_data_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_data")),
    )
    op.create_index(
        op.f("ix_user_data_workflow_id_name"), "user_data", ["workflow_id", "name"], unique=False
    )


def _workers() -> None:
    """Allocations and the workers in them."""
    op.create_table(
        "allocation",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("scheduler_config_id", Id, nullable=True),
        sa.Column("scheduler_id", sa.BigInteger(), nullable=True),
        sa.Column("scheduler_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("max_parallel_jobs", sa.Integer(), nullable=True),
        sa.Column("output_dir", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("submitted_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scheduler_config_id"],
            ["slurm_scheduler.id"],
            name=op.f("fk_allocation_scheduler_config_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_allocation_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocation")),
        sa.UniqueConstraint("token", name=op.f("uq_allocation_token")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_allocation_scheduler_config_id"),
        "allocation",
        ["scheduler_config_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_allocation_workflow_id_status"),
        "allocation",
        ["workflow_id", "status"],
        unique=False,
    )
    op.create_table(
        "compute_node",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_start", sa.BigInteger(), nullable=True),
        sa.Column("start_time", sa.Double(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("end_time", sa.Double(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("num_cpus", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_gpus", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("num_nodes", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("compute_node_type", sa.Text(), nullable=False),
        sa.Column("output_dir", sa.Text(), nullable=False),
        sa.Column("allocation_id", Id, nullable=True),
        sa.Column("scheduler_config_id", Id, nullable=True),
        sa.Column("slurm_job_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["allocation_id"],
            ["allocation.id"],
            name=op.f("fk_compute_node_allocation_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_compute_node_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compute_node")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_compute_node_allocation_id"), "compute_node", ["allocation_id"], unique=False
    )
    op.create_index(
        op.f("ix_compute_node_workflow_id"), "compute_node", ["workflow_id"], unique=False
    )


def _jobs() -> None:
    """Jobs and what came of them."""
    op.create_table(
        "job_class",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("resource_requirements_id", Id, nullable=False),
        sa.Column("scheduler_id", Id, nullable=True),
        sa.ForeignKeyConstraint(
            ["resource_requirements_id"],
            ["resource_requirements.id"],
            name=op.f("fk_job_class_resource_requirements_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["scheduler_id"],
            ["slurm_scheduler.id"],
            name=op.f("fk_job_class_scheduler_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_job_class_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_class")),
    )
    op.create_index(
        op.f("ix_job_class_resource_requirements_id"),
        "job_class",
        ["resource_requirements_id"],
        unique=False,
    )
    op.create_index(op.f("ix_job_class_scheduler_id"), "job_class", ["scheduler_id"], unique=False)
    op.create_index(op.f("ix_job_class_workflow_id"), "job_class", ["workflow_id"], unique=False)
    op.create_table(
        "job",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("invocation_script", sa.Text(), nullable=True),
        sa.Column("status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("class_id", Id, nullable=False),
        sa.Column("failure_handler_id", Id, nullable=True),
        sa.Column(
            "cancel_on_blocking_job_failure",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
        ),
        sa.Column(
            "supports_termination", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("env", Json, nullable=True),
        sa.Column("stdio", Json, nullable=True),
        sa.Column("attempt_id", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("compute_node_id", Id, nullable=True),
        sa.Column("start_time", sa.Double(), nullable=True),
        sa.Column("ready_since", sa.Double(), nullable=True),
        sa.Column("blockers", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("result_id", Id, nullable=True),
        sa.ForeignKeyConstraint(
            ["class_id"], ["job_class.id"], name=op.f("fk_job_class_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["compute_node_id"],
            ["compute_node.id"],
            name=op.f("fk_job_compute_node_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["failure_handler_id"],
            ["failure_handler.id"],
            name=op.f("fk_job_failure_handler_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflow.id"], name=op.f("fk_job_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("workflow_id", "name", name=op.f("uq_job_workflow_id_name")),
    )
    op.create_index(op.f("ix_job_class_id"), "job", ["class_id"], unique=False)
    op.create_index(op.f("ix_job_failure_handler_id"), "job", ["failure_handler_id"], unique=False)
    op.create_index(
        "ix_job_held",
        "job",
        ["compute_node_id"],
        unique=False,
        sqlite_where=sa.text("compute_node_id IS NOT NULL"),
        postgresql_where=sa.text("compute_node_id IS NOT NULL"),
    )
    op.create_index(
        "ix_job_ready",
        "job",
        ["workflow_id", "class_id", "id"],
        unique=False,
        sqlite_where=sa.text("status = 2"),
        postgresql_where=sa.text("status = 2"),
    )
    op.create_index("ix_job_status", "job", ["workflow_id", "status", "id"], unique=False)
    op.create_table(
        "result",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("compute_node_id", Id, nullable=True),
        sa.Column("return_code", sa.Integer(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("ending", sa.Text(), nullable=False),
        sa.Column("start_time", sa.Double(), nullable=True),
        sa.Column("completion_time", sa.Double(), nullable=False),
        sa.Column("exec_time_s", sa.Double(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("avg_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("peak_cpu_percent", sa.Double(), nullable=True),
        sa.Column("avg_cpu_percent", sa.Double(), nullable=True),
        sa.Column("stdout_path", sa.Text(), nullable=True),
        sa.Column("stderr_path", sa.Text(), nullable=True),
        sa.Column("stderr_tail", sa.Text(), nullable=True),
        sa.Column("superseded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["compute_node_id"],
            ["compute_node.id"],
            name=op.f("fk_result_compute_node_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_result_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflow.id"], name=op.f("fk_result_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_result_compute_node_id"), "result", ["compute_node_id"], unique=False)
    op.create_index(op.f("ix_result_job_id"), "result", ["job_id"], unique=False)
    op.create_index(op.f("ix_result_workflow_id"), "result", ["workflow_id"], unique=False)
    op.create_index(
        "uq_result_attempt",
        "result",
        ["job_id", "run_id", "attempt_id"],
        unique=True,
        sqlite_where=sa.text("NOT superseded"),
        postgresql_where=sa.text("NOT superseded"),
    )


def _links() -> None:
    """Who waits for whom, and who reads and writes what."""
    op.create_table(
        "job_depends_on",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("depends_on_job_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["depends_on_job_id"],
            ["job.id"],
            name=op.f("fk_job_depends_on_depends_on_job_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_depends_on_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "depends_on_job_id", name=op.f("pk_job_depends_on")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_job_depends_on_depends_on_job_id"),
        "job_depends_on",
        ["depends_on_job_id"],
        unique=False,
    )
    op.create_table(
        "job_input_file",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("file_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["file.id"], name=op.f("fk_job_input_file_file_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_input_file_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "file_id", name=op.f("pk_job_input_file")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_job_input_file_file_id"), "job_input_file", ["file_id"], unique=False)
    op.create_table(
        "job_output_file",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("file_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["file.id"], name=op.f("fk_job_output_file_file_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_output_file_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "file_id", name=op.f("pk_job_output_file")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_job_output_file_file_id"), "job_output_file", ["file_id"], unique=False
    )
    op.create_table(
        "job_input_user_data",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("user_data_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_input_user_data_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_data_id"],
            ["user_data.id"],
            name=op.f("fk_job_input_user_data_user_data_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "user_data_id", name=op.f("pk_job_input_user_data")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_job_input_user_data_user_data_id"),
        "job_input_user_data",
        ["user_data_id"],
        unique=False,
    )
    op.create_table(
        "job_output_user_data",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("user_data_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_job_output_user_data_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_data_id"],
            ["user_data.id"],
            name=op.f("fk_job_output_user_data_user_data_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "user_data_id", name=op.f("pk_job_output_user_data")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_job_output_user_data_user_data_id"),
        "job_output_user_data",
        ["user_data_id"],
        unique=False,
    )
    op.create_table(
        "barrier",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("blockers", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_barrier_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_barrier")),
    )
    op.create_index(op.f("ix_barrier_workflow_id"), "barrier", ["workflow_id"], unique=False)
    op.create_table(
        "barrier_in",
        sa.Column("barrier_id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["barrier_id"],
            ["barrier.id"],
            name=op.f("fk_barrier_in_barrier_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_barrier_in_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("barrier_id", "job_id", name=op.f("pk_barrier_in")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_barrier_in_job_id"), "barrier_in", ["job_id"], unique=False)
    op.create_table(
        "barrier_out",
        sa.Column("barrier_id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["barrier_id"],
            ["barrier.id"],
            name=op.f("fk_barrier_out_barrier_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_barrier_out_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("barrier_id", "job_id", name=op.f("pk_barrier_out")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_barrier_out_job_id"), "barrier_out", ["job_id"], unique=False)


def _actions() -> None:
    """Actions and events."""
    op.create_table(
        "workflow_action",
        sa.Column("id", Id, autoincrement=False, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("trigger_type", sa.Text(), nullable=False),
        sa.Column("action_type", sa.Text(), nullable=False),
        sa.Column("action_config", Json, nullable=False),
        sa.Column("trigger_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("required_triggers", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("executed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("executed_at", sa.Double(), nullable=True),
        sa.Column("executed_by", Id, nullable=True),
        sa.Column("persistent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_recovery", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["executed_by"],
            ["compute_node.id"],
            name=op.f("fk_workflow_action_executed_by"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_workflow_action_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_action")),
    )
    op.create_index(
        op.f("ix_workflow_action_executed_by"), "workflow_action", ["executed_by"], unique=False
    )
    op.create_index(
        op.f("ix_workflow_action_workflow_id"), "workflow_action", ["workflow_id"], unique=False
    )
    op.create_table(
        "action_job",
        sa.Column("action_id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["action_id"],
            ["workflow_action.id"],
            name=op.f("fk_action_job_action_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_action_job_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("action_id", "job_id", name=op.f("pk_action_job")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_action_job_job_id"), "action_job", ["job_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("timestamp", sa.Double(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflow.id"], name=op.f("fk_event_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_workflow_id_id"), "event", ["workflow_id", "id"], unique=False)
