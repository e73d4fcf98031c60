"""Claims: ready jobs are given to one worker each, as many as fit into what it has free."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, exists, select, update

from slurmtorc.errors import NotFound
from slurmtorc.model import Capacity, Claim, JobStatus, ResourceRequirements
from slurmtorc.rules import packing
from slurmtorc.rules.status import JobEvent, target
from slurmtorc.store import jobs, records
from slurmtorc.store import schema as t
from slurmtorc.store.among import among, picked_once
from slurmtorc.store.prepared import Prepared
from slurmtorc.store.statuses import ONE, has_status, literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

_J = t.job.c


@dataclass(frozen=True, slots=True)
class _Class:
    """Ready jobs that are alike."""

    id: int
    priority: int
    scheduler_id: int | None
    need: ResourceRequirements


_NEEDS = records.KINDS[ResourceRequirements]

_READY = and_(_J.workflow_id == bindparam("workflow"), has_status(t.job, JobStatus.READY))


def _ready_classes_query() -> Select[Any]:
    """One step per class with ready jobs, each an index look-up, however many jobs are ready."""
    # Not max(): Postgres would read them all where it believes that there are few. From the end:
    # at the beginning an index holds those that were ready until a moment ago.
    last = select(_J.class_id).where(_READY)
    last = last.order_by(_J.class_id.desc(), _J.id.desc()).limit(ONE)
    ready = select(last.scalar_subquery().label("class_id")).cte("ready", recursive=True)
    following = last.where(_J.class_id < ready.c.class_id).scalar_subquery()
    ready = ready.union_all(select(following).where(ready.c.class_id.is_not(None)))
    needs = (column.label(name) for name, column in _NEEDS.columns.items())
    wanted = t.job_class.c.scheduler_id.label("wanted_scheduler")
    return (
        select(ready.c.class_id, t.job_class.c.priority, wanted, *needs)
        .join(t.job_class, t.job_class.c.id == ready.c.class_id)
        .join(t.resource_requirements, t.resource_requirements.c.id == _CLASS_NEED)
    )


_CLASS_NEED = t.job_class.c.resource_requirements_id
_READY_CLASSES = Prepared(_ready_classes_query())


def _take_statement(
    changes: Mapping[str, Any], first: ColumnElement[Any], *which: ColumnElement[bool]
) -> Prepared:
    """Take ready jobs of some classes, lowest id first.

    Of the index that finds them `first` is the column before the id: each is a look-up for the
    first ones. Where `first` were said to equal one value, it would be no part of the order, and
    Postgres might walk along all ids instead, past every job that is over.
    """
    picked = (
        select(_J.id)
        .where(_J.workflow_id == bindparam("workflow"), *which)
        .order_by(first, _J.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )
    return Prepared(
        update(t.job)
        .where(picked_once(_J.id, picked))  # nothing else: they are locked, so they are ready
        .values(compute_node_id=bindparam("node"), **changes)
        .returning(
            _J.id,
            _J.name,
            _J.command,
            _J.invocation_script,
            _J.attempt_id,
            _J.spared_attempts,
            _J.env,
            _J.stdio,
            _J.failure_handler_id,
            _J.class_id,
            exists().where(t.job_output_file.c.job_id == _J.id).label("writes"),
        )
    )


class _Take:
    """Both ways to take jobs: of one class, and of several."""

    def __init__(self, **changes: Any) -> None:
        self.one = _take_statement(
            changes,
            _J.class_id,
            has_status(t.job, JobStatus.READY),
            _J.class_id.between(bindparam("class"), bindparam("class")),
        )
        ready = literal(JobStatus.READY)
        self.any = _take_statement(
            changes, _J.status, _J.status.between(ready, ready), among(_J.class_id, "classes")
        )


_CLAIM = _Take(status=int(target(JobEvent.CLAIM)))
_START = _Take(status=int(target(JobEvent.START)), start_time=bindparam("now"))
"""Claimed and started: nobody sees what is in between, so it is not written."""

_OUTPUTS = Prepared(
    select(t.job_output_file.c.job_id, t.file.c.id, t.file.c.path)
    .join(t.file, t.file.c.id == t.job_output_file.c.file_id)
    .where(among(t.job_output_file.c.job_id))
    .order_by(t.file.c.id)
)


def claim(
    connection: Connection,
    node_id: int,
    free: Capacity,
    limit: int,
    ahead: int = 0,
    start_at: float | None = None,
) -> list[Claim]:
    """Take ready jobs that fit together into `free`, and some that are like them."""
    workflow_id = _workflow_of(connection, node_id)
    if workflow_id is None or limit <= 0:
        return []
    classes = _ready_classes(connection, workflow_id)
    for preferred in _by_scheduler(classes, free.scheduler_id):
        taker = _Taker(connection, workflow_id, node_id, limit, start_at)
        claimed = taker.fill(preferred, free, ahead)
        if claimed:
            return claimed
    return []


def claim_next(
    connection: Connection, node_id: int, limit: int, start_at: float | None = None
) -> list[Claim]:
    """Take ready jobs by priority and id, whatever they need."""
    workflow_id = _workflow_of(connection, node_id)
    if workflow_id is None or limit <= 0:
        return []
    taker = _Taker(connection, workflow_id, node_id, limit, start_at)
    classes = sorted(_ready_classes(connection, workflow_id), key=lambda c: -c.priority)
    for _, alike in groupby(classes, key=lambda c: c.priority):
        taker.left -= taker.take(list(alike), taker.left)
    return taker.finish()


_WORKFLOW_OF = Prepared(
    select(t.workflow.c.id, t.workflow.c.is_canceled, t.compute_node.c.is_active)
    .join(t.compute_node, t.compute_node.c.workflow_id == t.workflow.c.id)
    .where(t.compute_node.c.id == bindparam("node"))
    # nobody gives the worker up until its claim is committed, and found
    .with_for_update(read=True, of=t.compute_node)
)


def _workflow_of(connection: Connection, node_id: int) -> int | None:
    """The workflow an active worker may take jobs from; None when it must take no more."""
    found = _WORKFLOW_OF(connection, {"node": node_id})
    if not found:
        raise NotFound(f"there is no compute node {node_id}")
    (row,) = found
    return row.id if row.is_active and not row.is_canceled else None


def _ready_classes(connection: Connection, workflow_id: int) -> list[_Class]:
    return [
        _Class(
            row.class_id,
            row.priority,
            row.wanted_scheduler,
            _NEEDS.record_of({name: getattr(row, name) for name in _NEEDS.columns}),
        )
        for row in _READY_CLASSES(connection, {"workflow": workflow_id})
    ]


def _by_scheduler(classes: Sequence[_Class], mine: int | None) -> tuple[list[_Class], list[_Class]]:
    """Jobs of my scheduler or of none; then the others, which I help out with."""
    first = [c for c in classes if c.scheduler_id in {None, mine}]
    return first, [c for c in classes if c.scheduler_id not in {None, mine}]


class _Taker:
    """One claim in progress."""

    def __init__(
        self,
        connection: Connection,
        workflow_id: int,
        node_id: int,
        limit: int,
        start_at: float | None,
    ) -> None:
        """`start_at`: they are started too, at this moment."""
        self.connection = connection
        self.workflow_id = workflow_id
        self.start_at = start_at
        self.statements = _CLAIM if start_at is None else _START
        self.values = {"workflow": workflow_id, "node": node_id, "now": start_at}
        self.left = limit
        self.taken: list[tuple[Any, ResourceRequirements]] = []

    def fill(self, classes: Iterable[_Class], free: Capacity, ahead: int) -> list[Claim]:
        """From each class in order as many as fit; `ahead` more of those of which any do."""

        def key(one: _Class) -> tuple[int, ...]:
            return (*packing.order(one.priority, one.need), one.need.num_nodes)

        for _, group in groupby(sorted(classes, key=key), key=key):
            alike = list(group)
            count = packing.room(free, alike[0].need, self.left)
            if count:
                more = ahead if alike[0].need.num_nodes == 1 else 0
                taken = self.take(alike, count + more)
                ahead -= max(0, taken - count)
                self.left -= min(taken, count)
                free = packing.take(free, alike[0].need, min(taken, count))
        return self.finish()

    def take(self, alike: Sequence[_Class], count: int) -> int:
        """Up to `count` jobs of these classes, lowest id first; how many there were."""
        if not count:
            return 0
        needs = {one.id: one.need for one in alike}
        which = {"class": alike[0].id} if len(alike) == 1 else {"classes": list(needs)}
        values = {**self.values, **which, "limit": count}
        statement = self.statements.one if len(alike) == 1 else self.statements.any
        rows = sorted(statement(self.connection, values), key=lambda row: row.id)
        self.taken += [(row, needs[row.class_id]) for row in rows]
        return len(rows)

    def finish(self) -> list[Claim]:
        """Tell of those that are started; all that was taken, with the outputs each declares."""
        if self.start_at is not None:
            rows = [row for row, _ in self.taken]
            jobs.tell_started(self.connection, self.workflow_id, rows, self.start_at)
        outputs = self._outputs([row.id for row, _ in self.taken if row.writes])
        return [_claim(row, need, outputs.get(row.id, ())) for row, need in self.taken]

    def _outputs(self, job_ids: Sequence[int]) -> dict[int, list[tuple[int, str]]]:
        outputs: dict[int, list[tuple[int, str]]] = {}
        if job_ids:
            for job_id, file_id, path in _OUTPUTS(self.connection, {"ids": job_ids}):
                outputs.setdefault(job_id, []).append((file_id, path))
        return outputs


def _claim(row: Any, need: ResourceRequirements, outputs: Iterable[tuple[int, str]]) -> Claim:
    return Claim(
        job_id=row.id,
        name=row.name,
        command=row.command,
        invocation_script=row.invocation_script,
        attempt_id=row.attempt_id,
        spared_attempts=row.spared_attempts,
        env=row.env,
        stdio=row.stdio,
        failure_handler_id=row.failure_handler_id,
        requirement=need,
        outputs=tuple(outputs),
    )
