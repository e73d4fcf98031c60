"""Which directories can hold a sandbox, and where things are in them.

Separate so that no path is put together anywhere else; that all of them are relative to one
directory is what makes a sandbox removable.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from slurmtorc.errors import SandboxError

_SAFE = re.compile(r"[A-Za-z0-9_./+-]+", re.ASCII)
_SOCKET_LIMIT = 107
_LONGEST_SOCKET = "/spool/n256/n256_99999999.4294967295"
"""Each step of a job has a socket in its node's spool directory."""

LONGEST_DIRECTORY = _SOCKET_LIMIT - len(_LONGEST_SOCKET)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is. Relative to `directory`, and nowhere else."""

    directory: Path

    @property
    def option(self) -> str:
        """What a command needs to mean this directory."""
        return "" if self.directory == default_directory() else f" --dir {self.directory}"

    @property
    def marker(self) -> Path:
        """Says that the directory is a sandbox; locked by whoever changes it."""
        return self.directory / ".torc-sandbox"

    @property
    def ready(self) -> Path:
        """There once the sandbox has been up; without it, what is there is half-made."""
        return self.directory / "ready"

    @property
    def plan(self) -> Path:
        """What the sandbox consists of."""
        return self.directory / "plan.json"

    @property
    def slurm_conf(self) -> Path:
        """Slurm's programs look for its other configuration files beside it."""
        return self.directory / "slurm.conf"

    @property
    def run(self) -> Path:
        """Sockets, and which process is which daemon."""
        return self.directory / "run"

    @property
    def logs(self) -> Path:
        """What the daemons say."""
        return self.directory / "log"

    @property
    def munge_socket(self) -> Path:
        """Where munged listens."""
        return self.run / "munge.socket"

    @property
    def munge_key(self) -> Path:
        """The cluster's secret."""
        return self.directory / "munge.key"

    @property
    def mariadb_socket(self) -> Path:
        """Where mariadbd listens."""
        return self.run / "mariadb.socket"

    @property
    def mariadb_init(self) -> Path:
        """SQL that mariadbd runs when it starts."""
        return self.directory / "mariadb-init.sql"

    @property
    def scratch(self) -> Path:
        """MariaDB's temporary files."""
        return self.directory / "tmp"

    @property
    def devices(self) -> Path:
        """Device files that stand for GPUs."""
        return self.directory / "dev"

    def record(self, daemon: str) -> Path:
        """Which process the daemon is."""
        return self.run / f"{daemon}.process"

    def output(self, daemon: str) -> Path:
        """What the daemon prints, from its first moment on."""
        return self.logs / f"{daemon}.out"

    def spool(self, node: str) -> Path:
        """A node's working directory; sockets and scripts of its jobs."""
        return self.directory / "spool" / node

    @property
    def folders(self) -> tuple[Path, ...]:
        """To be made before any daemon starts."""
        names = ("run", "log", "state", "spool", "mariadb", "tmp", "dev")
        return tuple(self.directory / name for name in names)


def default_directory() -> Path:
    """One for each user."""
    return Path(f"/tmp/torc-sandbox-{os.getuid()}")  # noqa: S108  ours by mode 700, see claim.py


def layout(directory: str | Path | None) -> Layout:
    """Of the directory, if it can hold a sandbox at all."""
    asked = Path(os.path.abspath(directory or default_directory()))  # noqa: PTH100  resolve() would follow the last link
    path = asked.parent.resolve() / asked.name
    text = str(path)
    if not _SAFE.fullmatch(text):
        raise SandboxError(
            f"the directory {text!r} cannot stand in Slurm's configuration; "
            "choose a --dir of letters, digits and . _ / + -"
        )
    if len(text) > LONGEST_DIRECTORY:
        raise SandboxError(
            f"the directory {text} has {len(text)} characters; Unix sockets allow "
            f"{LONGEST_DIRECTORY} here, so choose a shorter --dir, as in /tmp/sandbox"
        )
    return Layout(path)
