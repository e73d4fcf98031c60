"""`torc slurm …`: the commands about Slurm's side of a workflow, loaded when they are called.

A table and nothing else, so that the commands may live in several modules: one that asks for
nodes (slurm_nodes.py), one that reports what Slurm knows (slurm_reports.py).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import TorcCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "regenerate": ("slurm_nodes:regenerate", "Plan allocations for what is left of a workflow."),
    "schedule-nodes": (
        "slurm_schedule:schedule_nodes",
        "Ask for allocations of one scheduler now.",
    ),
    "sacct": (
        "slurm_reports:sacct",
        "What Slurm's accounting says of a workflow's allocations and their steps.",
    ),
    "stats": (
        "slurm_reports:stats",
        "What Slurm measured of each attempt that was a step of its own.",
    ),
    "usage": (
        "slurm_usage:usage",
        "Node time and CPU time of the allocations, and what jobs had of it.",
    ),
    "parse-logs": (
        "logs:parse_logs",
        "Look for known trouble in what Slurm wrote for the allocations, and in jobs' stderr.",
    ),
}
"""Name -> (module:function under slurmtorc.cli, help)."""


class SlurmGroup(click.Group):
    """Commands of the table, each imported when it is called."""

    command_class = TorcCommand

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"slurmtorc.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Help from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group("slurm", cls=SlurmGroup)
def slurm() -> None:
    """Ask Slurm for nodes, and see what Slurm knows."""
