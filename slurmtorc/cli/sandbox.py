"""`torc sandbox`: a throw-away Slurm cluster on this machine, and faults for it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import State, TorcGroup, pass_state
from slurmtorc.cli.render import emit_json, emit_table, note
from slurmtorc.errors import InvalidValue, SandboxError, UsageError
from slurmtorc.rules.wording import counted
from slurmtorc.units import display_seconds

if TYPE_CHECKING:
    from slurmtorc.sandbox.cluster import Cluster, Up
    from slurmtorc.sandbox.status import Status

UNHEALTHY = 1
NOT_EXECUTABLE = 126
NOT_FOUND = 127

_directory = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Where the sandbox lies.  [default: /tmp/torc-sandbox-UID]",
)
_daemon = click.argument("name")


def _cluster(directory: str | None) -> Cluster:
    from slurmtorc.sandbox.cluster import Cluster

    return Cluster(directory, note)


@click.group(cls=TorcGroup, short_help="A throw-away Slurm cluster on this machine.")
def sandbox() -> None:
    """A throw-away Slurm cluster on this machine.

    MUNGE, MariaDB, slurmdbd, slurmctld and several slurmd run in one directory, as root or as an
    ordinary user, without systemd; nothing outside that directory is changed.

    Example: torc sandbox up; torc sandbox exec -- srun -N3 hostname; torc sandbox down
    """


# ── up ───────────────────────────────────────────────────────────────────────


@sandbox.command()
@_directory
@click.option("--nodes", type=int, help="Number of nodes: n1, n2 ….  [default: 3]")
@click.option(
    "--cpus", type=int, help="CPUs of each node; may be more than there are.  [default: 4]"
)
@click.option("--memory", type=int, metavar="MIB", help="Memory of each node.  [default: 4000]")
@click.option("--gpus", type=int, help="GPUs of each node, with nothing behind them.  [default: 0]")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="NAME",
    help="An account you may use; repeatable, the first is your default.  [default: sandbox]",
)
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    metavar="'NAME KEY=VALUE …'",
    help="A partition, as slurm.conf has it; repeatable, the first is the default.  "
    "[default: 'debug MaxTime=01:00:00', 'short MaxTime=00:10:00'; all nodes]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A line of slurm.conf, instead of ours; repeatable.",
)
@click.option("--install", is_flag=True, help="Install missing Debian packages (as root).")
@pass_state
def up(
    state: State,
    *,
    directory: str | None,
    nodes: int | None,
    cpus: int | None,
    memory: int | None,
    gpus: int | None,
    accounts: tuple[str, ...],
    partitions: tuple[str, ...],
    settings: tuple[str, ...],
    install: bool,
) -> None:
    """Make the sandbox, or repair it; a healthy one is left alone.

    A sandbox that is there keeps its shape, its accounting and its queue.

    Example: torc sandbox up --nodes 2 --gpus 1 --partition 'long MaxTime=2-00:00:00'
    """
    given = {
        "nodes": nodes,
        "cpus": cpus,
        "memory": memory,
        "gpus": gpus,
        "accounts": accounts or None,
        "partitions": partitions or None,
    }
    wanted = _checked({key: value for key, value in given.items() if value is not None}, settings)
    begin = time.monotonic()
    cluster = _cluster(directory)
    result = cluster.up(install=install, **wanted)
    seconds = time.monotonic() - begin
    if state.as_json:
        emit_json(_up_record(cluster, result, seconds))
    else:
        click.echo("\n".join(_up_lines(cluster, result, seconds)))


def _checked(wanted: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """What is wrong in itself is wrong before anything is looked at."""
    from slurmtorc.sandbox.plan import setting, shape

    try:
        if settings:
            wanted["settings"] = tuple(map(setting, settings))
        shape(wanted)
    except InvalidValue as error:
        raise UsageError(str(error)) from error
    return wanted


def _up_record(cluster: Cluster, result: Up, seconds: float) -> dict[str, Any]:
    return {
        "dir": str(cluster.place.directory),
        "slurm_conf": str(cluster.place.slurm_conf),
        "slurm_version": "{}.{:02}".format(*result.plan.version),
        "account": result.plan.account,
        "accounts": result.plan.shape.accounts,
        "nodes": result.plan.shape.node_names,
        "done": result.done,
        "seconds": round(seconds, 3),
    }


def _up_lines(cluster: Cluster, result: Up, seconds: float) -> list[str]:
    plan, where = result.plan, cluster.place.directory
    took = display_seconds(seconds)
    if result.new:
        version = "{}.{:02}".format(*plan.version)
        nodes = counted(plan.shape.nodes, "node")
        first = f"Slurm {version} with {nodes} is up in {where} ({took})."
    elif result.done:
        first = f"The sandbox in {where} is up again: {', '.join(result.done)} ({took})."
    else:
        first = f"The sandbox in {where} is up and well; nothing was changed."
    return [
        first,
        f"  account   {', '.join(plan.shape.accounts)}",
        f"  use it    torc sandbox exec{cluster.place.option} -- sinfo",
        f"            export SLURM_CONF={cluster.place.slurm_conf}",
        f"  end it    torc sandbox down{cluster.place.option}",
    ]


# ── down ─────────────────────────────────────────────────────────────────────


@sandbox.command()
@_directory
@click.option(
    "--keep", is_flag=True, help="Leave the daemons' logs; the next up or down removes them."
)
@pass_state
def down(state: State, directory: str | None, keep: bool) -> None:
    """End every process of the sandbox, and remove its directory.

    Example: torc sandbox down
    """
    cluster = _cluster(directory)
    where = cluster.place.directory
    ended = cluster.down(keep_logs=keep)
    if state.as_json:
        emit_json({"dir": str(where), "found": ended is not None, "ended": ended or 0})
    elif ended is None:
        click.echo(f"There is no sandbox in {where}.")
    else:
        left = f"logs are in {cluster.place.logs}" if keep else f"{where} is removed"
        click.echo(f"Ended {ended} process{'' if ended == 1 else 'es'}; {left}.")


# ── status ───────────────────────────────────────────────────────────────────


@sandbox.command()
@_directory
@pass_state
def status(state: State, directory: str | None) -> int:
    """Show the daemons and the nodes. Exit status 1 unless all is well.

    Example: torc sandbox status -f json
    """
    cluster = _cluster(directory)
    seen = cluster.status()
    if state.as_json:
        emit_json(_status_record(cluster, seen))
    elif seen is None:
        click.echo(f"No sandbox is up in {cluster.place.directory}.")
    else:
        _show_status(cluster, seen)
    return 0 if seen is not None and seen.healthy else UNHEALTHY


def _status_record(cluster: Cluster, seen: Status | None) -> dict[str, Any]:
    return {
        "dir": str(cluster.place.directory),
        "slurm_conf": str(cluster.place.slurm_conf),
        "up": seen is not None,
        "healthy": seen is not None and seen.healthy,
        "account": seen.plan.account if seen else None,
        "daemons": seen.daemons if seen else [],
        "nodes": [{"name": x, "state": y} for x, y in seen.nodes.items()] if seen else [],
    }


def _show_status(cluster: Cluster, seen: Status) -> None:
    rows = [
        (daemon.name, daemon.pid, daemon.health, seen.nodes.get(daemon.name, "").lower())
        for daemon in seen.daemons
    ]
    title = f"Sandbox in {cluster.place.directory}"
    emit_table(title, ("daemon", "pid", "health", "node"), rows, empty="No daemons.")
    click.echo(f"export SLURM_CONF={cluster.place.slurm_conf}")


# ── exec ─────────────────────────────────────────────────────────────────────


@sandbox.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@_directory
@click.argument(
    "command", metavar="-- COMMAND [ARGUMENT]…", nargs=-1, required=True, type=click.UNPROCESSED
)
def execute(directory: str | None, command: tuple[str, ...]) -> None:
    """Run a command for which Slurm is the sandbox.

    It takes this command's place: standard input and output, signals and exit status are its own.

    Example: torc sandbox exec -- sbatch --wrap 'srun hostname'
    """
    cluster = _cluster(directory)
    cluster.running_plan()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; a program expects not
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, cluster.environment())  # noqa: S606  what the user typed
    except OSError as error:
        failure = SandboxError(f"{command[0]} cannot be run: {error.strerror}")
        failure.exit_code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        raise failure from error


# ── fault drills ─────────────────────────────────────────────────────────────


@sandbox.command()
@_daemon
@_directory
@click.option(
    "--signal",
    "name_of_signal",
    default="TERM",
    metavar="NAME",
    show_default=True,
    help="As in TERM, KILL, or STOP to halt it.",
)
def stop(name: str, directory: str | None, name_of_signal: str) -> None:
    """Stop one daemon: a fault drill.

    NAME is munge, mariadb, slurmdbd, slurmctld, or a node's name. A halted daemon (STOP) goes on
    with 'start'.

    Example: torc sandbox stop n2 --signal KILL
    """
    number = _signal(name_of_signal)
    there = _cluster(directory).stop(name, number)
    click.echo(f"Sent {number.name} to {name}." if there else f"{name} was not running.")


@sandbox.command()
@_daemon
@_directory
def start(name: str, directory: str | None) -> None:
    """Start one daemon again, and wait until it serves.

    Example: torc sandbox start slurmctld
    """
    begun = _cluster(directory).start(name)
    click.echo(f"{name} is up again." if begun else f"{name} was running.")


def _signal(name: str) -> signal.Signals:
    try:
        return signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
    except KeyError:
        raise UsageError(
            f"there is no signal {name!r}; write a name, as in TERM, KILL or STOP"
        ) from None
