"""Output: JSON alone on standard output, or tables for people; everything else on stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console

    from slurmtorc.ports import Rows


def console(*, stderr: bool = False) -> Console:
    """A rich console; wide enough when the output is not a terminal, so that nothing is cut."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 160, highlight=False)


def emit_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


class Listing(NamedTuple):
    """How the records of one kind are listed."""

    name: str
    resource: str
    """Their key in JSON, beside `items`: torc's clients of every version find the list."""
    columns: Sequence[str]
    row: Callable[[Any], Sequence[Any]]
    record: Callable[[Any], Any] = lambda record: record
    """What JSON holds of a record."""


def emit_rows(rows: Rows[Any], listing: Listing, *, of: str = "", as_json: bool) -> None:
    """Print one page of a list, and say what follows it."""
    if as_json:
        items = [plain(listing.record(record)) for record in rows.items]
        emit_json({"items": items, listing.resource: items})
    else:
        title = f"{listing.name} of {of}" if of else listing.name
        empty = f"No {listing.name.lower()} found."
        emit_table(title, listing.columns, map(listing.row, rows.items), empty=empty)
    if rows.has_more:
        seen = rows.offset + len(rows.items)
        note(f"rows up to {seen} of {rows.total_count}; the next ones: --offset {seen}")


def plain(value: Any) -> Any:
    """Records and enumerations as JSON types; statuses as their words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def emit_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    empty: str,
    stderr: bool = False,
) -> None:
    """Print a table with a heading and a total, or the line for an empty one."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    if table.row_count:
        click.echo(title, err=stderr)
        console(stderr=stderr).print(table)
        click.echo(f"Total: {table.row_count}", err=stderr)
    else:
        click.echo(empty, err=stderr)


def emit_record(pairs: Mapping[str, Any]) -> None:
    """Print one record, a line for each field."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        click.echo(f"{name:<{width}}  {'-' if value is None else value}")


def note(message: str) -> None:
    """Say something to people, beside the output."""
    click.echo(message, err=True)
