"""A file that gets its name only when it is whole: for backups.

It is written under another name beside it, synced, and then named. What must never happen here:
a file of that name that is not whole, or one that was there and is lost without `force`.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slurmtorc.disk import sync
from slurmtorc.errors import Conflict, StoreFull, StoreRefused
from slurmtorc.units import display_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slurmtorc.errors import TorcError

MADE_BY_A_KILLED_ONE = "is another backup's, at work or killed; remove it if none is at work"


@contextmanager
def whole_file(path: Path, *, needs: int, force: bool) -> Iterator[Path]:
    """Where to write what is to be called `path`; it is if nothing is raised inside."""
    if path.is_dir():
        raise StoreRefused(f"{path} is a directory; name a file in it")
    if path.exists() and not force:
        raise Conflict(f"{path} is there already; name another file, or give --force")
    part = path.with_name(path.name + ".part")
    try:
        refuse_too_small(path.parent, needs)
        _reserve(part, force=force)
    except OSError as error:
        raise refused(path, error) from error
    try:
        yield part
        _name(part, path, force=force)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def refuse_too_small(folder: Path, needs: int) -> None:
    """Raise StoreFull where `needs` bytes have no room."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needs:
        message = f"{folder} has {display_memory(free)} free and {display_memory(needs)} are needed"
        raise StoreFull(f"{message}; make room or name another place; nothing was written")


def refused(path: Path, error: OSError) -> TorcError:
    """An error of the file system in our words."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreFull(f"{path}: the disk is full; make room; nothing was left there")
    return StoreRefused(f"{path} cannot be written: {error.strerror}")


def _reserve(part: Path, *, force: bool) -> None:
    """Take the name to write under; only its owner may read what a store holds."""
    if force:
        part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Conflict(f"{part} {MADE_BY_A_KILLED_ONE}, or give --force") from None


def _name(part: Path, path: Path, *, force: bool) -> None:
    sync(part)
    if force:
        part.replace(path)
    else:
        try:
            os.link(part, path)
        except FileExistsError:
            raise Conflict(f"{path} came to be meanwhile; name another file") from None
    sync(path.parent)
