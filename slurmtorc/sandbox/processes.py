"""Processes: told apart for good, noted, started, signalled and seen to end.

Separate because a mistake here ends somebody else's process. A process is its pid with its start
time, never a pid alone; signals go through a pidfd that was checked after it was opened.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_LAUNCH = 'echo $$; exec "$@" >>"$0" 2>&1'
"""Prints its pid, which stays that of the program it becomes."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from any later one with the same pid."""

    pid: int
    start: int
    """Clock ticks after the machine's start."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What /proc says of a process."""

    process: Process
    parent: int
    state: str
    command: str


def look(pid: int) -> Seen | None:
    """The process as it is now; None if there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    command, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    if fields[0] in "ZX":
        return None
    return Seen(Process(pid, int(fields[19])), int(fields[1]), fields[0], command)


def alive(process: Process) -> bool:
    """Whether it is there."""
    seen = look(process.pid)
    return seen is not None and seen.process == process


def halted(process: Process) -> bool:
    """Whether it is there and stopped by a signal."""
    seen = look(process.pid)
    return seen is not None and seen.process == process and seen.state in "Tt"


# ── records: which process is which daemon ───────────────────────────────────


def write_record(path: Path, process: Process) -> None:
    """Note it in the sandbox's directory."""
    path.write_text(f"{process.pid} {process.start} {_boot()}\n")


def read_record(path: Path) -> Process | None:
    """The noted process, if this machine has not been started again since."""
    try:
        pid, start, boot = path.read_text().split()
        return Process(int(pid), int(start)) if boot == _boot() else None
    except (OSError, ValueError):
        return None


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


# ── starting ─────────────────────────────────────────────────────────────────


def start(argv: Sequence[str], env: Mapping[str, str], directory: Path, output: Path) -> Process:
    """Start a process that outlives us, in a session of its own, with no terminal."""
    launch = ("setsid", "--fork", "sh", "-c", _LAUNCH, str(output), *argv)
    done = subprocess.run(
        launch, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    pid = int(done.stdout)
    seen = look(pid)
    return seen.process if seen else Process(pid, -1)


# ── ending ───────────────────────────────────────────────────────────────────


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal exactly these processes; one that is gone is no error."""
    for process in processes:
        with ExitStack() as stack:
            handle = _open(process, stack)
            if handle is not None:
                with suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(handle, number)


def gone(processes: Collection[Process], seconds: float) -> bool:
    """Wait until all of them have ended, at most so long; whether they have."""
    with ExitStack() as stack:
        waiting = select.poll()
        left = {handle for process in processes if (handle := _open(process, stack)) is not None}
        for handle in left:
            waiting.register(handle, select.POLLIN)
        end = time.monotonic() + seconds
        while left and (rest := end - time.monotonic()) > 0:
            for handle, _ in waiting.poll(rest * 1000):
                waiting.unregister(handle)
                left.remove(handle)
        return not left


def _open(process: Process, stack: ExitStack) -> int | None:
    """A handle on this very process; None if it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, handle)
    return handle if alive(process) else None


def end(processes: Collection[Process], *, patience: float = 5) -> None:
    """Kill them, and see them gone."""
    send(processes, signal.SIGKILL)
    if not gone(processes, patience):
        left = ", ".join(str(process.pid) for process in processes if alive(process))
        raise SandboxError(f"process {left} does not end, even by SIGKILL; try again")
