"""The door people come in by: the command group, and how every command ends.

Commands are loaded when they are called: `torc --help` imports click and nothing else of
weight. So each command's one-line help stands here, beside where its function is.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from slurmtorc import __version__
from slurmtorc.cli.context import SHARED_OPTIONS, State
from slurmtorc.errors import TorcError

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERRUPTED = 130
BROKEN_PIPE = 141

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("run:run", "Run a workflow on this machine, to its end."),
    "exec": ("adhoc:exec_", "Run commands as a workflow, without a file."),
    "submit": ("submit:submit", "Submit a workflow by its own schedulers and actions."),
    "submit-slurm": ("submit:submit_slurm", "Plan Slurm allocations for a workflow, and submit."),
    "watch": ("watch:watch", "Follow workflows' jobs and allocations until the end."),
    "recover": ("recover:recover", "Heal what failed in a complete workflow, and run it again."),
    "status": ("status:status", "How far a workflow is."),
    "create": ("workflows:create", "Store a workflow without running it."),
    "cancel": ("workflows:cancel", "Cancel a workflow and its Slurm allocations."),
    "workflows": ("workflows:workflows", "List, inspect, cancel and delete workflows."),
    "jobs": ("jobs:jobs", "List and inspect jobs; read their output."),
    "actions": ("actions:actions", "What a workflow does by itself, and what became of it."),
    "results": ("records:results", "What every attempt came to."),
    "files": ("data:files", "The files that jobs read and write."),
    "user-data": ("data:user_data", "The values that jobs read and write through the store."),
    "allocations": ("records:allocations", "The Slurm jobs that host workers."),
    "explain": ("explain:explain", "Why a job is not running, or what a workflow still needs."),
    "logs": ("logs:logs", "Look for known trouble in log files, and pack them."),
    "store": ("store:store", "Back up, check, migrate and tidy the store."),
    "slurm": ("slurm:slurm", "Ask Slurm for nodes, and see what Slurm knows."),
    "spec": ("spec:spec", "Check, expand and describe workflow files."),
    "sandbox": ("sandbox:sandbox", "A throw-away Slurm cluster on this machine."),
    "worker": ("worker:worker", "Work in an allocation (started by the batch script)."),
}
"""Name -> (module:function under slurmtorc.cli, help)."""

ALIASES = {"scheduled-compute-nodes": "allocations"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """In the order of the table: what a newcomer needs first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command."""
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, _, function = entry[0].partition(":")
        command: click.Command = getattr(import_module(f"slurmtorc.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Help from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Unknown commands get a suggestion."""
        name = args[0]
        if name not in COMMANDS and name not in ALIASES and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
            hint = f" Did you mean '{near[0]}'?" if near else " See 'torc --help'."
            ctx.fail(f"No such command '{name}'.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    params=list(SHARED_OPTIONS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="torc", message="%(prog)s %(version)s")
def torc() -> None:
    """Run many jobs from one workflow file: here, or in Slurm allocations."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status. Every known error is one clear line on stderr."""
    state = State()
    try:
        status: Any = torc.main(arguments, prog_name="torc", standalone_mode=False, obj=state)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  the last resort: users see one line
        return _explained(error, state)
    finally:
        state.close()
    return status if isinstance(status, int) else 0


def _explained(error: Exception, state: State) -> int:
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, TorcError):
        from slurmtorc.cli.faults import show

        if not show(error, as_json=_wants_json(state)):
            _say(str(error))
        return error.exit_code
    if os.environ.get("TORC_DEBUG"):
        raise error
    if isinstance(error, OSError):  # standard output on a full disk, and the like
        _say(str(error))
        return 1
    _say(f"internal error: {type(error).__name__}: {error} (TORC_DEBUG=1 shows where)")
    return 1


def _wants_json(state: State) -> bool:
    """Whether an error is told as JSON; not if the configuration itself is at fault."""
    try:
        return state.as_json
    except TorcError:
        return False


def _say(message: str) -> None:
    print(f"torc: error: {message}", file=sys.stderr)  # noqa: T201  click.echo may be the cause
