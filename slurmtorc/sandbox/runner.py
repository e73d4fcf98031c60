"""Single daemons: start one and see it ready, stop one, say how one is.

Separate from the order of things (making.py), because fault drills do the same one by one.
"""

from __future__ import annotations

import os
import signal
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox import machine, processes
from slurmtorc.sandbox.belonging import strays
from slurmtorc.sandbox.daemons import command, environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.sandbox.place import Layout
    from slurmtorc.sandbox.plan import Plan
    from slurmtorc.sandbox.processes import Process

_READY_SECONDS = 60
_STEP_SECONDS = 0.01
_ORPHAN_SECONDS = 1
_STOP_SECONDS = 10
_TAIL_LINES = 8
_PORT_TAKEN = "Address already in use"
_ENDING = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT})


class Health(StrEnum):
    """How a daemon is."""

    ALIVE = "alive"
    HALTED = "halted"
    """There, but stopped by a signal."""
    DEAD = "dead"


class DaemonFailed(SandboxError):
    """A daemon ended while it was to become ready, or did not become it."""

    def __init__(self, name: str, problem: str, tail: list[str]) -> None:
        said = "".join(f"\n    {line}" for line in tail)
        super().__init__(f"{name} {problem}{'; its last words:' if tail else ''}{said}")
        self.port_taken = any(_PORT_TAKEN in line for line in (problem, *tail))


class Runner:
    """Starts and stops the daemons of one plan."""

    def __init__(self, place: Layout, plan: Plan) -> None:
        self._place = place
        self._plan = plan

    def process(self, name: str) -> Process | None:
        """The process that was last started as this daemon."""
        return processes.read_record(self._place.record(name))

    def health(self, name: str) -> Health:
        """How the daemon is now."""
        process = self.process(name)
        if process is None or not processes.alive(process):
            return Health.DEAD
        return Health.HALTED if processes.halted(process) else Health.ALIVE

    def any_alive(self) -> bool:
        """Whether any daemon is there."""
        return any(self.health(name) is not Health.DEAD for name in self._plan.daemons)

    def start(self, name: str) -> None:
        """Start the daemon, or let a halted one go on. Does not wait until it is ready."""
        process = self.process(name)
        if process is not None and processes.alive(process):
            processes.send([process], signal.SIGCONT)
            return
        processes.end(strays(self._place, name))
        self._check_port(name)
        process = processes.start(
            command(name, self._place, self._plan),
            environment(name, self._place, os.environ),
            self._place.directory,
            self._place.output(name),
        )
        processes.write_record(self._place.record(name), process)

    def wait(self, name: str) -> None:
        """Until the daemon serves. Raises DaemonFailed if it ends, or never does."""
        self.wait_until(lambda: self._serves(name), name)

    def wait_until(self, test: Callable[[], bool], *names: str) -> None:
        """Until the test holds; as long as all these daemons live."""
        end = time.monotonic() + _READY_SECONDS
        while not test():
            for name in names:
                if self.health(name) is Health.DEAD:
                    raise DaemonFailed(name, "ended while starting", self._tail(name))
            if time.monotonic() > end:
                problem = f"is not ready after {_READY_SECONDS} s"
                raise DaemonFailed(names[0], problem, self._tail(names[0]))
            time.sleep(_STEP_SECONDS)

    def stop(self, name: str, number: signal.Signals) -> bool:
        """Signal the daemon, and wait until it has ended or halted, if that is what it will do.

        False if it was not running.
        """
        process = self.process(name)
        if process is None or not processes.alive(process):
            return False
        processes.send([process], number)
        if number in _ENDING and not processes.gone([process], _STOP_SECONDS):
            processes.end([process])
        while number is signal.SIGSTOP and self.health(name) is Health.ALIVE:
            time.sleep(_STEP_SECONDS)
        return True

    def _check_port(self, name: str) -> None:
        """Whoever listens there would look like our daemon, ready.

        It may be a child of the daemon before, which is about to notice that it is alone.
        """
        port = self._plan.ports.get(name)
        end = time.monotonic() + _ORPHAN_SECONDS
        while port is not None and machine.listening(port):
            if time.monotonic() > end:
                raise DaemonFailed(name, f"cannot listen on port {port}: {_PORT_TAKEN}", [])
            time.sleep(_STEP_SECONDS)

    def _serves(self, name: str) -> bool:
        sockets = {"munge": self._place.munge_socket, "mariadb": self._place.mariadb_socket}
        if self.health(name) is not Health.ALIVE:
            return False
        if name in sockets:
            return machine.answers(sockets[name])
        return machine.listening(self._plan.ports[name])

    def _tail(self, name: str) -> list[str]:
        try:
            text = self._place.output(name).read_text(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-_TAIL_LINES:]
