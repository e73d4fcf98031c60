"""Rows as records: list and get for every kind, from one table of kinds.

A record's fields are columns of the same name; where a record gathers columns of two tables
(a job and its class), the selection says so here and nowhere else.
"""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import FromClause, Select, Table, and_, bindparam, func, select, true

from slurmtorc import model
from slurmtorc.errors import InvalidValue, NotFound
from slurmtorc.ports import Page, Rows
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement, Connection

R = TypeVar("R")


class Shape(Enum):
    """What a field is compared with; conditions of the same shapes are the same statement."""

    ONE = 1
    MANY = 2
    NONE = 3


class Kind:
    """One kind of record: where its fields come from, and how a value becomes a field."""

    def __init__(
        self,
        record: type,
        source: FromClause,
        *tables: Table,
        convert: Mapping[str, Callable[[Any], Any]] | None = None,
        names: Mapping[str, Column[Any]] | None = None,
    ) -> None:
        self.record = record
        self.source = source
        self.table = tables[0]
        self.convert = convert or {}
        self.columns: dict[str, Column[Any]] = {}
        for field in fields(record):
            named = (names or {}).get(field.name)
            self.columns[field.name] = _column(field.name, tables) if named is None else named

    def select(self) -> Select[Any]:
        """All fields, labelled by their names."""
        return self._selection

    @cached_property
    def _selection(self) -> Select[Any]:
        """Built once: conditions are added to copies of it."""
        labelled = (column.label(name) for name, column in self.columns.items())
        return select(*labelled).select_from(self.source)

    def record_of(self, row: Mapping[Any, Any]) -> Any:
        """The record of one row."""
        values = dict(row)
        for name, convert in self.convert.items():
            if values[name] is not None:
                values[name] = convert(values[name])
        return self.record(**values)

    def where(self, shapes: Iterable[tuple[str, Shape]]) -> ColumnElement[bool]:
        """The conditions of a list, with a parameter of each field's name."""
        return and_(true(), *(self._compared(name, shape) for name, shape in shapes))

    def counted(self, names: Iterable[str]) -> FromClause:
        """What to count for a list: what a row is joined with is looked up only if it matters."""
        alone = all(self.columns[name].table is self.table for name in names)
        return self.table if alone else self.source

    def _compared(self, name: str, shape: Shape) -> ColumnElement[bool]:
        column = self.columns[self.checked(name)]
        if shape is Shape.MANY:
            return column.in_(bindparam(name, expanding=True))
        return column.is_(None) if shape is Shape.NONE else column == bindparam(name)

    def checked(self, name: str) -> str:
        """The name, if it is a field. Raises InvalidValue: names may come from a command line."""
        if name not in self.columns:
            raise InvalidValue(
                f"{name!r} is no field", allowed="fields: " + ", ".join(self.columns)
            )
        return name


def _column(name: str, tables: Sequence[Table]) -> Column[Any]:
    return next(table.c[name] for table in tables if name in table.c)


def _shape(value: Any) -> Shape:
    if value is None:
        return Shape.NONE
    return Shape.MANY if isinstance(value, list | tuple | set | frozenset) else Shape.ONE


def _plain(value: Any) -> Any:
    if _shape(value) is Shape.MANY:
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Enum) else value


_JOB = t.job.join(t.job_class, t.job.c.class_id == t.job_class.c.id)
_RESULT = t.result.join(t.job, t.result.c.job_id == t.job.c.id)

KINDS: Mapping[type, Kind] = {
    kind.record: kind
    for kind in (
        Kind(model.Workflow, t.workflow, t.workflow, convert={"access_groups": tuple}),
        Kind(model.ResourceRequirements, t.resource_requirements, t.resource_requirements),
        Kind(model.SlurmScheduler, t.slurm_scheduler, t.slurm_scheduler),
        Kind(model.FailureHandler, t.failure_handler, t.failure_handler, convert={"rules": tuple}),
        Kind(model.File, t.file, t.file),
        Kind(model.UserData, t.user_data, t.user_data),
        Kind(
            model.Job,
            _JOB,
            t.job,
            t.job_class,
            convert={"status": model.JobStatus, "changes": tuple},
        ),
        Kind(
            model.Result,
            _RESULT,
            t.result,
            names={"job_name": t.job.c.name},
            convert={"status": model.JobStatus, "ending": model.Ending},
        ),
        Kind(
            model.Action,
            t.workflow_action,
            t.workflow_action,
            convert={"trigger_type": model.TriggerType, "action_type": model.ActionType},
        ),
        Kind(model.ActionRun, t.action_run, t.action_run),
        Kind(
            model.Allocation,
            t.allocation,
            t.allocation,
            convert={
                "status": model.AllocationStatus,
                "slurm_state": model.SlurmState,
                "final_state": model.SlurmState,
            },
        ),
        Kind(model.ComputeNode, t.compute_node, t.compute_node),
        Kind(model.Event, t.event, t.event),
        Kind(model.Decision, t.watch_decision, t.watch_decision),
        Kind(model.SlurmStats, t.slurm_stats, t.slurm_stats),
    )
}


def get(connection: Connection, record: type[R], record_id: int) -> R:
    """One record. Raises NotFound."""
    kind = KINDS[record]
    row = connection.execute(_by_id(kind), {"id": record_id}).mappings().first()
    if row is None:
        raise NotFound(f"there is no {_words(record)} {record_id}")
    found: R = kind.record_of(row)
    return found


@cache
def _by_id(kind: Kind) -> Select[Any]:
    return kind.select().where(kind.columns["id"] == bindparam("id"))


def _words(record: type) -> str:
    """ResourceRequirements -> 'resource requirements'."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in record.__name__).strip()


def rows(
    connection: Connection,
    record: type[R],
    page: Page,
    where: Mapping[str, Any],
    *,
    total: int | None = None,
) -> Rows[R]:
    """One page of a list, and the length of all of it, which is counted unless it is known."""
    kind = KINDS[record]
    shapes = tuple((name, _shape(value)) for name, value in where.items())
    values = {name: _plain(value) for name, value in where.items() if value is not None}
    window = {"page_offset": page.offset, "page_limit": page.limit}
    query = _listing(kind, shapes, page.sort_by, page.reverse_sort)
    found = connection.execute(query, values | window).mappings()
    items: list[R] = [kind.record_of(row) for row in found]
    if total is not None:
        return Rows(items, total, page.offset)
    total = page.offset + len(items)
    if len(items) == page.limit or (page.offset and not items):
        counted = kind.counted(name for name, _ in shapes)
        count = select(func.count()).select_from(counted).where(kind.where(shapes))
        total = connection.execute(count, values).scalar_one()
    return Rows(items, total, page.offset)


@lru_cache(maxsize=512)
def _listing(
    kind: Kind,
    shapes: tuple[tuple[str, Shape], ...],
    sort_by: str,
    reverse: bool,  # noqa: FBT001  a cache's key
) -> Select[Any]:
    """Built once for each shape of conditions: to build it costs more than to run it."""
    columns = [kind.columns[kind.checked(sort_by)]]
    if sort_by != "id":
        columns.append(kind.columns["id"])
    order = [column.desc() if reverse else column.asc() for column in columns]
    query = kind.select().where(kind.where(shapes)).order_by(*order)
    return query.offset(bindparam("page_offset")).limit(bindparam("page_limit"))


def events(connection: Connection, workflow_id: int, after: int, limit: int) -> list[model.Event]:
    """Events with an id above `after`, oldest first."""
    kind = KINDS[model.Event]
    query = kind.select().where(t.event.c.workflow_id == workflow_id, t.event.c.id > after)
    found = connection.execute(query.order_by(t.event.c.id).limit(limit)).mappings()
    return [kind.record_of(row) for row in found]
