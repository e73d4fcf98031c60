"""What came of a simulated world: the store's word beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurmtorc.model import Allocation, ComputeNode, Job, Result, Workflow
    from slurmtorc.rules.watching import Stop
    from slurmtorc.sim.booking import Booking
    from slurmtorc.sim.host import Life
    from slurmtorc.sim.launcher import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One story, told by both."""

    workflow: Workflow
    seconds: float
    """From the beginning until the watch ended, or the time was over."""
    stop: Stop | None
    """What the watch said; None if it was still watching."""
    watches: int
    """How many watch processes there were."""
    jobs: list[Job]
    results: list[Result]
    ended_at: dict[tuple[int, int], float]
    """Job and attempt -> when its end was written down, whenever it is said to have been."""
    allocations: list[Allocation]
    nodes: list[ComputeNode]
    bookings: list[Booking]
    """What Slurm had."""
    runs: list[Run]
    """Processes of jobs that really ran."""
    lives: list[Life]
    """Workers as they really were."""
    strangers: list[Booking]
    """Other people's jobs that got an id of ours."""
    queries: int
