"""Fixtures for tests on real clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from torc import Torc

from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster import RunningCluster


@pytest.fixture
def torc(cluster: RunningCluster, tmp_path: Path) -> Torc:
    """The command line, in a folder of its own, where Slurm is."""
    return Torc(tmp_path, cluster.env)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """The store the commands use, looked at from outside."""
    opened = SqlStore(f"sqlite:///{tmp_path}/torc_output/torc.db")
    yield opened
    opened.close()


@pytest.fixture
def watching(torc: Torc) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `torc watch`; what still runs after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        started.append(torc.start("watch", *arguments))
        return started[-1]

    yield start
    for watch in started:
        if watch.poll() is None:
            watch.kill()
            watch.communicate()
