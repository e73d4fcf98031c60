"""Real Slurm clusters for the tests, by `torc sandbox` itself: a shared one, and ones to break.

Each lies in a directory named after the process that made it. So whatever way a test run ends,
even by a kill, the next one finds what is left of it and brings it down.
"""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slurmtorc.sandbox.cluster import Cluster
from slurmtorc.sandbox.packages import install_line, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from slurmtorc.sandbox.plan import Plan

_PARENT = Path("/tmp")  # short, for Unix sockets: not below pytest's own directories
_PREFIX = f"torc-test-{os.getuid()}-"
_numbers = itertools.count(1)


def eventually(test: Callable[[], object], seconds: float = 30) -> None:
    """Wait for what other processes do; a test that waits in vain fails, and does not hang."""
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, f"not after {seconds} s"
        time.sleep(0.01)


@dataclass(frozen=True)
class RunningCluster:
    """A sandbox that is up."""

    sandbox: Cluster
    plan: Plan

    @property
    def directory(self) -> Path:
        return self.sandbox.place.directory

    @property
    def env(self) -> Mapping[str, str]:
        """For subprocesses: our environment, with Slurm's commands meaning this cluster."""
        return self.sandbox.environment()

    @property
    def account(self) -> str:
        return self.plan.account

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.plan.shape.node_names

    def run(self, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command, in the cluster's directory; what it prints and its exit status."""
        given = {"input": "", "timeout": 60, "cwd": self.directory, **options}
        return subprocess.run(
            argv, env=self.env, text=True, capture_output=True, check=False, **given
        )

    def stop(self, daemon: str, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.sandbox.stop(daemon, number), f"{daemon} was not running"

    def start(self, daemon: str) -> None:
        assert self.sandbox.start(daemon), f"{daemon} was running"


@pytest.fixture(scope="session")
def _slurm() -> None:
    """Slurm's programs are here: otherwise tests are skipped, or fail where they must not be."""
    needs = missing()
    if needs:
        reason = f"Slurm is not installed: {install_line(needs, root=os.geteuid() == 0)}"
        if os.environ.get("TORC_TEST_REQUIRE"):
            pytest.fail(reason)
        pytest.skip(reason)
    _bring_down_what_others_left()


@pytest.fixture(scope="session")
def cluster(_slurm: None) -> Iterator[RunningCluster]:
    """One cluster for all tests that break nothing: three nodes, and the usual account."""
    with directories() as another:
        yield bring_up(another())


@pytest.fixture
def own_cluster(_slurm: None) -> Iterator[Callable[..., RunningCluster]]:
    """Makes clusters for one test alone. Options are those of a sandbox's shape."""
    with directories() as another:
        yield lambda **options: bring_up(another(), **options)


@pytest.fixture
def sandbox_directory(_slurm: None) -> Iterator[Path]:
    """Where a test may make a sandbox by itself; whatever is there afterwards is brought down."""
    with directories() as another:
        yield another()


def bring_up(directory: Path, **options: Any) -> RunningCluster:
    """A sandbox of this shape in this directory; for fixtures of other scopes than these."""
    sandbox = Cluster(directory)
    return RunningCluster(sandbox, sandbox.up(**options).plan)


@contextmanager
def directories() -> Iterator[Callable[..., Path]]:
    """Names of directories, free to use; in the end no sandbox is in them."""
    given: list[Path] = []

    def another(*, length: int = 0) -> Path:
        name = f"{_PARENT}/{_PREFIX}{os.getpid()}-{next(_numbers)}"
        given.append(Path(name.ljust(length, "x")))
        return given[-1]

    try:
        yield another
    finally:
        for directory in given:
            Cluster(directory).down()


def _bring_down_what_others_left() -> None:
    for directory in _PARENT.glob(f"{_PREFIX}*"):
        maker = directory.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", maker).exists():
            Cluster(directory).down()


def age_intents(folder: Path, seconds: float) -> None:
    """Let intents be older than they are, as if the crash had been a while ago."""
    with sqlite3.connect(folder / "torc_output/torc.db") as connection:
        moments = "created_at = created_at - :s, asked_at = asked_at - :s"
        connection.execute(f"UPDATE allocation SET {moments}", {"s": seconds})
    connection.close()
