"""Which processes belong to a sandbox, and the end of all of them.

Separate because it looks at every process of the machine, and must be sure of each that it calls
the sandbox's own: whatever was killed or started again before, and whoever else runs Slurm here.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox.daemons import MARK
from slurmtorc.sandbox.processes import Process, Seen, end, gone, look, read_record, send

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slurmtorc.sandbox.place import Layout

_STEP_DAEMON = "slurmstepd"
_JOB_GRACE = 1.0
_SWEEPS = 20


class Role(StrEnum):
    """What a process is to its sandbox."""

    DAEMON = "daemon"
    STEP = "step"
    """Slurm's own process that looks after a step of a job."""
    JOB = "job"


def end_all(place: Layout) -> int:
    """End every process of the sandbox; how many there were.

    Daemons first, so that they start nothing more. What runs in jobs is asked to end, and has a
    second to do so.
    """
    ended: set[Process] = set()
    for _ in range(_SWEEPS):
        found = find(place)
        if not found:
            return len(ended)
        ended.update(found)
        daemons, steps, jobs = ([x for x, is_ in found.items() if is_ is role] for role in Role)
        end(daemons)
        send(jobs, signal.SIGTERM)
        gone(jobs, _JOB_GRACE)
        end([*jobs, *steps])
    raise SandboxError(f"processes of {place.directory} keep coming; try again")


def find(place: Layout) -> dict[Process, Role]:
    """Every process of the sandbox, whatever was killed before.

    Daemons by record and by mark; step daemons, whose title overwrites their environment, by
    the directory they stand in; jobs by the environment Slurm gave them; and all their children.
    We ourselves and our ancestors are none.
    """
    everybody = {seen.process.pid: seen for seen in _survey()}
    known = {read_record(path) for path in place.run.glob("*.process")}
    found = {
        pid: Role.DAEMON if seen.process in known else role
        for pid, seen in everybody.items()
        if (role := _role(seen, place)) or seen.process in known
    }
    _add_children(found, everybody)
    for pid in _ancestors(os.getpid(), everybody):
        found.pop(pid, None)
    return {everybody[pid].process: role for pid, role in found.items() if role}


def strays(place: Layout, name: str) -> list[Process]:
    """Processes that carry the mark of one daemon."""
    wanted = f"{MARK}={place.directory}:{name}".encode()
    return [
        seen.process
        for seen in _survey()
        if not seen.command.startswith(_STEP_DAEMON) and wanted in _environ(seen.process.pid)
    ]


def _survey() -> Iterator[Seen]:
    """All processes that have our root: the same path in another container is another place."""
    root = Path("/").stat()
    for entry in os.listdir("/proc"):  # noqa: PTH208  names alone are wanted
        with suppress(OSError):
            if entry.isdigit() and os.path.samestat(os.stat(f"/proc/{entry}/root"), root):  # noqa: PTH116  many, so cheaply
                seen = look(int(entry))
                if seen is not None:
                    yield seen


def _role(seen: Seen, place: Layout) -> Role | None:
    pid = seen.process.pid
    if seen.command.startswith(_STEP_DAEMON):
        return Role.STEP if _stands_in(pid, place.directory) else None
    environ = _environ(pid)
    if any(entry.startswith(f"{MARK}={place.directory}:".encode()) for entry in environ):
        return Role.DAEMON
    if f"SLURM_CONF={place.slurm_conf}".encode() in environ and any(
        entry.startswith(b"SLURMD_NODENAME=") for entry in environ
    ):
        return Role.JOB
    return None


def _environ(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []


def _stands_in(pid: int, directory: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), directory.stat())  # noqa: PTH116  as above
    return False


def _add_children(found: dict[int, Role | None], everybody: Mapping[int, Seen]) -> None:
    children: dict[int, list[int]] = {}
    for pid, seen in everybody.items():
        children.setdefault(seen.parent, []).append(pid)
    queue = list(found)
    while queue:
        parent = queue.pop()
        role = Role.DAEMON if found[parent] is Role.DAEMON else Role.JOB
        for pid in children.get(parent, []):
            if pid not in found:
                found[pid] = role
                queue.append(pid)


def _ancestors(pid: int, everybody: Mapping[int, Seen]) -> Iterator[int]:
    while pid in everybody:
        yield pid
        pid = everybody[pid].parent
