"""Verbs about jobs that a worker holds: start, release, complete, give up. Many at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, not_, or_, select, update

from slurmtorc.model import COMPLETE, OPEN, JobStatus, Report
from slurmtorc.rules.endings import ORPHANED
from slurmtorc.rules.status import JobEvent, end_event, sources, target
from slurmtorc.store import actions, events, unblocking
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.dialect import locks_rows
from slurmtorc.store.prepared import Inserted, Prepared
from slurmtorc.store.statuses import ONE, has_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Update

_J = t.job.c

# ── start, release, held ─────────────────────────────────────────────────────


def _held(event: JobEvent) -> Update:
    """Jobs named in :ids that worker :node holds and to which the event can happen."""
    return update(t.job).where(
        among(_J.id),
        _J.compute_node_id == bindparam("node"),
        has_status(t.job, *sources(event)),
    )


_START = Prepared(
    _held(JobEvent.START)
    .values(status=int(target(JobEvent.START)), start_time=bindparam("now"))
    .returning(_J.id, _J.workflow_id, _J.name, _J.attempt_id)
)
_BACK = {
    event: Prepared(
        _held(event)
        .values(status=int(target(event)), compute_node_id=None, start_time=None)
        .returning(_J.id, _J.workflow_id)
    )
    for event in (JobEvent.RELEASE, JobEvent.WITHDRAW)
}


def start(connection: Connection, node_id: int, job_ids: Sequence[int], now: float) -> list[int]:
    """Pending -> running; the ids of those that were."""
    values = {"ids": list(job_ids), "node": node_id, "now": now}
    rows = sorted(_START(connection, values), key=lambda row: row.id)
    if rows:
        tell_started(connection, rows[0].workflow_id, rows, now)
    return [row.id for row in rows]


def tell_started(connection: Connection, workflow_id: int, rows: Sequence[Any], now: float) -> None:
    """These jobs of one workflow are running now."""
    happened = [
        ("job_started", {"job_id": row.id, "job_name": row.name, "attempt_id": row.attempt_id})
        for row in rows
    ]
    events.write(connection, workflow_id, now, happened)


def release(connection: Connection, node_id: int, job_ids: Sequence[int], now: float) -> list[int]:
    """Pending -> ready; the ids of those that were."""
    return _give_back(connection, JobEvent.RELEASE, node_id, job_ids, now)


def withdraw(connection: Connection, node_id: int, job_ids: Sequence[int], now: float) -> list[int]:
    """Running -> ready, of jobs whose process never began; the ids of those that were."""
    return _give_back(connection, JobEvent.WITHDRAW, node_id, job_ids, now)


def _give_back(
    connection: Connection, event: JobEvent, node_id: int, job_ids: Sequence[int], now: float
) -> list[int]:
    rows = _BACK[event](connection, {"ids": list(job_ids), "node": node_id})
    ids = sorted(row.id for row in rows)
    if rows:
        events.write(connection, rows[0].workflow_id, now, [("jobs_released", {"job_ids": ids})])
    return ids


def held(connection: Connection, node_id: int) -> list[int]:
    """What a worker holds."""
    return [row.id for row in _HELD(connection, {"node": node_id})]


_HELD = Prepared(select(_J.id).where(_J.compute_node_id == bindparam("node")).order_by(_J.id))


# ── complete ─────────────────────────────────────────────────────────────────

_OF_REPORTS = Prepared(
    select(_J.id, _J.workflow_id, _J.name, _J.status, _J.attempt_id, _J.origin, _J.compute_node_id)
    .where(among(_J.id))
    .order_by(_J.id)
    .with_for_update()
)
_R = t.result.c
_RESULT = (
    select(_R.id)
    .where(
        _R.job_id == _J.id,
        _R.run_id == bindparam("run"),
        _R.attempt_id == _J.attempt_id,
        not_(_R.superseded),
    )
    .scalar_subquery()
)
"""The attempt's one result."""
_LEFT = {"compute_node_id": None, "start_time": None}
_END = Prepared(
    update(t.job)
    .where(among(_J.id))
    .values(status=bindparam("to"), result_id=_RESULT, ready_since=None, **_LEFT)
)
_AGAIN = Prepared(
    update(t.job)
    .where(among(_J.id))
    .values(
        status=int(target(JobEvent.AGAIN)),
        attempt_id=_J.attempt_id + 1,
        spared_attempts=_J.spared_attempts + bindparam("spared"),
        origin="retry",
        result_id=None,
        ready_since=bindparam("now"),
        **_LEFT,
    )
)
_TOUCH = Prepared(
    update(t.file).where(t.file.c.id == bindparam("file")).values(st_mtime=bindparam("mtime"))
)


def complete(
    connection: Connection, node_id: int, reports: Sequence[Report], now: float
) -> list[int]:
    """Record how attempts ended, and settle what waited for them."""
    rows = _OF_REPORTS(connection, {"ids": [report.job_id for report in reports]})
    found = {row.id: row for row in rows}
    ended = [
        _Ended(report, found[report.job_id], _is_current(found[report.job_id], report, node_id))
        for report in reports
        if report.job_id in found
    ]
    current = [each for each in ended if each.is_current]
    late = [each for each in ended if not each.is_current]
    told = _known(connection, node_id, late) if late else set()
    fresh = [*current, *(each for each in late if each.report.job_id not in told)]
    if not fresh:
        return []
    _INSERT_RESULTS(connection, [_result(each, node_id) for each in fresh])
    if current:
        _end(connection, [each.report for each in current], now)
        _touch(connection, current)
        _tell(connection, current, now)
    return [each.report.job_id for each in current]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A report, the job's row, and whether the worker still held that attempt."""

    report: Report
    row: Any
    is_current: bool

    @property
    def counts(self) -> bool:
        """Whether it is the attempt's one result: also of a job that was canceled under it."""
        canceled = self.row.status == JobStatus.CANCELED
        return self.is_current or (canceled and self.row.attempt_id == self.report.attempt_id)


def _is_current(row: Any, report: Report, node_id: int) -> bool:
    return (
        row.compute_node_id == node_id
        and row.attempt_id == report.attempt_id
        and row.status in sources(JobEvent.AGAIN if report.again else end_event(report.status))
    )


def _known(connection: Connection, node_id: int, late: Sequence[_Ended]) -> set[int]:
    """Jobs whose report has come before: the answer to it was lost on the way."""
    ends = {each.report.job_id: each.report.completion_time for each in late}
    found = _BY_NODE(connection, {"node": node_id, "ids": list(ends)})
    return {row.job_id for row in found if row.completion_time == ends[row.job_id]}


_BY_NODE = Prepared(
    select(_R.job_id, _R.completion_time).where(
        _R.compute_node_id == bindparam("node"), among(_R.job_id)
    )
)


_RESULT_FIELDS = (
    "job_id",
    "run_id",
    "attempt_id",
    "return_code",
    "start_time",
    "completion_time",
    "peak_memory_bytes",
    "avg_memory_bytes",
    "peak_cpu_percent",
    "avg_cpu_percent",
    "stdout_path",
    "stderr_path",
    "stderr_tail",
)
_DERIVED_FIELDS = (
    "workflow_id",
    "compute_node_id",
    "exec_time_s",
    "superseded",
    "status",
    "ending",
)
_reported = attrgetter(*_RESULT_FIELDS)
_INSERT_RESULTS = Inserted(t.result, _RESULT_FIELDS + _DERIVED_FIELDS)


def _result(each: _Ended, node_id: int) -> tuple[Any, ...]:
    report = each.report
    began = report.completion_time if report.start_time is None else report.start_time
    return (
        *_reported(report),
        each.row.workflow_id,
        node_id,
        max(0.0, report.completion_time - began),
        not each.counts,
        int(report.status),
        report.ending.value,
    )


def _end(connection: Connection, reports: Sequence[Report], now: float) -> None:
    """Let the jobs have their next status, all that ended alike at once."""
    over: dict[tuple[JobStatus, int], list[int]] = defaultdict(list)
    again: dict[bool, list[int]] = defaultdict(list)
    for report in reports:
        alike = again[report.spared] if report.again else over[report.status, report.run_id]
        alike.append(report.job_id)
    for (status, run_id), ids in over.items():
        _END(connection, {"ids": ids, "to": int(status), "run": run_id})
    for spared, ids in again.items():
        _AGAIN(connection, {"ids": ids, "spared": int(spared), "now": now})


def _touch(connection: Connection, current: Sequence[_Ended]) -> None:
    """Note the modification times of the outputs that were found."""
    touched = [{"file": f, "mtime": m} for each in current for f, m in each.report.files]
    for values in touched:
        _TOUCH(connection, values)


def _tell(connection: Connection, current: Sequence[_Ended], now: float) -> None:
    """Events of each workflow, and the dependents of what is complete."""

    def workflow_of(each: _Ended) -> int:
        workflow_id: int = each.row.workflow_id
        return workflow_id

    for workflow_id, group in groupby(sorted(current, key=workflow_of), key=workflow_of):
        ended = list(group)
        happened = [_event(each) for each in ended]
        reports = [each.report for each in ended]
        over = [r.job_id for r in reports if not r.again and r.status in COMPLETE]
        settled = unblocking.settle(connection, workflow_id, over, now)
        happened += settled
        if not any(kind == unblocking.READY for kind, _ in settled):
            happened += _if_complete(connection, workflow_id)
        events.write(connection, workflow_id, now, happened)


def _event(each: _Ended) -> tuple[str, dict[str, Any]]:
    report = each.report
    what = "job_retried" if report.again else f"job_{report.status.word}"
    return what, {
        "job_id": report.job_id,
        "job_name": each.row.name,
        "attempt_id": report.attempt_id,
        "status": report.status.word,
        "return_code": report.return_code,
        "ending": report.ending.value,
    }


_UNFINISHED = Prepared(
    select(_J.id)
    .where(_J.workflow_id == bindparam("workflow"), has_status(t.job, *OPEN))
    .limit(ONE)
)


# A running job may end at this moment, and a blocked one be canceled, out of our sight.
_LIKELY_FIRST = (
    JobStatus.READY, JobStatus.PENDING, JobStatus.PENDING_FAILED, JobStatus.UNINITIALIZED
)  # fmt: skip
assert {*_LIKELY_FIRST} == OPEN - {JobStatus.RUNNING, JobStatus.BLOCKED}


def _some(status: JobStatus) -> ColumnElement[bool]:
    """Whether any job has this status; looked for from the end.

    Jobs are taken from the beginning: there an index holds those that had it until a moment ago,
    and Postgres steps over every one.
    """
    last = select(_J.id).where(_J.workflow_id == bindparam("workflow"), has_status(t.job, status))
    last = last.order_by(_J.status.desc(), _J.id.desc()).limit(ONE)
    return last.scalar_subquery().is_not(None)


_WAITING = Prepared(select(or_(*map(_some, _LIKELY_FIRST)).label("any")))
"""One look-up for each status: of several at once Postgres expects many, and reads all jobs."""
_LAST_ONES_MEET = Prepared(
    select(t.workflow.c.id)
    .where(t.workflow.c.id == bindparam("workflow"))
    .with_for_update(key_share=True)
)


def tell_if_complete(connection: Connection, workflow_id: int, now: float) -> None:
    """Whoever completes the last job says so; of two that do it at once, the second."""
    events.write(connection, workflow_id, now, _if_complete(connection, workflow_id))


def _if_complete(connection: Connection, workflow_id: int) -> list[tuple[str, dict[str, Any]]]:
    values = {"workflow": workflow_id}
    if _WAITING(connection, values)[0].any:
        return []
    if locks_rows(connection):
        _LAST_ONES_MEET(connection, values)
    if _UNFINISHED(connection, values):
        return []
    actions.completed(connection, workflow_id)
    return [("workflow_completed", {})]


# ── jobs that nobody runs ────────────────────────────────────────────────────


def give_up(connection: Connection, node_id: int, job_ids: Sequence[int], now: float) -> list[int]:
    """Take jobs back from a worker that does not run them; the ids of those it held."""
    mine = _OF_WORKER(connection, {"node": node_id, "ids": job_ids})
    claimed = [row.id for row in mine if row.status == JobStatus.PENDING]
    release(connection, node_id, claimed, now)
    lost = [_lost(row, now) for row in mine if row.status == JobStatus.RUNNING]
    if lost:
        complete(connection, node_id, lost, now)
    return [row.id for row in mine]


_OF_WORKER = Prepared(
    select(_J.id, _J.status, _J.attempt_id, _J.start_time, t.workflow.c.run_id)
    .join(t.workflow, t.workflow.c.id == _J.workflow_id)
    .where(_J.compute_node_id == bindparam("node"), among(_J.id))
    .order_by(_J.id)
)


def _lost(row: Any, now: float) -> Report:
    return Report(
        job_id=row.id,
        run_id=row.run_id,
        attempt_id=row.attempt_id,
        return_code=ORPHANED.return_code,
        status=ORPHANED.status,
        ending=ORPHANED.ending,
        start_time=row.start_time,
        completion_time=now,
        again=True,
        spared=True,  # it was its worker's failure
    )
