"""What watches remember, what is believed of allocations, and the account of steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Add columns, then tables."""
    _evidence()
    op.add_column("compute_node", sa.Column("missed_since", sa.Double(), nullable=True))
    op.add_column(
        "job",
        sa.Column("spared_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    _watches()
    _statistics()


def _evidence() -> None:
    """Columns of an allocation."""
    for column in (
        sa.Column("slurm_state", sa.Text(), nullable=True),
        sa.Column("slurm_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("absent_since", sa.Double(), nullable=True),
        sa.Column("absences", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("final_state", sa.Text(), nullable=True),
        sa.Column("final_at", sa.Double(), nullable=True),
        sa.Column("asked_at", sa.Double(), nullable=True),
    ):
        op.add_column("allocation", column)


def _watches() -> None:
    """Who watches a workflow, and what was decided."""
    op.create_table(
        "watch",
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("last_scheduled_at", sa.Double(), nullable=True),
        sa.Column("schedule_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("recoveries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflow.id"], name=op.f("fk_watch_workflow_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workflow_id", name=op.f("pk_watch")),
    )
    op.create_table(
        "watch_decision",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("timestamp", sa.Double(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("numbers", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_watch_decision_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_decision")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_watch_decision_workflow_id_id"),
        "watch_decision",
        ["workflow_id", "id"],
        unique=False,
    )


def _statistics() -> None:
    """The account of attempts that were steps."""
    op.create_table(
        "slurm_stats",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("slurm_job_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("max_rss_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_vm_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_disk_read_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_disk_write_bytes", sa.BigInteger(), nullable=True),
        sa.Column("ave_cpu_seconds", sa.Double(), nullable=True),
        sa.Column("node_list", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_slurm_stats_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["workflow.id"],
            name=op.f("fk_slurm_stats_workflow_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slurm_stats")),
        sa.UniqueConstraint(
            "job_id", "run_id", "attempt_id", name=op.f("uq_slurm_stats_job_id_run_id_attempt_id")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_slurm_stats_workflow_id"), "slurm_stats", ["workflow_id"], unique=False
    )
