"""Where a SQLite file lies, and what that allows.

WAL mode needs memory shared between processes, which a network file system cannot give: there
SQLite reports success and loses data. So the file system's type decides: WAL on a local disk,
a rollback journal where locks are known to work between nodes, a refusal where they do not.
Another mode is never chosen silently on a file system of unknown kind: those count as local.
"""

from __future__ import annotations

import fcntl
import os
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

MOUNTS = Path("/proc/self/mounts")

NETWORK_TYPES = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs"),
        *("fuse.beegfs", "fuse.ceph", "fuse.glusterfs", "fuse.juicefs", "fuse.sshfs"),
    }
)

CHOICES = (
    "put it on a local disk (--url sqlite:////local/path/torc.db, for one node), "
    "or use a Postgres server (--url postgresql://HOST/NAME)"
)
"""What to do where SQLite is not safe."""


class Journal(Enum):
    """SQLite's way to make a transaction all or nothing."""

    WAL = "WAL"
    ROLLBACK = "DELETE"


def journal_for(path: Path) -> Journal:
    """The journal mode for a database at `path`. Raises StoreRefused where none is safe."""
    kind = kind_of(path.parent)
    if kind not in NETWORK_TYPES:
        return Journal.WAL
    if not _locks_work(path.parent):
        message = f"{path} lies on a network file system ({kind}) without working locks"
        raise StoreRefused(f"{message}; {CHOICES}")
    return Journal.ROLLBACK


def kind_of(folder: Path) -> str:
    """The type of the file system that `folder` is on now; '' if unknown."""
    return file_system(folder, _mounts())


def file_system(folder: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """The type of the file system that `folder` is on; '' if unknown."""
    place = os.path.realpath(folder)
    best, kind = "", ""
    for mount_point, mounted in mounts:
        inside = place == mount_point or place.startswith(mount_point.rstrip("/") + "/")
        if inside and len(mount_point) >= len(best):
            best, kind = mount_point, mounted
    return kind


def _mounts() -> list[tuple[str, str]]:
    """(mount point, type) of everything mounted; a later line covers an earlier one."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = (line.split() for line in lines)
    return [(_unescaped(field[1]), field[2]) for field in fields if field[2:]]


def _unescaped(text: str) -> str:
    """Blanks and the like stand as octal numbers in the mount table."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)


def _locks_work(folder: Path) -> bool:
    """Whether a lock taken here is seen by another process."""
    probe = folder / f".torc-lock-probe-{os.getpid()}"
    try:
        with probe.open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _another_process_is_refused(probe)
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _another_process_is_refused(probe: Path) -> bool:
    child = os.fork()
    if child == 0:
        try:
            with probe.open("r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
