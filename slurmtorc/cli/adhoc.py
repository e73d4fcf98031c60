"""`torc exec`: commands become a workflow in one line, and it is run here.

All that a workflow file can say is checked by the same code: the command line is turned into
the tree of a file first. What must never happen: a way to run jobs besides that of `torc run`.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import State, TorcCommand, pass_state
from slurmtorc.cli.run import MOST
from slurmtorc.errors import InvalidValue, SpecError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from slurmtorc.model import Draft
    from slurmtorc.spec import Source

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""A number that is written as numbers are: 007 is a name."""

SOURCE = "torc exec"
"""What errors call the command line."""


@click.command("exec", cls=TorcCommand)
@click.argument("words", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.option("-c", "--command", "commands", multiple=True, help="A shell command; repeatable.")
@click.option(
    "-C",
    "--commands-file",
    metavar="FILE|-",
    help="A command on each line; blank lines and lines that begin with # are left out.",
)
@click.option(
    "--param",
    "params",
    metavar="NAME=VALUES",
    multiple=True,
    help="Run each command for all values, in place of {NAME}: 1:10, 0:1:0.1, [a, b], a single "
    "value, or @FILE with one on each line. Repeatable.",
)
@click.option(
    "--link",
    type=click.Choice(["product", "zip"]),
    default="product",
    show_default=True,
    help="All combinations of several --param, or the first with the first and so on.",
)
@click.option(
    "-j",
    "--max-parallel-jobs",
    type=click.IntRange(1, MOST),
    metavar="N",
    help="Run N at a time.  [default: one for each CPU]",
)
@click.option("-n", "--name", help="Name of the workflow.  [default: exec_ and the time]")
@click.option("--description", help="What it is for.")
@click.option(
    "--stdio",
    type=click.Choice(["separate", "combined", "no-stdout", "no-stderr", "none"]),
    help="Which files output goes to.  [default: separate]",
)
@click.option(
    "-i",
    "--sample-interval-seconds",
    type=click.IntRange(1, 86_400),
    metavar="S",
    help="Time between two measurements of a job.  [default: 5]",
)
@click.option(
    "-o", "--output-dir", metavar="DIR", help="Where output goes.  [default: torc_output]"
)
@click.option(
    "--dry-run", is_flag=True, help="Print the workflow file it would be, and run nothing."
)
@pass_state
def exec_(
    state: State,
    words: tuple[str, ...],
    commands: tuple[str, ...],
    commands_file: str | None,
    params: tuple[str, ...],
    link: str,
    max_parallel_jobs: int | None,
    name: str | None,
    description: str | None,
    stdio: str | None,
    sample_interval_seconds: int | None,
    output_dir: str | None,
    dry_run: bool,
) -> int:
    """Run commands as a workflow, without a file.

    Each command is a job: job1, job2, … Words after -- are one command, quoted as they stand.
    Everything is kept as that of any workflow: `torc results list ID`, `torc jobs logs ID`.
    Ctrl-C stops cleanly, and `torc run ID` goes on.

    Exit status: 0 when all jobs completed, 1 when one did not, 130 after Ctrl-C.

    Example: torc exec -c 'python fit.py --seed {i}' --param i=1:20 -j 4
    """
    given = {"max_parallel_jobs": max_parallel_jobs, "output_dir": output_dir}
    state.overrides.update({key: value for key, value in given.items() if value is not None})
    found = [*_one(words), *commands, *_in_file(commands_file)]
    if not found:
        raise UsageError("no command to run; write torc exec -- COMMAND, or use -c or -C")
    lines = _multiplied(found, params, zipped=link == "zip")
    tree = _tree(lines, name=name, description=description)
    if stdio:
        tree["execution_config"] = {"stdio": {"mode": stdio.replace("-", "_")}}
    if sample_interval_seconds:
        tree["resource_monitor"] = {"sample_interval_seconds": sample_interval_seconds}
    return _print(state, tree) if dry_run else _run(state, tree)


# ── the commands ─────────────────────────────────────────────────────────────


def _one(words: Sequence[str]) -> list[str]:
    """The words as one command, quoted so that the shell sees these words."""
    if len(words) == 1 and _is_workflow_file(words[0]):
        raise UsageError(f"{words[0]} is a workflow file; run it with: torc run {words[0]}")
    return [shlex.join(words)] if words else []


def _is_workflow_file(word: str) -> bool:
    from slurmtorc.spec.source import SUFFIXES

    path = Path(word)
    return path.suffix in SUFFIXES and path.is_file() and not os.access(path, os.X_OK)


def _in_file(name: str | None) -> list[str]:
    """The commands in a file, or on standard input."""
    if name is None:
        return []
    lines = (line.strip() for line in _text(name).split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def _text(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None


def _multiplied(commands: Sequence[str], params: Sequence[str], *, zipped: bool) -> Iterator[str]:
    """Every command for all values of the parameters."""
    from slurmtorc.spec.parameters import axes

    found = dict(map(_param, params))
    if len(found) < len(params):
        raise UsageError("a --param is given twice; write all its values in one: NAME=[a, b]")
    copies = axes(found, zipped=zipped)
    if found:
        _require_used(found, commands)
    return (line for command in commands for line in copies.fill(command))


def _param(text: str) -> tuple[str, Sequence[Any]]:
    from slurmtorc.spec.parameters import values
    from slurmtorc.spec.placeholders import PARAMETER_NAME

    name, equals, value = text.partition("=")
    if not equals or not PARAMETER_NAME.fullmatch(name):
        raise UsageError(f"--param {text!r} is not understood; write NAME=VALUES, as in i=1:10")
    try:
        return name, values(_entries(value) if value.startswith("@") else value)
    except InvalidValue as error:
        raise InvalidValue(f"--param {name}: {error.problem}", allowed=error.allowed) from None


def _entries(value: str) -> list[str | int]:
    """The values in a file: whole numbers, and everything else as text."""
    lines = (line.strip() for line in _text(value.removeprefix("@")).split("\n"))
    return [int(line) if _WHOLE.fullmatch(line) else line for line in lines if line]


def _require_used(params: Mapping[str, Any], commands: Sequence[str]) -> None:
    """Raise UsageError for a parameter that would only repeat commands."""
    from slurmtorc.spec.placeholders import names_in

    used = {name for command in commands for name in names_in(command)}
    for name in params:
        if name not in used:
            raise UsageError(f"--param {name}: no command has {{{name}}} in it")


# ── the workflow ─────────────────────────────────────────────────────────────


def _tree(lines: Iterable[str], *, name: str | None, description: str | None) -> dict[str, Any]:
    """What a workflow file would hold."""
    jobs = [{"name": f"job{number}", "command": line} for number, line in enumerate(lines, 1)]
    head = {"name": name or time.strftime("exec_%Y%m%d_%H%M%S"), "description": description}
    return {key: value for key, value in head.items() if value is not None} | {"jobs": jobs}


def _source(tree: dict[str, Any]) -> Source:
    from slurmtorc.spec import Source
    from slurmtorc.spec.sound import require_sound

    require_sound(tree, SOURCE, escapes=True)
    return Source(SOURCE, "json", "{}", tree)


def _draft(tree: dict[str, Any]) -> Draft:
    from slurmtorc.cli.run import owned
    from slurmtorc.spec import check

    checked = check(_source(tree))
    if checked.draft is None:
        faults = [replace(fault, line=None, column=None) for fault in checked.faults]
        raise SpecError(SOURCE, faults)
    return owned(checked.draft)


def _print(state: State, tree: dict[str, Any]) -> int:
    from slurmtorc import spec

    _draft(tree)
    click.echo(spec.write(tree, "json" if state.as_json else "yaml"), nl=False)
    return 0


def _run(state: State, tree: dict[str, Any]) -> int:
    from slurmtorc.cli.run import carry_out, created, this_machine
    from slurmtorc.schedule.begin import begin

    node = this_machine(state)
    workflow_id = created(state, _draft(tree), SOURCE, node)
    workflow = begin(state.store, workflow_id)
    return carry_out(state, workflow, node, fail_on_error=True)
