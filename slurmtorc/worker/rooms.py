"""The nodes a worker commands, what is free on each, and which attempt is where.

A worker has one node, or all nodes of its allocation where jobs are steps. Each node is offered
to the store by itself, so that a job never gets the sum of what several nodes have left; nodes
on which nothing runs are offered together first, for jobs of several nodes. Separate from the
worker so that it can be tried without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slurmtorc.rules import packing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slurmtorc.model import Capacity, Claim, ResourceRequirements


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt runs."""

    nodes: tuple[str, ...] = ()
    """Names; empty for the worker's own and only node, or for whichever has room."""
    gpus: tuple[str, ...] = ()


@dataclass(slots=True)
class _Room:
    """One node."""

    name: str
    whole: Capacity
    free: Capacity
    gpus: list[str]
    guests: int = 0


class Rooms:
    """What one worker has to give."""

    def __init__(
        self, own: Capacity, gpus: Sequence[str] = (), nodes: Sequence[tuple[str, Capacity]] = ()
    ) -> None:
        """`nodes`: all nodes the worker commands, by name; else it has its own alone."""
        self._pinned = bool(nodes)
        named = nodes or (("", own),)
        self._rooms = {name: _Room(name, all_, all_, list(gpus)) for name, all_ in named}
        self._placed: dict[int, tuple[Place, ResourceRequirements]] = {}

    def has_room(self) -> bool:
        """Whether any CPU is free."""
        return any(room.free.cpus > 0 for room in self._rooms.values())

    @property
    def free_gpus(self) -> list[str]:
        """Names of the devices that nobody has."""
        return [gpu for room in self._rooms.values() for gpu in room.gpus]

    def claim(
        self, ask: Callable[[Capacity], list[Claim]], seconds: float | None
    ) -> list[tuple[Claim, Place]]:
        """What the store gives for what is free. Nothing is taken here: see `take`."""
        found: list[tuple[Claim, Place]] = []
        empty = [room for room in self._rooms.values() if not room.guests]
        if len(empty) > 1:
            offer = replace(_least([room.whole for room in empty]), nodes=len(empty))
            for claim in ask(packing.until(offer, seconds)):
                count = claim.requirement.num_nodes
                chosen, empty = empty[:count], empty[count:]
                found.append((claim, Place(tuple(room.name for room in chosen))))
        given = {name for _, place in found for name in place.nodes}
        for room, claims in self._node_by_node(ask, seconds, given):
            found += [(claim, self._place_in(room)) for claim in claims]
        return found

    def _node_by_node(
        self, ask: Callable[[Capacity], list[Claim]], seconds: float | None, given: set[str]
    ) -> Iterator[tuple[_Room, list[Claim]]]:
        refused: Capacity | None = None
        for room in self._rooms.values():
            if room.name in given or room.free.cpus <= 0 or room.free == refused:
                continue
            claims = ask(packing.until(room.free, seconds))
            refused = room.free if not claims else refused
            yield room, claims

    def _place_in(self, room: _Room) -> Place:
        return Place((room.name,) if self._pinned else ())

    def anywhere(self, claims: Sequence[Claim]) -> list[tuple[Claim, Place]]:
        """Jobs that are run whatever they need: Slurm finds the nodes, where there are several."""
        return [(claim, Place()) for claim in claims]

    def take(self, claim: Claim, place: Place) -> Place:
        """The attempt is launched now; its place with the GPUs it was given."""
        names = place.nodes or tuple(self._rooms)[:1]
        need, gpus = claim.requirement, tuple[str, ...]()
        for name in names:
            room = self._rooms[name]
            gpus, room.gpus = tuple(room.gpus[: need.num_gpus]), room.gpus[need.num_gpus :]
            room.free = packing.take(room.free, need)
            if need.num_nodes > 1:  # it has its nodes to itself
                room.free = replace(room.free, cpus=0, memory_bytes=0, gpus=0)
            room.guests += 1
        taken = Place(place.nodes, gpus)
        self._placed[claim.job_id] = (taken, need)
        return taken

    def leave(self, job_id: int) -> None:
        """The attempt has ended."""
        place, need = self._placed.pop(job_id)
        for name in place.nodes or tuple(self._rooms)[:1]:
            room = self._rooms[name]
            room.free = packing.give_back(room.free, need)
            if need.num_nodes > 1:
                room.free = room.whole
            room.gpus = sorted({*room.gpus, *place.gpus})
            room.guests -= 1


def _least(nodes: Sequence[Capacity]) -> Capacity:
    """What every one of these nodes has."""
    return replace(
        nodes[0],
        cpus=min(node.cpus for node in nodes),
        memory_bytes=min(node.memory_bytes for node in nodes),
        gpus=min(node.gpus for node in nodes),
    )
