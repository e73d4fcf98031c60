"""Which programs a sandbox needs, what Debian calls their packages, and how to install them.

Separate because it is the only part that may change the machine, and it does so only when told
to (`up --install`): with apt, as root, and without starting any service of the packages.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox.daemons import search_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SYSTEM_TABLES = "mariadb_system_tables.sql"
"""MariaDB's script; called mysql_system_tables.sql before 11."""

PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "srun": "slurm-client",
    "sacctmgr": "slurm-client",
    "accounting_storage_mysql.so": "slurm-wlm-mysql-plugin",
    "munged": "munge",
    "mariadbd": "mariadb-server-core",
    SYSTEM_TABLES: "mariadb-server-core",
}
"""Program, plugin or script -> Debian's package."""

_PLACES = {
    "accounting_storage_mysql.so": (
        "usr/lib/*/slurm-wlm/accounting_storage_mysql.so",
        "usr/lib*/slurm/accounting_storage_mysql.so",
        "usr/local/lib/slurm/accounting_storage_mysql.so",
    ),
    SYSTEM_TABLES: (
        "usr/share/mysql/m*_system_tables.sql",
        "usr/share/mariadb/m*_system_tables.sql",
    ),
}
"""Where to look for what is not on PATH."""

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = (
    "#!/bin/sh\n# torc sandbox: no service starts while its packages are installed.\nexit 101\n"
)


def find(need: str) -> Path | None:
    """Where the program or file is."""
    if need not in _PLACES:
        found = shutil.which(need, path=search_path(os.environ))
        return Path(found) if found else None
    matches = (path for pattern in _PLACES[need] for path in Path("/").glob(pattern))
    return next(matches, None)


def missing(finder: Callable[[str], Path | None] = find) -> list[str]:
    """What of PACKAGES is not there."""
    return [need for need in PACKAGES if finder(need) is None]


def install_line(needs: Iterable[str], *, root: bool) -> str:
    """What to type so that nothing is missing."""
    command = ("apt-get", "install", "--yes", *_packages(needs))
    sudo = "" if root else "sudo "
    return f"{sudo}apt-get update && {sudo}{' '.join(command)}"


def ensure(*, install: bool, say: Callable[[str], None]) -> None:
    """Everything is there. Raises SandboxError naming what is not, and the way to get it."""
    needs = missing()
    if not needs:
        return
    root, apt = os.geteuid() == 0, shutil.which("apt-get") is not None
    if not install or not apt or not root:
        refuse(needs, install=install, apt=apt, root=root)
    say(f"installing {', '.join(_packages(needs)[1:])}")
    with no_services():
        run(("apt-get", "update", "--quiet"))
        run(("apt-get", "install", "--yes", "--quiet", *_packages(needs)))
    if still := missing():
        raise SandboxError(f"the packages were installed, and yet {', '.join(still)} is missing")


def _packages(needs: Iterable[str]) -> list[str]:
    return ["--no-install-recommends", *dict.fromkeys(PACKAGES[need] for need in needs)]


def refuse(needs: Sequence[str], *, install: bool, apt: bool, root: bool) -> NoReturn:
    """Say what is missing, and how this user gets it on this system."""
    problem = f"not installed: {', '.join(needs)}"
    if not apt:
        raise SandboxError(
            f"{problem}; this system has no apt-get, so install Slurm (with slurmdbd and its MySQL "
            "plugin), MUNGE and the MariaDB server by its own means"
        )
    line = install_line(needs, root=root)
    if install:
        raise SandboxError(f"{problem}; only root can --install: {line}")
    raise SandboxError(f"{problem}; install with: {line}" + (" (or use --install)" if root else ""))


@contextmanager
def no_services(policy: Path = POLICY) -> Iterator[None]:
    """Debian's packages ask policy-rc.d before they start a service; 101 forbids it.

    One that is there already decides for itself, except if we left it there.
    """
    ours = not policy.exists() or policy.read_text(errors="replace") == POLICY_TEXT
    with _ended_politely():
        try:
            if ours:
                policy.write_text(POLICY_TEXT)
                policy.chmod(0o755)
            yield
        finally:
            if ours:
                policy.unlink(missing_ok=True)


@contextmanager
def _ended_politely() -> Iterator[None]:
    """While something is to be tidied up, TERM and HUP end us by an exception."""

    def leave(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(argv: Sequence[str]) -> None:
    """Let apt-get come to a good end whatever happens to us; its output is no output of ours."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        raise SandboxError(
            f"'{' '.join(argv)}' failed with exit status {status}; see above for why"
        )
