"""A simulated cluster with the face of a real one, for tests that run on both.

Scripts are run as far as such tests need it: `sleep` takes simulated time, and everything else
really runs, at once, with Slurm's variables in its environment.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from slurmtorc.model import Partition, Site, SlurmState
from slurmtorc.sandbox.plan import Shape
from slurmtorc.sim.clock import SimClock
from slurmtorc.sim.cluster import Configuration
from slurmtorc.sim.slurm import SimSlurm

if TYPE_CHECKING:
    from simpy.events import Event

    from slurmtorc.sim.booking import Booking

MIB = 1024**2
TERM, KILL = 143, 137
LONG_S = 1e5


class Tasks:
    """The worker of one allocation."""

    def __init__(self, clock: SimClock, booking: Booking) -> None:
        self.clock = clock
        self.done: Event = clock.env.event()
        words = _worker(booking.script.text)
        _log(booking).touch()
        if words[0] == "sleep":
            callbacks = clock.env.timeout(float(words[1])).callbacks
            assert callbacks is not None
            callbacks.append(lambda _: self._end(0))
        else:
            self._end(max(_run(words, booking, node) for node in booking.nodes))

    def signal(self, *, hard: bool) -> None:
        self._end(KILL if hard else TERM)

    def lose(self, _node: str) -> None:
        self._end(KILL)

    def _end(self, code: int) -> None:
        if not self.done.triggered:
            self.done.succeed(code)


def _worker(text: str) -> list[str]:
    """What follows srun and its options in the script's last command."""
    command = text.replace("\\\n", " ").rstrip().splitlines()[-1]
    words = [word for word in shlex.split(command) if not word.startswith("${")]
    assert words[:2] == ["exec", "srun"]
    options = next(at for at, word in enumerate(words[2:], 2) if not word.startswith("--"))
    return words[options:]


def _log(booking: Booking) -> Path:
    found = re.search(r"^#SBATCH --output=\"?([^\"\n]*)", booking.script.text, re.MULTILINE)
    assert found
    return Path(found[1].replace("%j", str(booking.number)))


def _run(words: list[str], booking: Booking, node: str) -> int:
    env = {
        **os.environ,
        "SLURMD_NODENAME": node,
        "SLURM_CPUS_ON_NODE": str(booking.request.cpus),
        "SLURM_MEM_PER_NODE": str(booking.request.memory_bytes // MIB),
    }
    code = subprocess.run(words, env=env, cwd=booking.script.directory, check=False).returncode
    return code % 256


@dataclass(frozen=True)
class SimTime:
    """What the module `time` would say there."""

    clock: SimClock

    def time(self) -> float:
        return self.clock.now()

    monotonic = time

    def time_ns(self) -> int:
        return int(self.clock.now() * 1e9)

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)


@dataclass(frozen=True)
class SimulatedPlan:
    """The part of a sandbox's plan that tests look at."""

    shape: Shape


class SimulatedCluster:
    """Looks like a RunningCluster."""

    account = "sandbox"

    def __init__(self, *, nodes: int = 3, settings: tuple[tuple[str, str], ...] = ()) -> None:
        self.plan = SimulatedPlan(Shape(nodes=nodes))
        self.nodes = self.plan.shape.node_names
        clock = SimClock()
        self.time = SimTime(clock)
        self.slurm = SimSlurm(
            clock,
            _site(self.plan.shape),
            lambda booking: Tasks(clock, booking),
            Random(0),
            configuration=Configuration(
                accounts=frozenset({self.account}),
                min_job_age_s=float(dict(settings).get("MinJobAge", 300)),
            ),
        )

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """`scontrol update JobId=N EndTime=now+1`, as the owner of the cluster may do."""
        assert argv[:2] == ("scontrol", "update")
        booking = self.slurm.bookings[int(argv[2].removeprefix("JobId="))]
        self.slurm.end(booking, SlurmState.TIMEOUT)
        return subprocess.CompletedProcess(argv, 0, "", "")

    def stop(self, daemon: str) -> None:
        self._away(**{_FIELDS[daemon]: ((0.0, LONG_S),)})

    def start(self, daemon: str) -> None:
        self._away(**{_FIELDS[daemon]: ()})

    def _away(self, **spans: Any) -> None:
        self.slurm.faults = replace(self.slurm.faults, **spans)


_FIELDS = {"slurmctld": "controller_away", "slurmdbd": "accounting_away"}


def _site(shape: Shape) -> Site:
    partition = Partition(
        name="debug",
        cpus=shape.cpus,
        memory_bytes=shape.memory * MIB,
        nodes=shape.nodes,
        max_walltime_s=3600,
        is_default=True,
    )
    return Site(name="sandbox", partitions=(partition,))
