"""`torc spec`: check, expand and describe workflow files. Touches no store and no cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from slurmtorc.cli import render
from slurmtorc.cli.context import State, TorcGroup, pass_state
from slurmtorc.cli.faults import lines, report

if TYPE_CHECKING:
    from slurmtorc.errors import Fault
    from slurmtorc.spec.check import Checked, Summary

FORMATS = ("yaml", "json", "json5", "toml", "kdl")
_FILE = click.argument("file", metavar="FILE")


@click.group(cls=TorcGroup)
def spec() -> None:
    """Check, expand and describe workflow files.

    A FILE is YAML, JSON, JSON5, TOML or KDL, told by its suffix; '-' is standard input (JSON or
    YAML).
    """


@spec.command()
@_FILE
@pass_state
def check(state: State, file: str) -> int:
    """Print every fault of a workflow file.

    Faults go to standard error, as FILE:LINE:COLUMN. The exit status is 1 if one of them is an
    error; warnings alone leave it 0.

    Example: torc spec check workflow.yaml -f json
    """
    checked = _checked(file)
    for line in lines(file, checked.faults):
        render.note(line)
    errors = sum(not fault.warning for fault in checked.faults)
    if state.as_json:
        found = {
            "unused": checked.unused,
            "summary": asdict(checked.summary) if checked.summary else None,
        }
        render.emit_json(report(file, checked.faults) | found)
    elif checked.summary is not None:
        _show(checked.summary, checked.unused)
    if checked.faults:
        render.note(f"{file}: {_counted(checked.faults)}")
    return int(errors > 0)


@spec.command()
def schema() -> None:
    """Print the JSON Schema of workflow files.

    Editors use it to complete and to check while you type.

    Example: torc spec schema > torc.schema.json
    """
    from slurmtorc import spec as specs

    render.emit_json(specs.schema())


@spec.command()
@_FILE
@click.option(
    "--to",
    "form",
    type=click.Choice(FORMATS),
    help="The format to write.  [default: JSON with -f json, else that of FILE]",
)
@pass_state
def expand(state: State, file: str, form: str | None) -> None:
    """Print a workflow file without parameters.

    One entry for each copy, names instead of patterns, paths instead of templates. The result is a
    workflow file too.

    Example: torc spec expand sweep.kdl --to json
    """
    from slurmtorc import spec as specs

    source = specs.read(file)
    own = "json" if state.as_json else "yaml" if file == "-" else source.format
    click.echo(specs.write(specs.expand(source), form or own), nl=False)


def _checked(file: str) -> Checked:
    """What a check gives, also for a file that cannot be read."""
    from slurmtorc import spec as specs
    from slurmtorc.errors import SpecError

    try:
        return specs.check(specs.read(file))
    except SpecError as error:
        return specs.Checked(faults=error.faults, draft=None, unused=[], summary=None)


def _counted(faults: list[Fault]) -> str:
    """'2 errors, 1 warning'."""
    warnings = sum(fault.warning for fault in faults)
    counts = {"error": len(faults) - warnings, "warning": warnings}
    return ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for word, n in counts.items() if n)


def _show(summary: Summary, unused: list[str]) -> None:
    """The summary for people."""
    render.emit_record(
        {
            "name": summary.name,
            "jobs": _expanded(summary.jobs_before_expansion, summary.jobs),
            "files": _expanded(summary.files_before_expansion, summary.files),
            "user data": _expanded(summary.user_data_before_expansion, summary.user_data),
            "dependency levels": summary.levels,
            "resource requirements": summary.resource_requirements,
            "schedulers": summary.slurm_schedulers,
            "failure handlers": summary.failure_handlers,
            "actions": summary.actions,
        }
    )
    if unused:
        click.echo("\nAccepted and kept, but not yet used:")
        for path in unused:
            click.echo(f"  {path}")


def _expanded(before: int, after: int) -> str:
    return f"{after:,}" if before == after else f"{before:,} -> {after:,}"
