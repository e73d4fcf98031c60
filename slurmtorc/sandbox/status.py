"""How a sandbox is: each daemon, and each node as Slurm sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.sandbox.client import usable
from slurmtorc.sandbox.runner import Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.sandbox.client import Client
    from slurmtorc.sandbox.plan import Plan
    from slurmtorc.sandbox.runner import Runner


@dataclass(frozen=True, slots=True)
class Daemon:
    """One daemon."""

    name: str
    pid: int | None
    """Of the process that was last started; None if that was before the machine's start."""
    health: Health


@dataclass(frozen=True, slots=True)
class Status:
    """The whole sandbox."""

    plan: Plan
    daemons: tuple[Daemon, ...]
    nodes: Mapping[str, str]
    """State of each node, in Slurm's words; UNKNOWN while no controller answers."""

    @property
    def fallen(self) -> tuple[str, ...]:
        """The daemons that do not run."""
        return tuple(x.name for x in self.daemons if x.health is not Health.ALIVE)

    @property
    def dead(self) -> tuple[str, ...]:
        """Those of them that are not even halted."""
        return tuple(x.name for x in self.daemons if x.health is Health.DEAD)

    @property
    def healthy(self) -> bool:
        """Whether everything lives and every node takes jobs."""
        return not self.fallen and all(map(usable, self.nodes.values()))


def status(plan: Plan, runner: Runner, client: Client) -> Status:
    """Look. Nobody is asked who cannot answer: Slurm's commands would wait for it."""
    daemons = tuple(_daemon(runner, name) for name in plan.daemons)
    needed = all(runner.health(name) is Health.ALIVE for name in ("munge", "slurmctld"))
    states = client.nodes() if needed and client.answers() else {}
    return Status(
        plan, daemons, {name: states.get(name, "UNKNOWN") for name in plan.shape.node_names}
    )


def _daemon(runner: Runner, name: str) -> Daemon:
    process = runner.process(name)
    return Daemon(name, process.pid if process else None, runner.health(name))
