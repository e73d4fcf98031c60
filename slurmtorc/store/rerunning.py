"""A new run of chosen jobs alone: all others keep what they came to.

Beside workflows.initialize, which begins a workflow's first run. Who is chosen is decided before
(rules/staleness.py, rules/healing.py). What must never happen: a job that was not chosen leaves
the status it ended in.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, and_, bindparam, case, func, null, or_, select, text, update

from slurmtorc.errors import Conflict
from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.store import events, present, rearming, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.columns import Id
from slurmtorc.store.dialect import all_at_once, many_changed
from slurmtorc.store.statuses import has_status, written

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, RowMapping, Update

_J = t.job.c
_OF_WORKFLOW = _J.workflow_id == bindparam("workflow")
_CAN_BEGIN = (JobStatus.UNINITIALIZED, *sources(JobEvent.RESET))

_RESET = (
    update(t.job)
    .where(_OF_WORKFLOW, among(_J.id), has_status(t.job, *_CAN_BEGIN))
    .values(
        status=int(target(JobEvent.RESET)),
        result_id=None,
        ready_since=None,
        changed_at=None,
        changes=null(),
    )
)
_FROM_THE_FIRST_ATTEMPT = _RESET.values(
    attempt_id=1,
    spared_attempts=0,
    origin=case((_J.origin == "retry", None), else_=_J.origin),
)
"""A new lifetime: what was tried before does not count."""

# ── what waits again ─────────────────────────────────────────────────────────

_OVER = written(COMPLETE)
_HELD_UP = text(
    f"""
SELECT job_id, count(*) AS n FROM (
  SELECT d.job_id FROM job_depends_on AS d JOIN job AS other ON other.id = d.depends_on_job_id
  WHERE other.workflow_id = :workflow AND other.status NOT IN ({_OVER})
  UNION ALL
  SELECT o.job_id FROM barrier_out AS o JOIN barrier ON barrier.id = o.barrier_id
  WHERE barrier.workflow_id = :workflow AND barrier.blockers > 0
) AS waits GROUP BY job_id
"""  # noqa: S608  our own words
)
"""Jobs that wait for something: for how many jobs and groups. The others are not in it."""


@cache  # not when the module is imported: few commands begin a run
def _waiting() -> Update:
    """What a job waits for, and so its status. What is so already is not written again."""
    other = t.job.alias("counted")
    held_up = _HELD_UP.columns(job_id=Id, n=Integer).cte("held_up")
    mine = or_(
        and_(has_status(other, JobStatus.UNINITIALIZED), among(other.c.id)),
        has_status(other, JobStatus.BLOCKED, JobStatus.READY),
    )
    counted = (
        select(other.c.id, func.coalesce(held_up.c.n, 0).label("n"))
        .select_from(other.outerjoin(held_up, held_up.c.job_id == other.c.id))
        .where(other.c.workflow_id == bindparam("workflow"), mine)
        .cte("waits")
    )
    waits = counted.c.n > 0
    status = case((waits, int(target(JobEvent.BLOCK))), else_=int(target(JobEvent.FREE)))
    since = case((waits, None), else_=func.coalesce(_J.ready_since, bindparam("now")))
    changed = or_(
        _J.blockers != counted.c.n, _J.status != status, _J.ready_since.is_distinct_from(since)
    )
    change = update(t.job).where(_J.id == counted.c.id, changed)
    return change.values(blockers=counted.c.n, status=status, ready_since=since)


_WRITTEN_ANEW = select(t.job_output_file.c.file_id).where(among(t.job_output_file.c.job_id))
_FORGET_CONTENTS = (
    update(t.file)
    .where(t.file.c.id.in_(_WRITTEN_ANEW), t.file.c.content_hash.is_not(None))
    .values(content_hash=None)
)


def rerun(
    connection: Connection,
    workflow_id: int,
    job_ids: Collection[int],
    now: float,
    *,
    after_run: int | None = None,
    anew: bool = False,
    force: bool = False,
) -> int:
    """Begin a run of these jobs, and of what is blocked behind them; its id."""
    row = workflows.locked(connection, workflow_id)
    _refuse(row, after_run)
    present.refuse_held(connection, workflow_id)
    present.settle_idle(connection, workflow_id, now, force=force)
    workflows.link_by_files_and_data(connection, workflow_id)
    chosen = sorted(set(job_ids))
    values: dict[str, Any] = {"workflow": workflow_id, "ids": chosen}
    if connection.execute(_FROM_THE_FIRST_ATTEMPT if anew else _RESET, values).rowcount < len(
        chosen
    ):
        raise Conflict(f"workflow {workflow_id} has not all of the jobs that were to run again")
    connection.execute(_FORGET_CONTENTS, {"ids": chosen})
    count_anew(connection, workflow_id, chosen, now)
    run_id: int = row["run_id"] + 1
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    connection.execute(change.values(run_id=run_id, is_canceled=False))
    rearming.rearm(connection, workflow_id, anew=anew)
    data = {"run_id": run_id} | ({} if anew else {"job_ids": chosen})
    what = "workflow_restarted" if anew else "workflow_rerun"
    events.write(connection, workflow_id, now, [(what, data)])
    return run_id


def _refuse(row: RowMapping, after_run: int | None) -> None:
    workflow_id, last = row["id"], row["run_id"]
    present.refuse_archived(row)
    if not last:
        raise Conflict(f"workflow {workflow_id} has not been run yet, so nothing can run again")
    if after_run not in {None, last}:
        raise Conflict(f"run {last} of workflow {workflow_id} was begun meanwhile; see torc status")


def count_anew(
    connection: Connection, workflow_id: int, chosen: Collection[int], now: float
) -> None:
    """What waiting jobs, and the chosen ones, wait for; what is over otherwise stays over."""
    words = {"settled": _OVER, "failed": written(UNSUCCESSFUL)}
    values = {"workflow": workflow_id}
    connection.execute(text(workflows.COUNT_BARRIERS.format(**words)), values)
    with all_at_once(connection):
        counted = connection.execute(_waiting(), values | {"ids": chosen, "now": now}).rowcount
    many_changed(connection, {t.job: max(counted, len(chosen))})


def wait_again(connection: Connection, workflow_id: int, now: float) -> None:
    """What is blocked or ready in the present run is one of them by what it waits for now."""
    count_anew(connection, workflow_id, (), now)
