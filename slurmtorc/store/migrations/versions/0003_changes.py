"""Each execution of an action, what was changed since jobs ran, and the store's upkeep."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)

_COUNT_JOBS = """
UPDATE workflow SET job_count = (SELECT count(*) FROM job WHERE job.workflow_id = workflow.id)
"""


def upgrade() -> None:
    """Add columns, then tables."""
    for table, column in (
        ("file", sa.Column("content_hash", sa.Text(), nullable=True)),
        ("user_data", sa.Column("changed_at", sa.Double(), nullable=True)),
        ("job", sa.Column("changed_at", sa.Double(), nullable=True)),
        ("job", sa.Column("changes", Json, nullable=True)),
        ("workflow", sa.Column("linked_jobs", Id, nullable=False, server_default=sa.text("0"))),
        (
            "workflow",
            sa.Column("job_count", sa.Integer(), nullable=False, server_default=sa.text("0")),
        ),
    ):
        op.add_column(table, column)
    op.execute(_COUNT_JOBS)
    _only_where_known()
    if op.get_bind().dialect.name == "postgresql":
        _less_to_write()
    _executions()
    op.create_table(
        "upkeep",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", Id, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("what", "subject", name=op.f("pk_upkeep")),
    )


def _only_where_known() -> None:
    """An index that most jobs are not in."""
    known = sa.text("failure_handler_id IS NOT NULL")
    op.drop_index("ix_job_failure_handler_id", "job")
    op.create_index(
        "ix_job_failure_handler_id",
        "job",
        ["failure_handler_id"],
        sqlite_where=known,
        postgresql_where=known,
    )


def _less_to_write() -> None:
    """Each change of a job writes into all of its indexes: one fewer, and one sorted by bytes."""
    op.drop_constraint("fk_job_class_id", "job")
    op.drop_index("ix_job_class_id", "job")
    op.alter_column("job", "name", type_=sa.Text(collation="C"))


def _executions() -> None:
    """Where and when actions were executed, and what came of it."""
    op.create_table(
        "action_run",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("workflow_id", Id, nullable=False),
        sa.Column("action_id", Id, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("compute_node_id", Id, nullable=True),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("start_time", sa.Double(), nullable=False),
        sa.Column("end_time", sa.Double(), nullable=True),
        sa.Column("return_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("log_path", sa.Text(), nullable=True),
        *_references(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_run")),
        sqlite_autoincrement=True,
    )
    for columns in (["workflow_id"], ["action_id", "compute_node_id"], ["compute_node_id"]):
        name = "_".join(["ix_action_run", *columns])
        op.create_index(op.f(name), "action_run", columns, unique=False)


def _references() -> list[sa.ForeignKeyConstraint]:
    whose = (
        ("workflow_id", "workflow", "CASCADE"),
        ("action_id", "workflow_action", "CASCADE"),
        ("compute_node_id", "compute_node", "SET NULL"),
    )
    return [
        sa.ForeignKeyConstraint(
            [column], [f"{table}.id"], name=op.f(f"fk_action_run_{column}"), ondelete=on_delete
        )
        for column, table, on_delete in whose
    ]
