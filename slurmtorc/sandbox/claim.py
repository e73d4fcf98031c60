"""Whose a sandbox's directory is, who may change it now, and its removal.

Separate because safety rests on it: nothing is written into a directory that is not ours, and
nothing is removed but a directory that carries our marker. The marker is also the lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from slurmtorc.sandbox.place import Layout

_MARKER_TEXT = b"'torc sandbox' made this directory; 'torc sandbox down' removes it.\n"


# ── whose it is ──────────────────────────────────────────────────────────────


def is_sandbox(place: Layout) -> bool:
    """Whether there is a sandbox, whole or not. Raises if the directory is somebody else's."""
    try:
        _check_owner(place.directory)
    except FileNotFoundError:
        return False
    return place.marker.exists()


def _claim(place: Layout) -> None:
    """Make the directory, or take one that is ours and empty; FileNotFoundError if it goes away."""
    with suppress(FileExistsError):
        _make(place.directory)
    _check_owner(place.directory)
    names = {path.name for path in place.directory.iterdir()}
    if names and place.marker.name not in names:
        raise SandboxError(
            f"{place.directory} holds files and is no sandbox; choose another --dir, "
            "or one that does not exist"
        )
    place.directory.chmod(0o700)


def _make(directory: Path) -> None:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        raise
    except OSError as error:
        raise SandboxError(
            f"{directory} cannot be made: {error.strerror}; choose another --dir"
        ) from error


def _check_owner(directory: Path) -> None:
    """The directory itself: a link, wherever it leads, is no directory."""
    try:
        info = directory.lstat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SandboxError(f"{directory} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(info.st_mode):
        raise SandboxError(f"{directory} is no directory; choose another --dir")
    if info.st_uid != os.getuid():
        raise SandboxError(f"{directory} belongs to another user; choose another --dir")


# ── one at a time ────────────────────────────────────────────────────────────


@contextmanager
def made(place: Layout, waiting: Callable[[], None]) -> Iterator[None]:
    """The directory is there, and nobody else changes it."""
    while (lock := _lock(place, waiting, make=True)) is None:
        pass
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def held(place: Layout, waiting: Callable[[], None]) -> Iterator[bool]:
    """Nobody else changes the sandbox; False if there is none."""
    lock = None
    while is_sandbox(place) and lock is None:
        lock = _lock(place, waiting, make=False)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _lock(place: Layout, waiting: Callable[[], None], *, make: bool) -> int | None:
    """The lock's file descriptor; None if the directory went away meanwhile."""
    try:
        if make:
            _claim(place)
        lock = os.open(place.marker, os.O_RDWR | (os.O_CREAT if make else 0), 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SandboxError(f"{place.directory} cannot be used: {error.strerror}") from error
    try:
        _wait_for(lock, waiting)
        if os.path.samestat(os.fstat(lock), place.marker.stat()):
            if not os.fstat(lock).st_size:
                os.write(lock, _MARKER_TEXT)
            return lock
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _wait_for(lock: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(lock, fcntl.LOCK_EX)


# ── removal ──────────────────────────────────────────────────────────────────


def clear(place: Layout, *, but: tuple[Path, ...] = ()) -> None:
    """Remove everything but the marker and what is named."""
    place.ready.unlink(missing_ok=True)
    for path in place.directory.iterdir():
        if path in (place.marker, *but):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def remove(place: Layout) -> None:
    """Remove the directory; the marker last, so that a removal broken off can be repeated."""
    clear(place)
    place.marker.unlink()
    with suppress(OSError):  # somebody who waited for us may already be making the next one
        place.directory.rmdir()
