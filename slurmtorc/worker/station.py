"""What a worker is given: how to behave, what jobs may use, and what it acts through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from slurmtorc.rules.endings import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slurmtorc.model import Capacity, ComputeNode, SlurmState, SlurmStats
    from slurmtorc.ports import Clock, Launcher, Store

SHORTEST_KILL_WAIT_S = 5.0
"""Slurm never gives less, whatever its KillWait is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How one worker is to behave."""

    max_parallel_jobs: int | None = None
    """At most so many at a time; outside of an allocation, without an end, whatever they need."""
    idle_limit_s: float = 90.0
    patient: bool = False
    """Stays while other workers work."""
    end_time: float | None = None
    """When the allocation ends."""
    interrupt_means: Stopped = Stopped.INTERRUPTED
    by_steps: bool = False
    """Jobs are steps: Slurm ends them at their own limits before the allocation's end."""
    kill_wait_s: float = SHORTEST_KILL_WAIT_S
    """How long Slurm leaves processes alive that it has told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What a worker has been given: its row in the store, and what jobs may use."""

    node: ComputeNode
    whole: Capacity
    gpus: tuple[str, ...] = ()
    nodes: tuple[tuple[str, Capacity], ...] = ()
    """All nodes it commands, by name, where jobs are steps; empty: its own alone."""


class Accounts(Protocol):
    """What accounting has said since the last call."""

    def __call__(self, *, last: bool = False) -> Sequence[SlurmStats]:
        """With `last`, what is still out is waited for a little."""


class Act(Protocol):
    """Asks for nodes, for a worker."""

    def __call__(self, compute_node_id: int, *, leaving: bool = False) -> None:
        """With `leaving`, also what the end of this worker asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a worker acts through."""

    store: Store
    launcher: Launcher
    clock: Clock
    act: Act | None = None
    """Executes the workflow's pending schedule_nodes actions, where this worker can."""
    why: Callable[[], SlurmState | None] | None = None
    """Why Slurm ends the allocation this worker is in, as soon as that is known."""
    accounts: Accounts | None = None
    """What accounting has said of steps."""
