"""Processes: started, ended, and told of by the kernel.

Nobody changes an order or an exit. They are not frozen all the same: one of each is made for
every job, and a frozen one takes twice as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from signal import SIGTERM
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slurmtorc.model import (
        ResourceRequirements,
        SlurmState,
    )


@dataclass(slots=True, kw_only=True)
class Order:
    """All it takes to start one process. `key` comes back with everything said about it."""

    key: int
    command: str
    env: Mapping[str, str]
    """Added to the launcher's own environment."""
    directory: str
    stdout: str | None = None
    """Path, or None for nowhere."""
    stderr: str | None = None
    append: bool = False
    """Whether the files keep what is in them."""
    memory_limit: int | None = None
    """Bytes; over it the process is killed and `Exit.over_memory` is set."""
    stop_signal: int = SIGTERM
    """What asks the process to end."""
    step: str = ""
    """What its step is to be called, where jobs are steps; without a name it is a process here."""
    need: ResourceRequirements | None = None
    """What the step may use; None for all that its node has, shared with the others."""
    nodes: tuple[str, ...] = ()
    """Where the step runs; empty: where there is room."""


@dataclass(slots=True, kw_only=True)
class Exit:
    """How one process ended. `signal` is None for an exit by its own will."""

    key: int
    code: int | None
    signal: int | None
    start_time: float
    end_time: float
    over_memory: bool = False
    launch_error: str | None = None
    """Why it could not be started at all."""
    slurm_state: SlurmState | None = None
    """What Slurm's accounting says of its step; None where it was no step, or is not known."""
    peak_memory_bytes: int | None = None
    avg_memory_bytes: int | None = None
    peak_cpu_percent: float | None = None
    avg_cpu_percent: float | None = None


class Launcher(Protocol):
    """Starts processes and is told of their ends by the kernel."""

    def start(self, order: Order) -> None:
        """Start a process; one that cannot be started comes back from `poll` as an Exit."""

    def poll(self) -> list[Exit]:
        """Processes that ended since the last call. Does not wait."""

    def stop(self, key: int, *, hard: bool) -> None:
        """Ask the process and all its children to end (its order's signal), or end them (KILL)."""

    def wait(self, seconds: float, bell: int | None = None) -> bool:
        """Rest, but no longer than until a process ends; whether it was cut short.

        Also by `bell`, a descriptor, when it becomes readable.
        """

    def running(self) -> Collection[int]:
        """The keys of processes that have not come back from `poll`."""
