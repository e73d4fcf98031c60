"""Which jobs a worker begins next, and where: what it has started ahead, then what the store gives.

Choosing from the store is one half: it happens inside the transaction that claims and starts, and
may come to nothing with it. So places are taken while choosing, and either kept, once the
transaction is committed, or given back. Nothing here starts a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.worker.shelf import Shelf

if TYPE_CHECKING:
    from slurmtorc.model import Claim, ComputeNode
    from slurmtorc.ports import Store
    from slurmtorc.worker.rooms import Place, Rooms


class Intake:
    """The way of jobs from the store to one worker."""

    def __init__(self, store: Store, node: ComputeNode, rooms: Rooms, limit: int | None) -> None:
        """`limit`: so many at a time; outside of an allocation, whatever they need."""
        self.shelf = Shelf()
        self._store = store
        self._node_id = node.id
        self._allocated = node.allocation_id is not None
        self._rooms = rooms
        self._limit = limit
        self._chosen: list[tuple[Claim, Place]] = []
        self._ahead: list[Claim] = []

    def has_room(self, running: int) -> bool:
        """Whether one more may be begun beside so many."""
        return self._rooms.has_room() if self._limit is None else running < self._limit

    def ready(self, running: int, seconds: float | None, now: float) -> list[tuple[Claim, Place]]:
        """Those started ahead that have a place now beside so many, and may take so long."""
        due = self.shelf.due()
        if due is None or now >= due:
            return []
        placed, self.shelf.claims = self._settled(self.shelf.claims, running, seconds)
        return placed

    # ── inside the transaction ───────────────────────────────────────────────

    def choose(self, running: int, seconds: float | None) -> list[Claim]:
        """Jobs that are started in the store: those that have a place now, then those ahead."""
        self._chosen, self._ahead = [], []
        if self.has_room(running):
            if self._anywhere(seconds):
                self._ask(running, seconds)
            else:
                self._ask_for_rooms(running, seconds)
        return [*(claim for claim, _ in self._chosen), *self._ahead]

    def _anywhere(self, seconds: float | None) -> bool:
        """Whether their number is all that counts."""
        return self._limit is not None and seconds is None and not self._allocated

    def _ask(self, running: int, seconds: float | None) -> None:
        assert self._limit is not None
        wanted = self._limit - running + self.shelf.ahead(self._limit)
        claims = self._store.claim_next(self._node_id, wanted, start=True)
        self._chosen, self._ahead = self._settled(claims, running, seconds)

    def _ask_for_rooms(self, running: int, seconds: float | None) -> None:
        """Each node by itself is offered with what it has free."""
        for offer in self._rooms.offers(seconds):
            begun = running + len(self._chosen)
            most = offer.cpus * offer.nodes if self._limit is None else self._limit - begun
            if most <= 0:
                return
            ahead = max(0, self.shelf.ahead(begun + 1) - len(self._ahead))
            claims = self._store.claim(self._node_id, offer, most, ahead, start=True)
            placed, rest = self._settled(claims, begun, seconds)
            self._chosen += placed
            self._ahead += rest

    def _settled(
        self, claims: list[Claim], running: int, seconds: float | None
    ) -> tuple[list[tuple[Claim, Place]], list[Claim]]:
        """Each with its place, beside so many that run; and those that have none."""
        placed: list[tuple[Claim, Place]] = []
        rest: list[Claim] = []
        anywhere = self._anywhere(seconds)
        for i, claim in enumerate(claims):
            if not self.has_room(running + len(placed)):
                return placed, rest + claims[i:]
            place = self._rooms.place(claim, seconds, anywhere=anywhere)
            if place is None:
                rest.append(claim)
            else:
                placed.append((claim, place))
        return placed, rest

    # ── afterwards ───────────────────────────────────────────────────────────

    def keep(self, now: float) -> list[tuple[Claim, Place]]:
        """It is committed: those that have a place begin now."""
        chosen, self._chosen = self._chosen, []
        self.shelf.add(self._ahead, now)
        self._ahead = []
        return chosen

    def forget(self) -> None:
        """Nobody knows whether it was committed: nothing was chosen."""
        for claim, _ in self._chosen:
            self._rooms.leave(claim.job_id)
        self._chosen, self._ahead = [], []

    def give_back(self) -> None:
        """What was started ahead, and has not begun, is for others."""
        self._store.withdraw(self._node_id, [claim.job_id for claim in self.shelf.claims])
        self.shelf.claims = []
