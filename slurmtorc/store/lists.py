"""Pages of lists; that of all jobs of a workflow is found in milliseconds among a million.

No index has the jobs of a workflow in the order of their ids, for each change of status would
have to move their entries in it too. So this one list is narrowed to the ids between the
workflow's first and last, and read in the order of the table. All other lists are as
records.py has them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import bindparam

from slurmtorc.model import Job
from slurmtorc.ports import Rows
from slurmtorc.store import records
from slurmtorc.store import schema as t
from slurmtorc.store.extent import extent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Select

    from slurmtorc.ports import Page

R = TypeVar("R")

_J = t.job.c
_KIND = records.KINDS[Job]


def rows(connection: Connection, kind: type[R], page: Page, where: Mapping[str, Any]) -> Rows[R]:
    """One page of a list, and the length of all of it."""
    workflow_id = where.get("workflow_id")
    if kind is Job and len(where) == 1 and isinstance(workflow_id, int) and page.sort_by == "id":
        return cast("Rows[R]", _jobs(connection, workflow_id, page))
    return records.rows(connection, kind, page, where)


def _jobs(connection: Connection, workflow_id: int, page: Page) -> Rows[Job]:
    """All jobs of a workflow in the order of their ids."""
    reach = extent(connection, workflow_id)
    if reach is None:
        return Rows([], 0, page.offset)
    low, high, total = reach
    values = {"workflow": workflow_id, "low": low, "high": high, "offset": page.offset}
    if total == high - low + 1:  # no others between them: the place of the offset is known
        values["offset"] = 0
        end = "high" if page.reverse_sort else "low"
        values[end] += -page.offset if page.reverse_sort else page.offset
    found = connection.execute(_page(page.reverse_sort), values | {"limit": page.limit})
    return Rows([_KIND.record_of(row) for row in found.mappings()], total, page.offset)


@cache
def _page(reverse: bool) -> Select[Any]:  # noqa: FBT001  a key of the cache
    between = _J.id.between(bindparam("low"), bindparam("high"))
    mine = _J.workflow_id + 0 == bindparam("workflow")  # a sum keeps the index by status out
    query = _KIND.select().where(between, mine).order_by(_J.id.desc() if reverse else _J.id)
    return query.limit(bindparam("limit")).offset(bindparam("offset"))
