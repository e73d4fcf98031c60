"""Peak and mean memory and CPU of every job, over its whole process tree.

Two sources. The kernel's account of the ended process (wait4's rusage) is complete even for the
shortest job: CPU time is taken from there. Samples of /proc see the tree as a whole: memory is
the largest sum seen (what processes share counts once), or the largest size that one of them
ever had. rusage's own peak memory is used where it can be trusted: Linux charges a child with
the size its parent had when it was started, so only a value above our own size is the job's. A
job too short to be sampled and smaller than that is told by its page faults.
"""

from __future__ import annotations

import math
import os
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1024
_FIRST_LOOKS = (0.1, 0.5, 2.0)
"""Ages at which a young process is looked at, before the interval sets in."""

_MIN_GAP = 0.1
"""Seconds between two looks at all processes, however many are due."""


class Usage(NamedTuple):
    """What one job used; bytes, and percent of one CPU."""

    peak_memory_bytes: int
    avg_memory_bytes: int
    peak_cpu_percent: float
    avg_cpu_percent: float


@dataclass(slots=True)
class _Track:
    """One job's process tree, seen so far."""

    pid: int
    started: float
    looks: int = 0
    peak_memory: int = 0
    memory_seconds: float = 0.0
    peak_cpu: float = 0.0
    last_look: float = 0.0
    last_memory: int = 0
    last_cpu: float = 0.0

    def see(self, now: float, members: Sequence[Process]) -> None:
        """One more sample."""
        memory = _together(members)
        cpu_seconds = sum(process.cpu_seconds for process in members)
        since = now - (self.last_look or self.started)
        if since > 0:
            self.memory_seconds += since * (memory if not self.looks else self.last_memory)
            self.peak_cpu = max(self.peak_cpu, 100 * (cpu_seconds - self.last_cpu) / since)
        self.looks += 1
        largest = max((_largest(process.pid) for process in members), default=0)
        self.peak_memory = max(self.peak_memory, memory, largest)
        self.last_look, self.last_memory, self.last_cpu = now, memory, cpu_seconds

    def due(self, interval: float) -> float:
        """When it is to be looked at next."""
        if self.looks < len(_FIRST_LOOKS):
            return self.started + min(_FIRST_LOOKS[self.looks], interval)
        return self.last_look + interval


class Monitor:
    """Watches the processes of one worker. Keys are the launcher's."""

    def __init__(self, interval: float = 5.0) -> None:
        self.interval = interval
        self._tracks: dict[int, _Track] = {}
        self._last = 0.0
        self._own_peak = 0
        """KiB; what we had when this was last worth asking."""
        self._due = math.inf
        """No process is due before."""

    def add(self, key: int, pid: int, now: float) -> None:
        """A process has been started."""
        track = self._tracks[key] = _Track(pid, now)
        self._due = min(self._due, track.due(self.interval))

    def due(self, now: float) -> float | None:
        """When to look next; None if there is nothing to look at.

        Most processes that were to be looked at have ended by then, where jobs are short: so it
        is worked out only when the moment seems to have come.
        """
        if not self._tracks:
            self._due = math.inf
            return None
        if self._due <= now:
            self._due = min(track.due(self.interval) for track in self._tracks.values())
        return max(self._due, self._last + _MIN_GAP)

    def look(self, now: float) -> Mapping[int, int]:
        """Look at all processes; key -> bytes in use now."""
        self._last = now
        trees = _trees(processes(), {track.pid: key for key, track in self._tracks.items()})
        for key, members in trees.items():
            self._tracks[key].see(now, members)
        return {key: track.last_memory for key, track in self._tracks.items() if track.looks}

    def strays(self, key: int) -> dict[int, int]:
        """Processes of a job's tree that are not in its leader's group: pid -> start_ticks."""
        leader = self._tracks[key].pid
        tree = _trees(processes(), {leader: key}).get(key, ())
        return {p.pid: p.start_ticks for p in tree if p.group != leader}

    def end(self, key: int, now: float, rusage: resource.struct_rusage) -> Usage:
        """The process has ended; the account of all of it."""
        track = self._tracks.pop(key)
        elapsed = max(now - track.started, 1e-6)
        average_cpu = 100 * (rusage.ru_utime + rusage.ru_stime) / elapsed
        peak = max(track.peak_memory, self._by_kernel(rusage, seen=track.looks > 0))
        mean = peak
        if track.looks:
            seconds = track.memory_seconds + (now - track.last_look) * track.last_memory
            mean = min(peak, int(seconds / elapsed))
        return Usage(peak, mean, max(track.peak_cpu, average_cpu), average_cpu)

    def _by_kernel(self, rusage: resource.struct_rusage, *, seen: bool) -> int:
        """Peak memory by the kernel's account, as far as it is the job's own.

        Page faults add up over all processes of a job, so they say something only of a short one.
        """
        if rusage.ru_maxrss > self._own_peak:  # it has not become smaller since
            self._own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if rusage.ru_maxrss > self._own_peak:
            return rusage.ru_maxrss * _KIB
        if seen:
            return 0
        return min(rusage.ru_maxrss * _KIB, (rusage.ru_minflt + rusage.ru_majflt) * _PAGE)


# ── /proc ────────────────────────────────────────────────────────────────────


class Process(NamedTuple):
    """One process of the machine, as /proc/PID/stat tells of it."""

    pid: int
    parent: int
    group: int
    session: int
    cpu_seconds: float
    memory: int
    start_ticks: int


def processes() -> list[Process]:
    """Every process there is; those that end while we read are left out.

    None where /proc cannot be read, as without a descriptor left: jobs go on unmeasured.
    """
    found: list[Process] = []
    try:
        names = os.listdir("/proc")  # noqa: PTH208  names only, many times a minute
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            process = process_of(int(name))
            if process is not None:
                found.append(process)
    return found


def process_of(pid: int) -> Process | None:
    """One process; None if it has ended (a zombie has)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123  as above
            # The name is in parentheses and may hold anything, parentheses too.
            values = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if values[0] in {b"Z", b"X"}:
        return None
    cpu = sum(int(value) for value in values[11:15]) / _TICKS  # with its waited-for children
    parent, group, session = (int(value) for value in values[1:4])
    memory, start_ticks = int(values[21]) * _PAGE, int(values[19])
    return Process(pid, parent, group, session, cpu, memory, start_ticks)


def _together(members: Sequence[Process]) -> int:
    """The memory of processes, with what several of them share counted once."""
    if len(members) == 1:
        return members[0].memory
    return sum(_share(process) for process in members)


def _share(process: Process) -> int:
    """A process's memory; of pages that it shares with others, its part."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:  # noqa: PTH123  as below
            _, found, rest = file.read().partition(b"\nPss:")
    except OSError:
        found = rest = b""
    if found:
        return int(rest.split(None, 1)[0]) * _KIB
    # An old kernel, or another user's process; if it has ended, its pages are the others' by now.
    return process.memory if process_of(process.pid) else 0


def _largest(pid: int) -> int:
    """The most memory that a process has had since it began its program; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:  # noqa: PTH123  many times a minute
            _, found, rest = status.read().partition(b"VmHWM:")
    except OSError:
        return 0
    return int(rest.split(None, 1)[0]) * _KIB if found else 0


def _trees(everything: Iterable[Process], roots: Mapping[int, int]) -> dict[int, list[Process]]:
    """Key -> the processes that belong to a job: its session, and descendants that left it."""
    by_pid = {process.pid: process for process in everything}
    owner: dict[int, int | None] = {}

    def find(pid: int) -> int | None:
        """The job a process belongs to, through its session or its parents."""
        if pid not in owner:
            owner[pid] = None  # ends the walk should /proc show a circle
            process = by_pid.get(pid)
            if process is not None:
                own = roots.get(process.pid, roots.get(process.session))
                owner[pid] = find(process.parent) if own is None else own
        return owner[pid]

    trees: dict[int, list[Process]] = {}
    for pid, process in by_pid.items():
        key = find(pid)
        if key is not None:
            trees.setdefault(key, []).append(process)
    return trees
