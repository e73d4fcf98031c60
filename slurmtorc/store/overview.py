"""Where a workflow stands: the questions behind a status, and nothing else.

They are asked here, and, of a SQLite file, by glance.py without SQLAlchemy: in the words of
overview.sql, which `python docs/make.py` writes. So they bind nothing but :workflow and :run, and
give numbers and text alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal_column, select, text

from slurmtorc.model import JobStatus
from slurmtorc.model.overview import FAILURES_SHOWN
from slurmtorc.store import glance, migrate, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Select

    from slurmtorc.model import Overview

_J, _R, _A, _AR = t.job.c, t.result.c, t.workflow_action.c, t.action_run.c
_FAILED = (JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED)


def overview(connection: Connection, workflow_id: int) -> Overview:
    """Where a workflow stands. Raises NotFound."""

    def ask(question: str, **values: int) -> list[Any]:
        return list(connection.execute(_questions()[question], values))

    return glance.overview(ask, workflow_id)


def written() -> str:
    """What overview.sql holds: all questions in SQLite's words."""
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415  for those who write

    known = text(f"SELECT 1 FROM alembic_version WHERE version_num = '{migrate.HEAD}'")  # noqa: S608
    asked: dict[str, Any] = {"schema": known, **_questions()}
    words = sqlite.dialect(paramstyle="named")
    return "".join(f"-- {name}\n{asked[name].compile(dialect=words)};\n" for name in asked)


@cache
def _questions() -> Mapping[str, Select[Any]]:
    return {
        "workflow": _workflow(),
        "jobs": workflows.counts(),
        "allocations": _allocations(),
        "failures": _failures(),
        "actions": _actions(),
    }


def _workflow() -> Select[Any]:
    w, node = t.workflow.c, t.compute_node.c
    workers = select(func.count()).where(node.workflow_id == w.id, node.is_active)
    asked = select(w.name, w.user, w.run_id, w.is_canceled, workers.scalar_subquery())
    return asked.where(w.id == bindparam("workflow"))


def _allocations() -> Select[Any]:
    a = t.allocation.c
    asked = select(a.status, func.count()).where(a.workflow_id == bindparam("workflow"))
    return asked.group_by(a.status)


def _failures() -> Select[Any]:
    """The last attempts of the first jobs that failed."""
    failed = select(_J.id).where(
        _J.workflow_id == bindparam("workflow"), has_status(t.job, *_FAILED)
    )
    first = (
        failed.order_by(_J.id)
        .limit(literal_column(str(FAILURES_SHOWN)))
        .offset(literal_column("0"))
    )
    r = t.result.alias("attempt").c
    last = select(func.max(r.id)).where(r.job_id == _J.id, ~r.superseded)
    return (
        select(
            *(_J.id, _J.name, _R.attempt_id, _R.return_code, _R.status, _R.ending),
            *(_R.exec_time_s, _R.stderr_path, _R.stderr_tail),
        )
        .select_from(t.job.join(t.result, _R.id == last.scalar_subquery()))
        .where(_J.id.in_(first.scalar_subquery()))
        .order_by(_J.id)
    )


def _actions() -> Select[Any]:
    """Every execution of the present run, in the order they began."""
    return (
        select(_A.id, _A.trigger_type, _A.persistent)
        .add_columns(_AR.end_time, _AR.return_code, _AR.reason, _AR.log_path)
        .select_from(t.workflow_action.join(t.action_run, _AR.action_id == _A.id))
        .where(_AR.workflow_id == bindparam("workflow"), _AR.run_id == bindparam("run"))
        .where(~_A.is_recovery)
        .order_by(_AR.id)
    )
