"""Nodes of a simulated cluster, and which waiting allocation gets which: FIFO and backfill.

What waits longest starts first. While it cannot, later ones of its partition may start if they
are over before anything else can become free: so nobody waits longer for having others behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from slurmtorc.model import Site
    from slurmtorc.sim.booking import Booking
    from slurmtorc.sim.request import Request


@dataclass(slots=True)
class SimNode:
    """One node, and what of it is free."""

    name: str
    partitions: frozenset[str]
    cpus: int
    memory_bytes: int
    gpus: int
    is_up: bool = True

    def take(self, request: Request, times: int = 1) -> None:
        """Give it to an allocation; -1 takes it back."""
        self.cpus -= times * request.cpus
        self.memory_bytes -= times * request.memory_bytes
        self.gpus -= times * request.gpus

    def has_room(self, request: Request) -> bool:
        """Whether the allocation fits beside what is here."""
        return (
            self.is_up
            and request.partition in self.partitions
            and self.cpus >= request.cpus
            and self.memory_bytes >= request.memory_bytes
            and self.gpus >= request.gpus
        )


def nodes_of(site: Site) -> list[SimNode]:
    """n1, n2, …: partitions of equal nodes share them, the others have their own."""
    shapes: dict[tuple[int, int, int, int], list[str]] = {}
    for part in site.partitions:
        shape = (part.nodes, part.cpus, part.memory_bytes, part.gpus)
        shapes.setdefault(shape, []).append(part.name)
    nodes: list[SimNode] = []
    for (count, cpus, memory, gpus), names in shapes.items():
        nodes += [
            SimNode(f"n{len(nodes) + number}", frozenset(names), cpus, memory, gpus)
            for number in range(1, count + 1)
        ]
    return nodes


def startable(
    bookings: Collection[Booking], nodes: Sequence[SimNode], now: float
) -> Iterator[tuple[Booking, list[SimNode]]]:
    """What starts now, and where; whoever takes the nodes does so before asking for the next.

    Says of all others why they wait.
    """
    free_at: dict[str, float] = {}
    for booking in [one for one in bookings if one.waits]:
        request = booking.request
        if request.held:
            booking.reason = "JobHeldUser"
            continue
        if now < booking.not_before:
            booking.reason = "BeginTime"
            continue
        room = [node for node in nodes if node.has_room(request)][: request.nodes]
        limit = free_at.get(request.partition)
        if len(room) == request.nodes and (limit is None or now + request.limit_s <= limit):
            yield booking, room
            continue
        booking.reason = "Resources" if limit is None else "Priority"
        free_at.setdefault(request.partition, _first_end(bookings, request.partition, now))


def _first_end(bookings: Collection[Booking], partition: str, now: float) -> float:
    """The first moment at which something surely becomes free."""
    holders = (one for one in bookings if one.nodes and one.state.alive)
    ends = (one.latest_end for one in holders if one.request.partition == partition)
    return min(ends, default=now)
