"""Which jobs a worker begins next, and where: what it keeps ready first, then what the store gives.

Choosing is one half: it happens inside the transaction that claims and starts, and may come to
nothing with it. So places are taken while choosing, and either kept, once the transaction is
committed, or given back. Nothing here starts a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.worker.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.model import Capacity, Claim
    from slurmtorc.ports import Store
    from slurmtorc.worker.rooms import Place, Rooms


class Intake:
    """The way of jobs from the store to one worker."""

    def __init__(self, store: Store, node_id: int, rooms: Rooms, limit: int | None) -> None:
        """`limit`: so many at a time, whatever they need."""
        self.shelf = Shelf()
        self._store = store
        self._node_id = node_id
        self._rooms = rooms
        self._limit = limit
        self._chosen: list[tuple[Claim, Place]] = []
        self._rest: list[Claim] = []
        self._kept = 0
        """How much of the rest was here before."""

    def has_room(self, running: int) -> bool:
        """Whether one more may be begun beside so many."""
        return self._rooms.has_room() if self._limit is None else running < self._limit

    # ── inside the transaction ───────────────────────────────────────────────

    def choose(self, running: int, seconds: float | None) -> list[Claim]:
        """Jobs that have a place now beside so many that run, and may take so long."""
        self._chosen, self._rest = [], []
        anywhere = self._limit is not None and seconds is None
        self._settle(self.shelf.claims, running, seconds, anywhere=anywhere)
        self._kept = len(self._rest)
        if self.has_room(running + len(self._chosen)):
            if anywhere:
                claims = self._store.claim_next(self._node_id, self._wanted(running))
                self._settle(claims, running, seconds, anywhere=True)
            else:
                self._ask_for_rooms(running, seconds)
        return [claim for claim, _ in self._chosen]

    def _wanted(self, running: int) -> int:
        """How many to ask for, where their number is all that counts."""
        assert self._limit is not None
        return self._limit - running - len(self._chosen) + self.shelf.ahead(self._limit)

    def _settle(
        self, claims: list[Claim], running: int, seconds: float | None, *, anywhere: bool = False
    ) -> None:
        """Give each its place, or leave it for later."""
        for i, claim in enumerate(claims):
            if not self.has_room(running + len(self._chosen)):
                self._rest += claims[i:]
                return
            place = self._rooms.place(claim, seconds, anywhere=anywhere)
            if place is None:
                self._rest.append(claim)
            else:
                self._chosen.append((claim, place))

    def _ask_for_rooms(self, running: int, seconds: float | None) -> None:
        """Each node by itself is offered with what it has free."""
        for offer in self._rooms.offers(seconds):
            begun = running + len(self._chosen)
            most = offer.cpus * offer.nodes if self._limit is None else self._limit - begun
            if most <= 0:
                return
            ahead = self.shelf.ahead(begun) - len(self._rest)
            claims = self._store.claim(self._node_id, offer, most, max(0, ahead))
            self._settle(claims, running, seconds)

    # ── afterwards ───────────────────────────────────────────────────────────

    def keep(self, started: Collection[int], now: float) -> list[tuple[Claim, Place]]:
        """It is committed, and these are started: they with their places. The rest is kept."""
        chosen, self._chosen = self._chosen, []
        for claim, _ in chosen:
            if claim.job_id not in started:
                self._rooms.leave(claim.job_id)
        self.shelf.put(self._rest, now, fresh=not self._kept)
        return [(claim, place) for claim, place in chosen if claim.job_id in started]

    def forget(self) -> None:
        """Nobody knows what was committed: nothing is chosen, and nothing is kept ready."""
        for claim, _ in self._chosen:
            self._rooms.leave(claim.job_id)
        self._chosen = []
        self.shelf.claims = []

    def give_back(self) -> None:
        """What is kept ready is for others."""
        self._store.release(self._node_id, [claim.job_id for claim in self.shelf.claims])
        self.shelf.claims = []
