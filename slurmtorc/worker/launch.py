"""LocalLauncher: a job is a process of its own session, and its end is told by the kernel.

Each job gets a new session, so that a signal to the worker's terminal never reaches it and its
whole family can be found. Ends are noticed by a pidfd in an epoll set, where the kernel has
pidfds (Linux 5.3), and by SIGCHLD where it has not; nobody polls. What a job leaves running in
its process group ends with it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import resource
import select
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.ports import Exit
from slurmtorc.slurm.commands import LAUNCHER_MARK
from slurmtorc.worker.guard import Guard
from slurmtorc.worker.monitor import Monitor, process_of
from slurmtorc.worker.spawn import SHORTAGES, Spawner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from slurmtorc.ports import Clock, Order

log = logging.getLogger(__name__)

_SPARE = 64
"""Descriptors that are left for all else: stores, files, /proc."""
PATIENCE_S = 60.0
"""How long a process is tried to be started while there is a shortage."""


@dataclass(slots=True)
class _Running:
    """One process on its way."""

    order: Order
    pid: int
    started: float
    pidfd: int | None
    over_memory: bool = False
    strays: dict[int, int] = field(default_factory=dict)
    """Pid -> start of processes that had left its group when it was told to stop."""


class LocalLauncher:
    """Starts processes on this machine."""

    def __init__(
        self, clock: Clock, environ: Mapping[str, str], monitor: Monitor | None = None
    ) -> None:
        self._clock = clock
        self._guard = Guard()
        self._spawner = Spawner({**environ, LAUNCHER_MARK: self._guard.mark})
        self._monitor = monitor or Monitor()
        self._running: dict[int, _Running] = {}
        self._postponed: dict[int, tuple[Order, float]] = {}
        """Orders that met a shortage, and when they were given."""
        self._by_fd: dict[int, int] = {}
        self._most = max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE)
        """Pidfds that may be open at a time."""
        self._ended: list[Exit] = []
        self._epoll = select.epoll()
        self._wakeup = _Wakeup(self._epoll)

    def close(self) -> None:
        """Give back descriptors and the signal wake-up. Jobs that still run are killed."""
        self._wakeup.close()
        self._guard.close()
        self._spawner.close()
        for running in self._running.values():
            if running.pidfd is not None:
                os.close(running.pidfd)
        self._epoll.close()

    # ── the port ─────────────────────────────────────────────────────────────

    def start(self, order: Order) -> None:
        """Start a process; one that cannot be started comes back from poll()."""
        now = self._clock.now()
        if not self._begun(order, now, patient=True):
            log.warning("Job waits for a process: none can be started now job_id=%d", order.key)
            self._postponed[order.key] = (order, now)

    def poll(self) -> list[Exit]:
        """Processes that ended since the last call."""
        if not self._ended:  # else the wait has just collected
            self._collect(0)
        self._sample()
        self._try_again()
        ended, self._ended = self._ended, []
        return ended

    def stop(self, key: int, *, hard: bool) -> None:
        """The order's signal, or KILL, for the process and all of its family."""
        if key in self._postponed:
            order, now = self._postponed.pop(key)[0], self._clock.now()
            self._ended.append(
                Exit(key=key, code=None, signal=order.stop_signal, start_time=now, end_time=now)
            )
        if key not in self._running:
            return
        number = signal.SIGKILL if hard else self._running[key].order.stop_signal
        strays = self._monitor.strays(key)  # looked up while their parents still live
        with contextlib.suppress(ProcessLookupError, PermissionError):  # some are not ours: sudo
            # All at once: a shell told after its child would go on to its next command.
            os.killpg(self._running[key].pid, number)
        self._running[key].strays |= strays
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def wait(self, seconds: float, bell: int | None = None) -> bool:
        """Rest, but no longer than until a process ends, a signal comes, or the bell rings."""
        now = self._clock.now()
        due = self._monitor.due(now)
        if self._ended or (due is not None and due <= now):
            return True
        if due is not None:
            seconds = min(seconds, due - now)
        if bell is None:
            return self._collect(max(0.0, seconds))
        with self._listening(bell):
            return self._collect(max(0.0, seconds))

    def running(self) -> Collection[int]:
        """The keys of processes that have not come back from poll()."""
        return self._running.keys() | self._postponed.keys() if self._postponed else self._running

    # ── starting ─────────────────────────────────────────────────────────────

    def _begun(self, order: Order, now: float, *, patient: bool) -> bool:
        """Start it, or say why that is impossible; False if it may be possible later."""
        try:
            if not self._running:
                self._guard.busy()
            pid = self._spawner.spawn(order)
        except OSError as error:
            if patient and error.errno in SHORTAGES:
                return False
            what = error.strerror or str(error)
            what = f"{what}: {error.filename}" if error.filename else what
            self._ended.append(_not_started(order, now, what))
        except ValueError as error:  # a NUL byte, which no program can be given
            self._ended.append(_not_started(order, now, str(error)))
        else:
            self._running[order.key] = _Running(order, pid, now, self._watched(order.key, pid))
            self._monitor.add(order.key, pid, now)
        return True

    def _try_again(self) -> None:
        """Start what met a shortage, the first of them first, as long as that goes well."""
        for key, (order, since) in list(self._postponed.items()):
            now = self._clock.now()
            if not self._begun(order, now, patient=now < since + PATIENCE_S):
                return
            del self._postponed[key]

    def _watched(self, key: int, pid: int) -> int | None:
        if len(self._by_fd) >= self._most:
            self._wakeup.on_children()
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # an old kernel, or no descriptor left: SIGCHLD tells
            self._wakeup.on_children()
            return None
        self._epoll.register(pidfd, select.EPOLLIN)
        self._by_fd[pidfd] = key
        return pidfd

    # ── ending ───────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _listening(self, bell: int) -> Iterator[None]:
        self._epoll.register(bell, select.EPOLLIN)
        try:
            yield
        finally:
            self._epoll.unregister(bell)

    def _collect(self, seconds: float) -> bool:
        """Reap what has ended; whether anything has happened at all."""
        happened = self._epoll.poll(seconds)
        for fd, _ in happened:
            if fd in self._by_fd:
                self._reap(self._running[self._by_fd[fd]])
            elif self._wakeup.drained(fd):
                for running in [r for r in self._running.values() if r.pidfd is None]:
                    self._reap(running)
        return bool(happened)

    def _reap(self, running: _Running) -> None:
        """End what is left of an ended process, and take its account.

        Whether it has ended is asked in any case. A process that is just being started has
        copies of our descriptors for a moment: so epoll may still tell of one that we have
        closed, by a number that is another one's by then.
        """
        if os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # Until it is reaped its process group cannot be anybody else's.
        try:  # noqa: SIM105  suppress() costs, and this is for every job
            os.killpg(running.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        _kill(running.strays)
        _, status, rusage = os.wait4(running.pid, 0)
        if running.pidfd is not None:
            os.close(running.pidfd)  # which ends epoll's interest in it, unless there is a copy
            del self._by_fd[running.pidfd]
        del self._running[running.order.key]
        if not self._running:
            self._guard.idle()
        self._ended.append(self._exit(running, status, rusage))

    def _exit(self, running: _Running, status: int, rusage: resource.struct_rusage) -> Exit:
        now = self._clock.now()
        code = os.waitstatus_to_exitcode(status)
        usage = self._monitor.end(running.order.key, now, rusage)
        return Exit(
            key=running.order.key,
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            start_time=running.started,
            end_time=now,
            over_memory=running.over_memory,
            peak_memory_bytes=usage.peak_memory_bytes,
            avg_memory_bytes=usage.avg_memory_bytes,
            peak_cpu_percent=usage.peak_cpu_percent,
            avg_cpu_percent=usage.avg_cpu_percent,
        )

    def _sample(self) -> None:
        now = self._clock.now()
        due = self._monitor.due(now)
        if due is None or now < due:
            return
        for key in self._over_limit(now):
            self._running[key].over_memory = True
            self.stop(key, hard=True)

    def _over_limit(self, now: float) -> set[int]:
        """Jobs that use too much by two looks: what processes share moves while they end."""
        over = self._above(self._monitor.look(now))
        return over and over & self._above(self._monitor.look(now))

    def _above(self, memory: Mapping[int, int]) -> set[int]:
        limits = {key: self._running[key].order.memory_limit for key in memory}
        return {key for key, used in memory.items() if used > (limits[key] or math.inf)}


def _kill(strays: Mapping[int, int]) -> None:
    """End what a stopped job left behind outside its group, if it is still the same process."""
    for pid, start in strays.items():
        process = process_of(pid)
        if process is not None and process.start_ticks == start:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _not_started(order: Order, now: float, why: str) -> Exit:
    return Exit(
        key=order.key, code=None, signal=None, start_time=now, end_time=now, launch_error=why
    )


class _Wakeup:
    """Makes a signal end the wait: Python would otherwise go on waiting after its handler."""

    def __init__(self, epoll: select.epoll) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        epoll.register(self._read, select.EPOLLIN)
        self._before: int | None = None
        self._child_handler: object = None
        with contextlib.suppress(ValueError):  # not the main thread: it gets no signals
            self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def on_children(self) -> None:
        """Let the end of a child wake us as well; one may have ended before we listened."""
        if self._child_handler is None:
            self._child_handler = signal.signal(signal.SIGCHLD, lambda *_: None)
            os.write(self._write, b"\0")

    def drained(self, fd: int) -> bool:
        """Whether `fd` is ours; it is empty again then."""
        if fd != self._read:
            return False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass
        return True

    def close(self) -> None:
        """Give everything back."""
        if self._before is not None:
            signal.set_wakeup_fd(self._before)
        if self._child_handler is not None:
            signal.signal(signal.SIGCHLD, self._child_handler)  # type: ignore[arg-type]
        os.close(self._read)
        os.close(self._write)
