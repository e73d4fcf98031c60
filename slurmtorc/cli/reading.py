"""Lists without an end: every record of a kind, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from slurmtorc.ports import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.ports import Store

R = TypeVar("R")

PAGE = 50_000


def every(store: Store, kind: type[R], **where: Any) -> Iterator[R]:
    """All records of a kind that `where` allows, by id."""
    offset, more = 0, True
    while more:
        rows = store.rows(kind, Page(offset, PAGE), **where)
        yield from rows.items
        offset, more = offset + len(rows.items), rows.has_more
