"""The tables beside the state: what has happened, what watches remember, how the store is kept.

No claim or change of a job's status reads them. Who asks for a table asks schema.py, which has
the state and hands these on: `schema.TABLES` is whole only because it imports this module.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from slurmtorc.store.columns import Id, Json, metadata, moment, number, of, own_id, word

action_run = Table(
    "action_run",
    metadata,
    own_id(counts=True),
    of("workflow"),
    of("workflow_action", "action_id"),
    Column("run_id", Integer, nullable=False),
    of("compute_node", on_delete="SET NULL"),
    word("hostname"),
    moment("start_time", known=True),
    moment("end_time"),
    Column("return_code", Integer),
    word("reason", known=False),
    word("log_path", known=False),
    Index(None, "workflow_id"),
    Index(None, "action_id", "compute_node_id"),
    Index(None, "compute_node_id"),
    sqlite_autoincrement=True,
)

event = Table(
    "event",
    metadata,
    own_id(counts=True),
    of("workflow"),
    moment("timestamp", known=True),
    word("type"),
    Column("data", Json, nullable=False),
    Index(None, "workflow_id", "id"),
    sqlite_autoincrement=True,
)

watch = Table(
    "watch",
    metadata,
    Column("workflow_id", Id, ForeignKey("workflow.id", ondelete="CASCADE"), primary_key=True),
    word("holder"),
    word("hostname"),
    number("pid", 0),
    moment("lease_until", known=True),
    moment("since", known=True),
    moment("last_scheduled_at"),
    number("schedule_failures", 0),
    moment("not_before", known=True),
    number("recoveries", 0),
)

watch_decision = Table(
    "watch_decision",
    metadata,
    own_id(counts=True),
    of("workflow"),
    moment("timestamp", known=True),
    word("decision"),
    word("reason"),
    Column("numbers", Json, nullable=False),
    Index(None, "workflow_id", "id"),
    sqlite_autoincrement=True,
)

slurm_stats = Table(
    "slurm_stats",
    metadata,
    own_id(counts=True),
    of("workflow"),
    of("job"),
    Column("run_id", Integer, nullable=False),
    Column("attempt_id", Integer, nullable=False),
    Column("slurm_job_id", BigInteger, nullable=False),
    word("step"),
    Column("max_rss_bytes", BigInteger),
    Column("max_vm_size_bytes", BigInteger),
    Column("max_disk_read_bytes", BigInteger),
    Column("max_disk_write_bytes", BigInteger),
    Column("ave_cpu_seconds", Double),
    word("node_list"),
    UniqueConstraint("job_id", "run_id", "attempt_id"),
    Index(None, "workflow_id"),
    sqlite_autoincrement=True,
)

upkeep = Table(
    "upkeep",
    metadata,
    Column("what", Text, primary_key=True),
    Column("subject", Id, primary_key=True, autoincrement=False),
    moment("at", known=True),
    word("detail", known=False),
)
"""When the store was last cared for, and which workflows are half deleted."""
