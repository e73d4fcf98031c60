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
    from collections.abc import Iterator, Sequence

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

    def offers(self, seconds: float | None) -> Iterator[Capacity]:
        """What is free, to be asked for and placed one after the other.

        Nodes that are alike are not offered again once nothing was found for the first of them.
        """
        empty = self._empty()
        if len(empty) > 1:
            yield self._together(empty, seconds)
        refused: Capacity | None = None
        for room in self._rooms.values():
            free = room.free
            if free.cpus > 0 and free != refused:
                yield packing.until(free, seconds)
                refused = free if room.free == free else refused

    def place(self, claim: Claim, seconds: float | None, *, anywhere: bool = False) -> Place | None:
        """Give a job its place, with GPUs; None where it does not fit.

        `anywhere`: it is run whatever it needs, and Slurm finds its nodes, where there are
        several.
        """
        need = claim.requirement
        if anywhere:
            return self._take(claim, next(iter(self._rooms.values())), named=False)
        if need.num_nodes > 1:
            return self._take_several(claim, seconds)
        for room in self._rooms.values():
            if packing.room(packing.until(room.free, seconds), need, 1):
                return self._take(claim, room, named=self._pinned)
        return None

    def _empty(self) -> list[_Room]:
        return [room for room in self._rooms.values() if not room.guests]

    @staticmethod
    def _together(rooms: Sequence[_Room], seconds: float | None) -> Capacity:
        least = _least([room.whole for room in rooms])
        return packing.until(replace(least, nodes=len(rooms)), seconds)

    def _take(self, claim: Claim, room: _Room, *, named: bool) -> Place:
        need = claim.requirement
        gpus, room.gpus = tuple(room.gpus[: need.num_gpus]), room.gpus[need.num_gpus :]
        room.free = packing.take(room.free, need)
        room.guests += 1
        place = Place((room.name,) if named else (), gpus)
        self._placed[claim.job_id] = (place, need)
        return place

    def _take_several(self, claim: Claim, seconds: float | None) -> Place | None:
        """It has its nodes to itself."""
        need, empty = claim.requirement, self._empty()
        if len(empty) <= 1 or not packing.room(self._together(empty, seconds), need, 1):
            return None
        chosen = empty[: need.num_nodes]
        for room in chosen:
            room.free = replace(room.free, cpus=0, memory_bytes=0, gpus=0)
            room.guests += 1
        place = Place(tuple(room.name for room in chosen))
        self._placed[claim.job_id] = (place, need)
        return place

    def leave(self, job_id: int) -> None:
        """The attempt has ended."""
        place, need = self._placed.pop(job_id)
        for name in place.nodes or tuple(self._rooms)[:1]:
            room = self._rooms[name]
            alone = len(place.nodes) > 1
            room.free = room.whole if alone else packing.give_back(room.free, need)
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
