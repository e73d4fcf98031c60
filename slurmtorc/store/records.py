"""Rows as records: list and get for every kind, from one table of kinds.

A record's fields are columns of the same name; where a record gathers columns of two tables
(a job and its class), the selection says so here and nowhere else.
"""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import FromClause, Select, Table, and_, func, select, true

from slurmtorc import model
from slurmtorc.errors import InvalidValue, NotFound
from slurmtorc.ports import Page, Rows
from slurmtorc.store import schema as t

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement, Connection

R = TypeVar("R")


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

    def where(self, conditions: Mapping[str, Any]) -> ColumnElement[bool]:
        """The conditions of a list: a value, None, or a collection of values for a field."""
        return and_(true(), *(self._compared(name, value) for name, value in conditions.items()))

    def counted(self, conditions: Mapping[str, Any]) -> FromClause:
        """What to count for a list: what a row is joined with is looked up only if it matters."""
        alone = all(self.columns[name].table is self.table for name in conditions)
        return self.table if alone else self.source

    def _compared(self, name: str, value: Any) -> ColumnElement[bool]:
        column = self.columns[self.checked(name)]
        if isinstance(value, list | tuple | set | frozenset):
            return column.in_([_plain(item) for item in value])
        return column.is_(None) if value is None else column == _plain(value)

    def checked(self, name: str) -> str:
        """The name, if it is a field. Raises InvalidValue: names may come from a command line."""
        if name not in self.columns:
            raise InvalidValue(
                f"{name!r} is no field", allowed="fields: " + ", ".join(self.columns)
            )
        return name


def _column(name: str, tables: Sequence[Table]) -> Column[Any]:
    return next(table.c[name] for table in tables if name in table.c)


def _plain(value: Any) -> Any:
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
    query = kind.select().where(kind.columns["id"] == record_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"there is no {_words(record)} {record_id}")
    found: R = kind.record_of(row)
    return found


def _words(record: type) -> str:
    """ResourceRequirements -> 'resource requirements'."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in record.__name__).strip()


def rows(connection: Connection, record: type[R], page: Page, where: Mapping[str, Any]) -> Rows[R]:
    """One page of a list, and the length of all of it."""
    kind = KINDS[record]
    condition = kind.where(where)
    query = kind.select().where(condition).order_by(*_order(kind, page))
    found = connection.execute(query.offset(page.offset).limit(page.limit)).mappings()
    items: list[R] = [kind.record_of(row) for row in found]
    total = page.offset + len(items)
    if len(items) == page.limit or (page.offset and not items):
        count = select(func.count()).select_from(kind.counted(where)).where(condition)
        total = connection.execute(count).scalar_one()
    return Rows(items, total, page.offset)


def _order(kind: Kind, page: Page) -> list[ColumnElement[Any]]:
    columns = [kind.columns[kind.checked(page.sort_by)]]
    if page.sort_by != "id":
        columns.append(kind.columns["id"])
    return [column.desc() if page.reverse_sort else column.asc() for column in columns]


def events(connection: Connection, workflow_id: int, after: int, limit: int) -> list[model.Event]:
    """Events with an id above `after`, oldest first."""
    kind = KINDS[model.Event]
    query = kind.select().where(t.event.c.workflow_id == workflow_id, t.event.c.id > after)
    found = connection.execute(query.order_by(t.event.c.id).limit(limit)).mappings()
    return [kind.record_of(row) for row in found]
