"""A real Postgres server for the tests: its own directory, a Unix socket, nothing left behind."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = "/usr/lib/postgresql/*/bin"
_numbers = itertools.count(1)


class Server:
    """One server. As root it runs as another user, for Postgres refuses root."""

    def __init__(self) -> None:
        self.programs = _programs()
        self.user = _user()
        # Socket paths are short: not below pytest's own directories.
        self.directory = Path(tempfile.mkdtemp(prefix="torc-pg-", dir="/tmp"))
        if self.user != pwd.getpwuid(os.getuid()).pw_name:
            shutil.chown(self.directory, self.user)
        self.data = self.directory / "data"
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "torc", "-N", "-E", "UTF8")

    def run(self, program: str, *arguments: object) -> None:
        command = [str(self.programs / program), *map(str, arguments)]
        user = None if self.user == pwd.getpwuid(os.getuid()).pw_name else self.user
        done = subprocess.run(
            command, user=user, cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def start(self, *, durable: bool = False) -> None:
        """`durable`: what was committed outlives a stop in the mode "immediate"."""
        synchronous = "on" if durable else "off"
        options = (
            f"-c unix_socket_directories={self.directory} -c listen_addresses='' -c fsync=off "
            f"-c full_page_writes=off -c synchronous_commit={synchronous} "
            "-c max_connections=200"
        )
        log = self.directory / "log"
        self.run("pg_ctl", "-D", self.data, "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://torc@/{database}?host={self.directory}"

    def create(self) -> str:
        """A new, empty database; its URL."""
        name = f"torc_{next(_numbers)}"
        self.run("createdb", "-h", self.directory, "-U", "torc", name)
        return self.url(name)


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/").glob(PLACES.lstrip("/")), key=lambda place: place.parent.name)
    if places and (places[-1] / "initdb").exists():
        return places[-1]
    reason = "PostgreSQL's server programs are not installed (apt-get install postgresql)"
    if os.environ.get("TORC_TEST_REQUIRE"):
        pytest.fail(reason)
    pytest.skip(reason)


def _user() -> str:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One server for the whole session."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(server.directory)


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server that a test may stop and start."""
    server = Server()
    server.start(durable=True)
    yield server
    server.stop("immediate")
    shutil.rmtree(server.directory)


@pytest.fixture
def fresh_postgres(postgres_server: Server) -> str:
    """The URL of an empty database."""
    return postgres_server.create()
