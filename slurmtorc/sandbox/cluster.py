"""A sandbox as a whole: up, down, status, and single daemons for fault drills.

The public face of the package. Whatever moment a command is killed at, the next `up` goes on or
begins again, and the next `down` cleans up; three files say how far it had come:

    marker   the directory is ours           written first, removed last
    plan     what is being made              written before the first daemon starts
    ready    it has been up once             without it, `up` begins again
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox import making, packages
from slurmtorc.sandbox.belonging import end_all
from slurmtorc.sandbox.claim import clear, held, is_sandbox, made, remove
from slurmtorc.sandbox.client import Client
from slurmtorc.sandbox.daemons import client_environment
from slurmtorc.sandbox.place import layout
from slurmtorc.sandbox.plan import shape
from slurmtorc.sandbox.runner import Health, Runner
from slurmtorc.sandbox.status import Status, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from slurmtorc.sandbox.plan import Plan


@dataclass(frozen=True, slots=True)
class Up:
    """What `up` found and did."""

    plan: Plan
    done: tuple[str, ...]
    """What it had to do, in words; nothing if all was well."""
    new: bool


class Cluster:
    """The sandbox in one directory, there or not. `say` is told what people may want to know."""

    def __init__(
        self, directory: str | Path | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.place = layout(directory)
        self._say = say

    # ── what it is ───────────────────────────────────────────────────────────

    def plan(self) -> Plan | None:
        """What the sandbox consists of; None if there is none, or none that was ever ready."""
        if not is_sandbox(self.place) or not self.place.ready.exists():
            return None
        return making.read_plan(self.place)

    def running_plan(self) -> Plan:
        """The plan of a sandbox that is up, or at least partly. Raises SandboxError."""
        plan = self.plan()
        if plan is None or not Runner(self.place, plan).any_alive():
            raise self._absent()
        return plan

    def status(self) -> Status | None:
        """How it is now; None if it is not there."""
        plan = self.plan()
        if plan is None:
            return None
        return status(plan, Runner(self.place, plan), Client(self.environment()))

    def environment(self) -> dict[str, str]:
        """Our environment, but for Slurm's commands to mean this cluster."""
        return client_environment(self.place, os.environ)

    # ── up and down ──────────────────────────────────────────────────────────

    def up(self, *, install: bool = False, **wanted: Any) -> Up:
        """Make the sandbox, or repair it, or find it well. `wanted` are fields of Shape."""
        asked = shape(wanted)
        packages.ensure(install=install, say=self._say)
        with self._explained("made"), made(self.place, self._waiting):
            maker = making.Maker(self.place, Client(self.environment()), self._say)
            if not self.place.ready.exists():
                return Up(maker.make(asked), ("made it",), new=True)
            plan, done = maker.repair(making.read_plan(self.place), wanted)
            return Up(plan, done, new=False)

    def down(self, *, keep_logs: bool = False) -> int | None:
        """End everything and remove the directory; how many processes ended, None if no sandbox."""
        with self._explained("ended"), held(self.place, self._waiting) as there:
            if not there:
                return None
            self.place.ready.unlink(missing_ok=True)
            ended = end_all(self.place)
            if keep_logs:
                clear(self.place, but=(self.place.logs,))
            else:
                remove(self.place)
            return ended

    # ── fault drills ─────────────────────────────────────────────────────────

    def start(self, name: str) -> bool:
        """Start one daemon and wait until it serves; False if it already did."""
        with self._explained("changed"), held(self.place, self._waiting):
            runner = self._runner_of(name)
            if runner.health(name) is Health.ALIVE:
                return False
            runner.start(name)
            runner.wait(name)
            return True

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> bool:
        """Signal one daemon, as Runner.stop does; False if it was not running."""
        with self._explained("changed"), held(self.place, self._waiting):
            return self._runner_of(name).stop(name, number)

    def _runner_of(self, name: str) -> Runner:
        plan = self.plan()
        if plan is None:
            raise self._absent()
        if name not in plan.daemons:
            raise SandboxError(
                f"the sandbox has no daemon {name!r}; it has {', '.join(plan.daemons)}"
            )
        return Runner(self.place, plan)

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        """A full or read-only disk is no fault of the program's."""
        try:
            yield
        except OSError as error:
            why = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
            raise SandboxError(
                f"the sandbox in {self.place.directory} cannot be {done}: {why}"
            ) from error

    def _absent(self) -> SandboxError:
        return SandboxError(
            f"no sandbox is up in {self.place.directory}; "
            f"start one with 'torc sandbox up{self.place.option}'"
        )

    def _waiting(self) -> None:
        self._say(f"waiting for another 'torc sandbox' at work in {self.place.directory}")
