"""A Postgres server of our own: its directory, a Unix socket, nothing left behind.

The tests and the benchmarks start one each; it listens to nobody beyond its socket. As root it
runs as another user, for Postgres refuses root.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES = "/usr/lib/postgresql/*/bin"
_numbers = itertools.count(1)


class NoPostgres(Exception):
    """The server programs are not installed."""


class Server:
    """One server."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.programs = _programs()
        self.settings = {"listen_addresses": "''", "max_connections": "200", **(settings or {})}
        self.user = _user()
        # Socket paths are short: not below the temporary directories of others.
        self.directory = Path(tempfile.mkdtemp(prefix="torc-pg-", dir="/tmp"))
        if self.user != _me():
            shutil.chown(self.directory, self.user)
        self.data = self.directory / "data"
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "torc", "-N", "-E", "UTF8")

    def run(self, program: str, *arguments: object) -> None:
        """Run one of the server's programs to its end; it must succeed."""
        command = [str(self.programs / program), *map(str, arguments)]
        user = None if self.user == _me() else self.user
        done = subprocess.run(
            command, user=user, cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {"unix_socket_directories": str(self.directory), **self.settings}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = self.directory / "log"
        self.run("pg_ctl", "-D", self.data, "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: fast, smart, or immediate as after a power failure."""
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop at once, and remove all its files."""
        self.stop("immediate")
        shutil.rmtree(self.directory)

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://torc@/{database}?host={self.directory}"

    def create(self) -> str:
        """A new, empty database; its URL."""
        name = f"torc_{next(_numbers)}"
        self.run("createdb", "-h", self.directory, "-U", "torc", name)
        return self.url(name)


def _programs() -> Path:
    """Where the server's programs are. Raises NoPostgres."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/").glob(PLACES.lstrip("/")), key=lambda place: place.parent.name)
    if places and (places[-1] / "initdb").exists():
        return places[-1]
    raise NoPostgres("PostgreSQL's server programs are not installed (apt-get install postgresql)")


def _me() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _user() -> str:
    if os.getuid() != 0:
        return _me()
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
