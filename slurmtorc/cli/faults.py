"""How the faults of a workflow file are shown: every one, with its place, value and remedy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.errors import Fault, SpecError, TorcError

if TYPE_CHECKING:
    from collections.abc import Iterable


def show(error: TorcError, *, as_json: bool) -> bool:
    """Show an error that needs more than its one line; False if the line is all of it."""
    if not isinstance(error, SpecError):
        return False
    faults = _placed(error)
    if as_json:
        from slurmtorc.cli.render import emit_json

        emit_json(report(error.source, faults))
    for line in lines(error.source, faults):
        click.echo(line, err=True)
    print(f"torc: error: {error}", file=sys.stderr)  # noqa: T201  as cli/__init__ says errors
    return True


def _placed(error: SpecError) -> list[Fault]:
    """The faults with their places, also those found after the file had been read."""
    if any(fault.line is not None for fault in error.faults) or error.source == "-":
        return error.faults
    if not any(fault.path for fault in error.faults):
        return error.faults
    from slurmtorc.spec import placed, read

    try:
        return placed(list(error.faults), read(error.source))
    except TorcError:  # the file has changed, or was none
        return error.faults


def lines(source: str, faults: Iterable[Fault]) -> Iterable[str]:
    """One line for each fault, in the form editors and compilers use: file:line:column."""
    for fault in faults:
        place = ":".join(
            str(part) for part in (source, fault.line, fault.column) if part is not None
        )
        kind = "warning" if fault.warning else "error"
        where = f"{path_text(fault.path)}: " if fault.path else ""
        hint = f"; {fault.hint}" if fault.hint else ""
        yield f"{place}: {kind}: {where}{fault.message}{hint}"


def report(source: str, faults: Iterable[Fault]) -> dict[str, Any]:
    """The same for editors."""
    listed = list(faults)
    return {
        "file": source,
        "valid": all(fault.warning for fault in listed),
        "faults": [
            {
                "severity": "warning" if fault.warning else "error",
                "path": path_text(fault.path),
                "message": fault.message,
                "hint": fault.hint or None,
                "line": fault.line,
                "column": fault.column,
            }
            for fault in listed
        ],
    }


def path_text(path: Iterable[str | int]) -> str:
    """('jobs', 3, 'memory') -> 'jobs[3].memory'."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
