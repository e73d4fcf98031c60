"""How a sandbox comes to be, and how one that broke comes back: the order of things.

Separate from the public face because this is where daemons depend on each other. Making leaves
nothing behind if it fails; repairing never throws away accounting, queue or running jobs.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox import machine, packages
from slurmtorc.sandbox import plan as plans
from slurmtorc.sandbox.belonging import end_all
from slurmtorc.sandbox.claim import clear, remove
from slurmtorc.sandbox.client import resumable, usable
from slurmtorc.sandbox.daemons import mariadb_init
from slurmtorc.sandbox.runner import DaemonFailed, Runner
from slurmtorc.sandbox.status import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from slurmtorc.sandbox.client import Client
    from slurmtorc.sandbox.place import Layout
    from slurmtorc.sandbox.plan import Plan, Shape

_PORT_TRIES = 3
_REGISTERS_LATE = (23, 2)
"""From here on a controller may answer before accounting knows its cluster."""

_RECONFIGURES_BY_EXEC = (23, 11)
"""Up to here, reconfiguring is cheap, and makes nodes report at once to a new controller."""


def read_plan(place: Layout) -> Plan:
    """What the sandbox consists of, as it was made."""
    try:
        return plans.from_json(place.plan.read_text())
    except (OSError, SandboxError) as error:
        raise SandboxError(
            f"{place.plan} cannot be read: {error}; "
            f"end the sandbox with 'torc sandbox down{place.option}'"
        ) from error


class Maker:
    """Makes and repairs the sandbox in one directory, which nobody else changes meanwhile."""

    def __init__(self, place: Layout, client: Client, say: Callable[[str], None]) -> None:
        self._place = place
        self._client = client
        self._say = say

    def make(self, shape: Shape) -> Plan:
        """From nothing, or from what a broken-off attempt left; nothing is left if it fails."""
        if problem := machine.name_problem():
            self._say(problem)
        try:
            end_all(self._place)
            clear(self._place)
            self._prepare(shape.node_names)
            plan = self._begin(machine.draw(shape, self._place))
            self._associate(plan)
            self._await_nodes(plan)
            self._place.ready.touch()
        except BaseException:
            end_all(self._place)
            remove(self._place)
            raise
        return plan

    def repair(self, plan: Plan, wanted: Mapping[str, Any]) -> tuple[Plan, tuple[str, ...]]:
        """The plan it has now, and what was done, in words. It keeps its shape."""
        if unlike := plans.differences(plan.shape, wanted):
            raise SandboxError(
                f"the sandbox in {self._place.directory} has {'; '.join(unlike)}: "
                f"choose another --dir, or 'torc sandbox down{self._place.option}' first"
            )
        seen = status(plan, Runner(self._place, plan), self._client)
        if seen.healthy:
            return plan, ()
        self._configure(plan)
        try:
            plan, started = self._raise_again(plan, seen.fallen)
            if "slurmctld" in started and plan.version < _RECONFIGURES_BY_EXEC:
                self._client.reconfigure()
            self._await_nodes(plan)
        except DaemonFailed as failure:
            self._end(plan, seen.dead)
            raise SandboxError(
                f"{failure}\n"
                "the sandbox cannot be repaired; a new one can be made after "
                f"'torc sandbox down{self._place.option}'"
            ) from failure
        done = [f"started {name}" for name in started]
        done += [f"resumed {name}" for name, state in seen.nodes.items() if resumable(state)]
        return plan, tuple(done) or ("waited for its nodes",)

    # ── making ───────────────────────────────────────────────────────────────

    def _prepare(self, nodes: Iterable[str]) -> None:
        for folder in self._place.folders:
            folder.mkdir(mode=0o700)
        for node in nodes:
            self._place.spool(node).mkdir(mode=0o700)
        _write(self._place.munge_key, os.urandom(128))
        tables = packages.find(packages.SYSTEM_TABLES)
        if tables is None:
            raise SandboxError("MariaDB's script of system tables was not found")
        _write(self._place.mariadb_init, mariadb_init(tables.read_text()).encode())

    def _begin(self, plan: Plan) -> Plan:
        """Start everything; if somebody was faster at a port, again with others."""
        for _ in range(_PORT_TRIES - 1):
            try:
                return self._start(plan)
            except DaemonFailed as failure:
                if not failure.port_taken:
                    raise
            end_all(self._place)
            plan = replace(plan, ports=machine.draw_ports(plan.shape))
        return self._start(plan)

    def _start(self, plan: Plan) -> Plan:
        self._configure(plan)
        self._start_daemons(plan, plan.daemons)
        return plan

    def _configure(self, plan: Plan) -> None:
        from slurmtorc.sandbox.config import render  # noqa: PLC0415  Jinja2 is for making only

        _write(self._place.plan, plans.to_json(plan).encode())
        for name, text in render(self._place, plan).items():
            _write(self._place.directory / name, text.encode())

    def _start_daemons(self, plan: Plan, names: tuple[str, ...]) -> None:
        """In their order; those that do not need each other come up together."""
        runner = Runner(self._place, plan)
        for group in (("munge", "mariadb"), ("slurmdbd",), ("slurmctld",), plan.shape.node_names):
            together = [name for name in group if name in names]
            for name in together:
                runner.start(name)
            for name in together:
                runner.wait(name)

    def _associate(self, plan: Plan) -> None:
        client, runner = self._client, Runner(self._place, plan)
        if plan.version >= _REGISTERS_LATE:
            runner.wait_until(client.registered, "slurmctld", "slurmdbd")
        client.associate(plan)
        runner.wait_until(lambda: client.associated(plan), "slurmctld", "slurmdbd")

    def _await_nodes(self, plan: Plan) -> None:
        """Until every node takes jobs; one that answers but was taken away is given back."""

        def settled() -> bool:
            nodes = self._client.nodes()
            if away := [name for name, state in nodes.items() if resumable(state)]:
                self._client.resume(away)
            return bool(nodes) and all(map(usable, nodes.values()))

        Runner(self._place, plan).wait_until(settled, *plan.shape.node_names, "slurmctld")

    # ── repairing ────────────────────────────────────────────────────────────

    def _raise_again(self, plan: Plan, fallen: tuple[str, ...]) -> tuple[Plan, tuple[str, ...]]:
        try:
            self._start_daemons(plan, fallen)
        except DaemonFailed as failure:
            if not failure.port_taken:
                raise
            self._say("a port was taken meanwhile: starting everything on other ports")
            end_all(self._place)
            plan = self._begin(replace(plan, ports=machine.draw_ports(plan.shape)))
            return plan, plan.daemons
        return plan, fallen

    def _end(self, plan: Plan, names: Iterable[str]) -> None:
        runner = Runner(self._place, plan)
        for name in names:
            runner.stop(name, signal.SIGKILL)


def _write(path: Path, content: bytes) -> None:
    """A whole file or none, that only we can read: Slurm and MUNGE insist on it for secrets."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.chmod(0o600)
    new.replace(path)
