"""A running job adds jobs to its own workflow: all of them, or none, and never twice.

Separate from creation, because the workflow is alive: what the new jobs wait for may end at the
same moment, and the same call may come again from the next attempt of the same job. Callers of
one workflow meet at its row, so names and generations are given out by one at a time; a job
that is waited for is held until the new edges are there, so none of its endings is missed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, bindparam, delete, func, insert, select, update

from slurmtorc.errors import Conflict, InvalidValue, NotFound
from slurmtorc.model import COMPLETE, DEFAULT_REQUIREMENT, JobStatus, Spawned
from slurmtorc.rules import spawning as rules
from slurmtorc.rules.status import JobEvent, target
from slurmtorc.rules.wording import listed
from slurmtorc.store import events, ids, scheduling
from slurmtorc.store import schema as t
from slurmtorc.store.dialect import many_changed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from sqlalchemy import Connection, Row, Table

    from slurmtorc.model import SpawnJob
    from slurmtorc.store.dialect import Dialect

    AnyRow: TypeAlias = Row[*tuple[Any, ...]]
    _Kind: TypeAlias = tuple[int, int, int | None]

_J, _U = t.job.c, t.user_data.c
_CHUNK = 5_000
"""Names in one statement; databases have a limit to the number of parameters."""

_JOB_COLUMNS = (
    "id",
    "workflow_id",
    "name",
    "command",
    "invocation_script",
    "status",
    "class_id",
    "failure_handler_id",
    "cancel_on_blocking_job_failure",
    "env",
    "origin",
    "blockers",
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where jobs are to be added."""

    workflow_id: int
    caller: AnyRow
    lineage: str
    limit: int


def spawn(
    connection: Connection,
    dialect: Dialect,
    caller_job_id: int,
    lineage: str | None,
    jobs: Sequence[SpawnJob],
    state: Any,
    now: float,
) -> Spawned:
    """Add the next generation, or find the one that these jobs are already."""
    rules.refuse_faulty(lineage, jobs, state)
    place = _place(connection, caller_job_id, lineage)
    names = [job.name for job in jobs]
    known = _jobs_named(connection, place.workflow_id, _named(jobs, place.caller.name))
    if any(name in known for name in names):
        return _again(connection, place, names, known)
    last = _last_generation(connection, place)
    if not jobs:
        record = rules.state_record(last, 0, state, final=True)
        _write_record(connection, place, rules.final_name(place.lineage), record, now)
        _tell(connection, place, last, [], now)
        return Spawned(job_ids=[], iteration=last)
    if last >= place.limit:
        raise Conflict(
            f"lineage {place.lineage!r} has had its {place.limit} iterations; "
            "raise dynamic_jobs.max_iterations in the workflow file, or let it converge"
        )
    job_ids = _Adder(connection, dialect, place, known).add(jobs, last + 1)
    record = rules.state_record(last + 1, len(jobs), state, final=False)
    _write_record(connection, place, rules.record_name(place.lineage, last + 1), record, now)
    _tell(connection, place, last + 1, job_ids, now)
    return Spawned(job_ids=job_ids, iteration=last + 1)


# ── who asks ─────────────────────────────────────────────────────────────────

_CALLER = select(_J.id, _J.name, _J.status, _J.env, _J.workflow_id).where(_J.id == bindparam("job"))
_ONE_AT_A_TIME = (
    select(t.workflow.c.dynamic_jobs)
    .where(t.workflow.c.id == bindparam("workflow"))
    .with_for_update(key_share=True)
)


def _place(connection: Connection, caller_job_id: int, lineage: str | None) -> _Place:
    """The workflow, which nobody else adds jobs to until the end of the transaction."""
    first = connection.execute(_CALLER, {"job": caller_job_id}).first()
    if first is None:
        raise NotFound(f"there is no job {caller_job_id}")
    config = connection.execute(_ONE_AT_A_TIME, {"workflow": first.workflow_id}).scalar_one()
    held = _CALLER.with_for_update(key_share=True)
    caller = connection.execute(held, {"job": caller_job_id}).one()
    if caller.status != JobStatus.RUNNING:
        status = JobStatus(caller.status).word
        raise Conflict(
            f"job {caller.id} ({caller.name}) is {status}; only a running job can spawn jobs"
        )
    limit = (config or {}).get("max_iterations") or rules.MAX_ITERATIONS
    mine = lineage or rules.lineage_of(caller.name, caller.env)
    return _Place(first.workflow_id, caller, mine, limit)


# ── what is there ────────────────────────────────────────────────────────────

_NAMED = (
    select(_J.id, _J.name, _J.status, _J.env)
    .where(_J.workflow_id == bindparam("workflow"), _J.name.in_(bindparam("names", expanding=True)))
    .order_by(_J.id)
    .with_for_update(key_share=True)
)


def _named(jobs: Sequence[SpawnJob], caller: str) -> set[str]:
    """Every name that matters; the caller's too, so that a job of its name is found."""
    return {caller, *(job.name for job in jobs), *(n for job in jobs for n in job.depends_on)}


def _jobs_named(
    connection: Connection, workflow_id: int, names: Collection[str]
) -> dict[str, AnyRow]:
    """Those of the names that are jobs; none of them can end before the transaction does."""
    found: dict[str, AnyRow] = {}
    ordered = sorted(names)
    for at in range(0, len(ordered), _CHUNK):
        values = {"workflow": workflow_id, "names": ordered[at : at + _CHUNK]}
        found |= {row.name: row for row in connection.execute(_NAMED, values)}
    return found


_CHILDREN = select(t.job_depends_on.c.job_id).where(
    t.job_depends_on.c.depends_on_job_id == bindparam("job")
)


def _again(
    connection: Connection, place: _Place, names: Sequence[str], known: Mapping[str, AnyRow]
) -> Spawned:
    """The same call once more: of an attempt that came before, or whose answer was lost."""
    there = [name for name in names if name in known]
    children = set(connection.execute(_CHILDREN, {"job": place.caller.id}).scalars())
    taken = [name for name in there if not _is_of(known[name], place.lineage, children)]
    if taken:
        raise Conflict(
            f"job {place.caller.id} ({place.caller.name}) did not spawn the jobs that have these "
            f"names in the workflow: {listed(taken)}; give each generation of lineage "
            f"{place.lineage!r} names of its own"
        )
    if len(there) < len(names):
        new = [name for name in names if name not in known]
        raise Conflict(
            f"some of these jobs have been spawned before ({listed(there)}) and some have not "
            f"({listed(new)}); spawn the same jobs again, or only new ones"
        )
    rows = [known[name] for name in names]
    iteration = max(rules.generation_of(row.env) for row in rows)
    return Spawned(job_ids=[row.id for row in rows], iteration=iteration)


def _is_of(row: AnyRow, lineage: str, children: Collection[int]) -> bool:
    """Whether it was spawned by the caller, in this lineage."""
    spawned = rules.generation_of(row.env) > 0 and row.id in children
    return spawned and rules.lineage_of(row.name, row.env) == lineage


# ── what is added ────────────────────────────────────────────────────────────

_MORE_JOBS = (
    update(t.workflow)
    .where(t.workflow.c.id == bindparam("workflow"))
    .values(job_count=t.workflow.c.job_count + bindparam("more"))
)


class _Adder:
    """One generation on its way into the tables."""

    def __init__(
        self, connection: Connection, dialect: Dialect, place: _Place, known: Mapping[str, AnyRow]
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.place = place
        self.known = known
        self.needs = self._ids(t.resource_requirements)
        self.schedulers = self._ids(t.slurm_scheduler)
        self.handlers = self._ids(t.failure_handler)

    def _ids(self, table: Table) -> dict[str, int]:
        """Name -> id; of several with one name the first."""
        query = select(table.c.name, table.c.id).where(
            table.c.workflow_id == self.place.workflow_id
        )
        found = self.connection.execute(query.order_by(table.c.id.desc()))
        return {row.name: row.id for row in found}

    def add(self, jobs: Sequence[SpawnJob], generation: int) -> list[int]:
        """Write them, blocked by whoever asks for them; their ids."""
        taken = ids.take(self.connection, "job", len(jobs))
        numbers = {job.name: job_id for job_id, job in zip(taken, jobs, strict=True)}
        waits = [self._waits(job, numbers) for job in jobs]
        open_ = {self.place.caller.id, *taken, *self._unfinished()}
        blockers = [sum(other in open_ for other in before) for before in waits]
        classes = {kind: self._class_of(kind) for kind in dict.fromkeys(map(self._kind, jobs))}
        rows = self._rows(jobs, taken, blockers, classes, generation)
        new = {t.job: self.dialect.load(self.connection, t.job, _JOB_COLUMNS, rows)}
        edges = ((j, other) for j, before in zip(taken, waits, strict=True) for other in before)
        names = ("job_id", "depends_on_job_id")
        new[t.job_depends_on] = self.dialect.load(self.connection, t.job_depends_on, names, edges)
        more = {"workflow": self.place.workflow_id, "more": len(taken)}
        self.connection.execute(_MORE_JOBS, more)
        many_changed(self.connection, new, dead=False)
        return list(taken)

    def _rows(
        self,
        jobs: Sequence[SpawnJob],
        taken: range,
        blockers: Sequence[int],
        classes: Mapping[_Kind, int],
        generation: int,
    ) -> Iterator[tuple[Any, ...]]:
        """In the order of _JOB_COLUMNS. They are read while they are loaded: no statement here."""
        for job_id, job, count in zip(taken, jobs, blockers, strict=True):
            yield (
                job_id,
                self.place.workflow_id,
                job.name,
                job.command,
                job.invocation_script,
                int(target(JobEvent.BLOCK)),
                classes[self._kind(job)],
                self._one(job, "failure_handler", self.handlers),
                job.cancel_on_blocking_job_failure,
                json.dumps(rules.marked(job.env, self.place.lineage, generation)),
                "spawn",
                count,
            )

    def _waits(self, job: SpawnJob, numbers: Mapping[str, int]) -> list[int]:
        """The ids of the jobs it waits for, the caller among them."""
        unknown = [n for n in job.depends_on if n not in numbers and n not in self.known]
        if unknown:
            raise InvalidValue(
                f"job {job.name!r} depends on {unknown[0]!r}, which is no job",
                allowed="name jobs of the workflow, or jobs that are spawned with it",
            )
        others = (numbers.get(n) or self.known[n].id for n in job.depends_on)
        return sorted({self.place.caller.id, *others})

    def _unfinished(self) -> Iterator[int]:
        return (row.id for row in self.known.values() if row.status not in COMPLETE)

    def _kind(self, job: SpawnJob) -> _Kind:
        """What a job has in common with those of its class."""
        need = self._one(job, "resource_requirements", self.needs)
        scheduler = self._one(job, "scheduler", self.schedulers)
        return (job.priority, need or self.needs[DEFAULT_REQUIREMENT], scheduler)

    def _class_of(self, kind: _Kind) -> int:
        priority, need, scheduler = kind
        wanted = {
            "workflow_id": self.place.workflow_id,
            "priority": priority,
            "resource_requirements_id": need,
            "scheduler_id": scheduler,
        }
        return scheduling.class_of(self.connection, wanted)

    def _one(self, job: SpawnJob, field: str, known: Mapping[str, int]) -> int | None:
        """The id of what a field of the job names."""
        name = getattr(job, field)
        if name is not None and name not in known:
            words = field.replace("_", " ")
            there = f"known: {listed(sorted(known))}" if known else "the workflow has none"
            raise InvalidValue(
                f"job {job.name!r}: there is no {words} {name!r} in the workflow", allowed=there
            )
        return None if name is None else known[name]


# ── what is kept of it ───────────────────────────────────────────────────────

_PREFIX = bindparam("prefix", type_=String)
_RECORDS = select(_U.name).where(
    # No LIKE: what a lineage is called may mean something there.
    _U.workflow_id == bindparam("workflow"),
    func.substr(_U.name, 1, func.length(_PREFIX)) == _PREFIX,
)
_RECORD = (_U.workflow_id == bindparam("workflow")) & (_U.name == bindparam("record"))
_SET = (
    update(t.user_data).where(_RECORD).values(data=bindparam("held"), changed_at=bindparam("now"))
)
_NO_LONGER_FINAL = delete(t.user_data).where(_RECORD)


def _last_generation(connection: Connection, place: _Place) -> int:
    prefix = rules.records_of(place.lineage)
    values = {"workflow": place.workflow_id, "prefix": prefix}
    return rules.last_generation(place.lineage, connection.execute(_RECORDS, values).scalars())


def _write_record(
    connection: Connection, place: _Place, name: str, record: Mapping[str, Any], now: float
) -> None:
    """Write a record, or write it anew. A lineage that goes on has not converged any more."""
    where = {"workflow": place.workflow_id, "record": name}
    if connection.execute(_SET, where | {"held": record, "now": now}).rowcount:
        return
    final = rules.final_name(place.lineage)
    connection.execute(_NO_LONGER_FINAL, {"workflow": place.workflow_id, "record": final})
    (data_id,) = ids.take(connection, "user_data", 1)
    row = {"id": data_id, "workflow_id": place.workflow_id, "name": name}
    row |= {"data": record, "is_ephemeral": True, "changed_at": now}
    connection.execute(insert(t.user_data).values(**row))


def _tell(
    connection: Connection, place: _Place, generation: int, job_ids: Sequence[int], now: float
) -> None:
    data = {
        "job_id": place.caller.id,
        "job_name": place.caller.name,
        "lineage": place.lineage,
        "iteration": generation,
        "job_ids": list(job_ids),
    }
    what = "jobs_spawned" if job_ids else "lineage_converged"
    events.write(connection, place.workflow_id, now, [(what, data)])
