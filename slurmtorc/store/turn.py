"""Whose turn it is to write a SQLite file: the kernel's queue on a lock file beside it.

Apart from sqlite.py because it is about processes, not about SQL. SQLite's own waiting lets the
luckiest of many writers go a thousand times before the unluckiest goes once. The kernel gives
the lock back when its holder dies. It does not when its holder is stopped (a suspended Slurm
job), so nobody waits for a turn for ever: after a while SQLite's own lock is tried, whose
message says what is wrong. A turn is a matter of manners: without one, writing is still safe.
"""

from __future__ import annotations

import _thread
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slurmtorc.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Turns:
    """The queue of one file, as one process sees it."""

    def __init__(self, path: Path, patience_s: float) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._patience_s = patience_s
        self._file: int | None = None

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for the turn, and have it as long as this lasts."""
        file = self._taken()
        try:
            yield
        finally:
            if file is not None:
                fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give back the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _taken(self) -> int | None:
        """The locked file; None if there is no turn to be had."""
        if self._file is None:
            self._file = self._opened()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._waited(self._file)
        except OSError:  # this file system has no such locks
            return None
        return self._file

    def _waited(self, file: int) -> int | None:
        """The same after others had their turn. A thread waits, for the kernel knows no limit."""
        turn = _Waiting(file)
        try:
            # Not threading's: that waits until the thread has begun, which may take as long as a
            # whole turn where many processes want one.
            _thread.start_new_thread(turn.run, ())
        except RuntimeError:  # no room for a thread: SQLite's own lock decides
            return None
        try:
            came = turn.came.acquire(timeout=self._patience_s)
        except BaseException:  # Ctrl-C: nobody is to have a turn that came for us
            if turn.given_up():
                self._file = None  # as below
            else:
                fcntl.flock(file, fcntl.LOCK_UN)
            raise
        if not came and turn.given_up():
            self._file = None  # the thread closes it when the turn comes, which ends that turn
            return None
        return file

    def _opened(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreRefused(f"{self._path} cannot be opened: {error.strerror}") from error


class _Waiting:
    """One wait for a turn."""

    def __init__(self, file: int) -> None:
        self.came = _thread.allocate_lock()
        """Held until the turn has come."""
        self.came.acquire()
        self._file = file
        self._has_come = self._given_up = False
        self._deciding = _thread.allocate_lock()

    def run(self) -> None:
        """Wait."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with self._deciding:
            if self._given_up:
                os.close(self._file)
            else:
                self._has_come = True
                self.came.release()

    def given_up(self) -> bool:
        """Whether the turn has still not come, and nobody waits for it any more."""
        with self._deciding:
            self._given_up = not self._has_come
        return self._given_up
