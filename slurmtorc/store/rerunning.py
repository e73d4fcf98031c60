"""A new run of chosen jobs alone: all others keep what they came to.

Beside workflows.initialize, which begins a workflow's first run. Who is chosen is decided before
(rules/staleness.py, rules/healing.py). What must never happen: a job that was not chosen leaves
the status it ended in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, func, null, or_, select, text, update

from slurmtorc.errors import Conflict
from slurmtorc.model import COMPLETE, UNSUCCESSFUL, JobStatus
from slurmtorc.rules.status import JobEvent, sources, target
from slurmtorc.store import events, present, rearming, workflows
from slurmtorc.store import schema as t
from slurmtorc.store.among import among

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, RowMapping

_J = t.job.c
_OF_WORKFLOW = _J.workflow_id == bindparam("workflow")
_CHOSEN = and_(t.has_status(t.job, JobStatus.UNINITIALIZED), among(_J.id))
_CAN_BEGIN = (JobStatus.UNINITIALIZED, *sources(JobEvent.RESET))

_RESET = (
    update(t.job)
    .where(_OF_WORKFLOW, among(_J.id), t.has_status(t.job, *_CAN_BEGIN))
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
_WAITS = _J.blockers > 0
_BEGIN = (
    update(t.job)
    .where(_OF_WORKFLOW, or_(_CHOSEN, t.has_status(t.job, JobStatus.BLOCKED, JobStatus.READY)))
    .values(
        status=case((_WAITS, int(target(JobEvent.BLOCK))), else_=int(target(JobEvent.FREE))),
        ready_since=case((_WAITS, None), else_=func.coalesce(_J.ready_since, bindparam("now"))),
    )
)
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
    count_blockers(connection, workflow_id)
    connection.execute(_BEGIN, values | {"now": now})
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


def count_blockers(connection: Connection, workflow_id: int) -> None:
    """Count anew what waiting jobs wait for; whatever is over and not chosen stays over."""
    words = {
        "settled": t.written(COMPLETE),
        "failed": t.written(UNSUCCESSFUL),
        "fresh": t.written((JobStatus.UNINITIALIZED, JobStatus.BLOCKED, JobStatus.READY)),
    }
    for statement in (workflows.COUNT_BARRIERS, workflows.COUNT_BLOCKERS):
        connection.execute(text(statement.format(**words)), {"workflow": workflow_id})


def wait_again(connection: Connection, workflow_id: int, now: float) -> None:
    """What is blocked or ready in the present run is one of them by what it waits for now."""
    count_blockers(connection, workflow_id)
    values = {"workflow": workflow_id, "ids": [], "now": now}
    connection.execute(_BEGIN, values)
