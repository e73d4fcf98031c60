"""The real store, in memory, shared by all processes of a simulated world.

Only two things are added: it can be away, and it can change and not say so. What it adds
nothing to is the state: every verb is SqlStore's.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from slurmtorc.errors import StoreUnavailable
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slurmtorc.sim.clock import Process, SimClock

R = TypeVar("R")


class SimStore(SqlStore):
    """One store for any number of worlds, one after the other."""

    def __init__(self, clock: SimClock) -> None:
        self.sim_clock = clock
        self.changes = 0
        """How often anything was changed, heartbeats apart."""
        self._own: dict[Process | None, int] = {}
        self._beats = False
        self.reset()
        super().__init__("sqlite://", clock)

    def close(self) -> None:
        """Give back the connections."""
        self._reader.close()
        self._writer.close()
        super().close()

    def reset(self) -> None:
        """Another world begins: nothing is wrong, and nobody listens."""
        self._own.clear()
        self.is_away: Callable[[], bool] = bool
        self.is_answer_lost: Callable[[], bool] = bool
        self.on_change: Callable[[], None] = lambda: None

    def heartbeat(self, compute_node_id: int, lease_until: float) -> bool:
        """Renew a lease; nobody need look because of that."""
        self._beats = True
        try:
            return super().heartbeat(compute_node_id, lease_until)
        finally:
            self._beats = False

    def stamp(self) -> object:
        """How many changes others have made: what SQLite would say of several processes."""
        self._be_there()
        return self.changes - self._own.get(self.sim_clock.process, 0)

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[Any]:
        self._be_there()
        connection = self._writer
        with (
            self._our_words(),
            self._dialect.writing(connection, durable=durable),
            connection.begin(),
        ):
            before = _total(connection)
            yield connection
            changed = _total(connection) > before
        if changed:
            self._note()

    def _ask(self, question: Callable[[Any], R]) -> R:
        """Outside of transactions: there is one connection, so nobody to be kept apart from."""
        self._be_there()
        if self._joined.get() is not None:
            return super()._ask(question)
        return question(self._reader)

    @cached_property
    def _reader(self) -> Any:
        return self._dialect.engine.connect().execution_options(begins=False)

    @cached_property
    def _writer(self) -> Any:
        return self._dialect.engine.connect()

    def _be_there(self) -> None:
        if self.is_away():
            raise StoreUnavailable("the store does not answer")

    def _note(self) -> None:
        if not self._beats:
            me = self.sim_clock.process
            self.changes += 1
            self._own[me] = self._own.get(me, 0) + 1
            self.on_change()
        if self.is_answer_lost():
            raise StoreUnavailable("the store's answer was lost on the way")


def _total(connection: Any) -> Any:
    """How many rows this connection has changed in its life."""
    return connection.connection.driver_connection.total_changes
