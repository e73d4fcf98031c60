"""Output: JSON alone on standard output, or tables for people; everything else on stderr."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from slurmtorc.cli.drawing import WIDTH, drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import TextIO

    from rich.console import Console

    from slurmtorc.ports import Rows

NO_STYLES: Mapping[str, str] = {}


def console(*, stderr: bool = False) -> Console:
    """A rich console; wide enough when the output is not a terminal, so that nothing is cut."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH, highlight=False)


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
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if cells:
        click.echo(title, err=stderr)
        print_table(columns, cells, stderr=stderr)
        click.echo(f"Total: {len(cells)}", err=stderr)
    else:
        click.echo(empty, err=stderr)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    total: Sequence[str] = (),
    styles: Mapping[str, str] = NO_STYLES,
    stderr: bool = False,
) -> None:
    """Print a table: rich's where there are colours, and the same drawn without it elsewhere.

    `right`: columns that are set flush right. `styles`: how cells with some texts look.
    """
    stream = sys.stderr if stderr else sys.stdout
    plain_one = None if _has_colours(stream) else drawn(columns, rows, right=right, total=total)
    if plain_one is not None:
        click.echo(plain_one, err=stderr)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    if total:
        table.add_section()
        table.add_row(*total)
    console(stderr=stderr).print(table)


def _has_colours(stream: TextIO) -> bool:
    """Whether rich would do more than write the characters of a box, or write others."""
    wanted = any(os.environ.get(name) for name in ("FORCE_COLOR", "TTY_COMPATIBLE"))
    return stream.isatty() or wanted or not (stream.encoding or "utf").lower().startswith("utf")


def emit_record(pairs: Mapping[str, Any]) -> None:
    """Print one record, a line for each field."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        click.echo(f"{name:<{width}}  {'-' if value is None else value}")


def note(message: str) -> None:
    """Say something to people, beside the output."""
    click.echo(message, err=True)
