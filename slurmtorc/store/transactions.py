"""Transactions: one for each verb, or one for several together; tried again when others write.

What goes wrong in a driver comes out in our words, whichever database it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import DBAPIError

from slurmtorc.errors import Conflict, StoreBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from slurmtorc.errors import TorcError
    from slurmtorc.ports import Clock
    from slurmtorc.store.dialect import Dialect

R = TypeVar("R")

TRIES = 8
"""How often a verb that meets another writer is tried before its caller hears of it."""


class Transactions:
    """Runs the statements of verbs and of questions on one database."""

    def __init__(self, dialect: Dialect, clock: Clock) -> None:
        self.clock = clock
        self._dialect = dialect
        self._joined: ContextVar[Connection | None] = ContextVar("joined", default=None)

    @contextmanager
    def together(self, *, durable: bool = False) -> Iterator[None]:
        """Verbs inside commit together, or not at all; inside another `together`, with that."""
        if self._joined.get() is not None:
            yield
            return
        with self._transaction(durable=durable) as connection:
            token = self._joined.set(connection)
            try:
                yield
            finally:
                self._joined.reset(token)

    def _change(self, work: Callable[[Connection], R], *, durable: bool = False) -> R:
        """Run a verb's statements in a transaction of its own, or in the one of together()."""
        joined = self._joined.get()
        if joined is not None:
            return work(joined)

        def once() -> R:
            with self._transaction(durable=durable) as connection:
                return work(connection)

        try:
            return once()
        except StoreBusy:
            return self._again(once)

    def _again(self, once: Callable[[], R]) -> R:
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt  # noqa: PLC0415
        from tenacity import wait_random_exponential as jitter  # noqa: PLC0415  rarely needed

        tries: Retrying = Retrying(
            retry=retry_if_exception_type(StoreBusy),
            stop=stop_after_attempt(TRIES),
            wait=jitter(multiplier=0.02, max=1.0),
            sleep=self.clock.sleep,
            reraise=True,
        )
        return tries(once)

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[Connection]:
        with (
            self._our_words(),
            self._dialect.connected() as connection,
            self._dialect.writing(connection, durable=durable),
            self._dialect.transaction(connection),
        ):
            yield connection

    def _ask(self, question: Callable[[Connection], R]) -> R:
        """Read; never takes the write lock, and sees the changes of together()."""
        joined = self._joined.get()
        if joined is not None:
            return question(joined)
        with self._our_words(), self._dialect.connected() as connection, connection.begin():
            return question(connection)

    @contextmanager
    def _our_words(self) -> Iterator[None]:
        driver = self._dialect.engine.dialect.loaded_dbapi
        try:
            yield
        except DBAPIError as error:
            raise self._translated(error.orig or error) from error
        except driver.Error as error:  # bulk loading speaks to the driver itself
            raise self._translated(error) from error

    def _translated(self, error: BaseException) -> TorcError:
        if isinstance(error, self._dialect.engine.dialect.loaded_dbapi.IntegrityError):
            line = str(error).splitlines()[0]
            if "foreign key" in line.lower():
                return Conflict(f"what it belongs to is not in the store: {line}")
            return Conflict(f"the store already has a record like it: {line}")
        return self._dialect.translated(error)
