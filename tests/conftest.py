"""Fixtures for all tests: stores of every kind, and one clock that a test moves by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from torc import Torc

from slurmtorc.clock import ManualClock
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["cluster", "postgres"]

OURS = ("TORC_", "SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SINFO_")


def pytest_configure() -> None:
    """Run in the background, Ctrl-C may be ignored; programs started here must not inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nothing_inherited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings, the home or the Slurm of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(OURS) and name != "TORC_TEST_REQUIRE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


STORES = ["memory", "file", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty place for a store of each kind."""
    return _place(request, tmp_path)


def _place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "sqlite://"
    if request.param == "file":
        return f"sqlite:///{tmp_path}/torc.db"
    url: str = request.getfixturevalue("fresh_postgres")
    return url


@pytest.fixture
def store(store_url: str, clock: ManualClock) -> Iterator[SqlStore]:
    opened = SqlStore(store_url, clock)
    yield opened
    opened.close()


@pytest.fixture(params=STORES[1:])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a store that several processes may open."""
    return _place(request, tmp_path)


@pytest.fixture
def shared_store(shared_url: str) -> Iterator[Callable[[], SqlStore]]:
    """Opens the same store again and again, as several processes would."""
    opened: list[SqlStore] = []

    def open_another() -> SqlStore:
        opened.append(SqlStore(shared_url))
        return opened[-1]

    yield open_another
    for one in opened:
        one.close()


@pytest.fixture
def torc(tmp_path: Path) -> Torc:
    """The command line, in a folder of its own."""
    return Torc(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a disk of a size; its folder."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mounted(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
        return disk

    yield mounted
    if disk.is_mount():
        subprocess.run(["umount", "-l", str(disk)], check=True)
