"""The command line and the environment of each daemon. Pure: text in, text out.

All stay in the foreground, write to where they are told, and find their configuration by
SLURM_CONF; so nothing is needed under /etc, /run or /var.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.sandbox.place import Layout
    from slurmtorc.sandbox.plan import Plan

MARK = "TORC_SANDBOX_DAEMON"
"""The environment variable by which a daemon is known again: `directory:name`."""

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin", "/usr/local/bin", "/bin")
_SYSTEM_TABLES = re.compile(
    r"^CREATE TABLE IF NOT EXISTS (?:func|plugin|servers|proc|procs_priv|event) .*?;[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_OWN_HOSTNAME = 'hostname "$0" && exec "$@"'


def command(name: str, place: Layout, plan: Plan) -> list[str]:
    """The command line of one daemon."""
    match name:
        case "munge":
            return _munged(place)
        case "mariadb":
            return _mariadbd(place, plan)
        case "slurmdbd" | "slurmctld":
            return [name, "-D"]
        case _:
            return _slurmd(name, plan)


def _munged(place: Layout) -> list[str]:
    return [
        "munged",
        "--foreground",
        "--force",
        "--num-threads=2",
        f"--socket={place.munge_socket}",
        f"--key-file={place.munge_key}",
        f"--seed-file={place.directory}/munge.seed",
        f"--pid-file={place.run}/munged.pid",
    ]


def _mariadbd(place: Layout, plan: Plan) -> list[str]:
    """Quick to start, small, and reached by its socket only."""
    return [
        "mariadbd",
        "--no-defaults",
        f"--datadir={place.directory}/mariadb",
        f"--tmpdir={place.scratch}",
        f"--socket={place.mariadb_socket}",
        f"--pid-file={place.run}/mariadbd.pid",
        f"--init-file={place.mariadb_init}",
        "--skip-networking",
        "--skip-grant-tables",
        "--skip-log-bin",
        "--performance-schema=0",
        "--character-set-server=utf8mb4",
        "--max-allowed-packet=16M",
        "--key-buffer-size=1M",
        "--aria-log-file-size=8M",
        "--aria-pagecache-buffer-size=8M",
        "--innodb-buffer-pool-size=64M",
        "--innodb-buffer-pool-dump-at-shutdown=0",
        "--innodb-buffer-pool-load-at-startup=0",
        "--innodb-file-per-table=0",
        "--innodb-flush-log-at-trx-commit=2",  # what is committed outlives a kill of mariadbd
        "--innodb-flush-method=nosync",  # but not one of the machine
        "--innodb-lock-wait-timeout=900",
        "--innodb-log-file-size=8M",
        "--loose-innodb-snapshot-isolation=OFF",  # slurmdbd's transactions need it off
        *(["--user=root"] if plan.user == "root" else []),
    ]


def _slurmd(node: str, plan: Plan) -> list[str]:
    argv = ["slurmd", "-D", "-N", node]
    if not plan.hostnames:
        return argv
    return ["unshare", "--uts", "sh", "-c", _OWN_HOSTNAME, node, *argv]


def mariadb_init(system_tables: str) -> str:
    """SQL to run at each start, in place of mariadb-install-db before the first.

    Without grant tables, the only system tables that slurmdbd's schema needs are those for stored
    procedures. Each statement stands on one line, as mariadbd wants it. The last writes the
    new files out: until then a kill would leave them unreadable.
    """
    tables = _SYSTEM_TABLES.findall(system_tables)
    if not tables:
        raise SandboxError("MariaDB's script of system tables holds none that are known")
    lines = [
        "create database if not exists mysql;",
        "use mysql;",
        "set sql_mode='';",
        "set default_storage_engine=Aria;",
        *(" ".join(statement.split("\n")) for statement in tables),
        "set global innodb_log_checkpoint_now=1;",
    ]
    return "\n".join(lines) + "\n"


# ── environments ─────────────────────────────────────────────────────────────


def environment(name: str, place: Layout, own: Mapping[str, str]) -> dict[str, str]:
    """A daemon's environment: it is found by its mark after whatever crash."""
    return {
        **_stripped(own),
        **_to(place, own),
        MARK: f"{place.directory}:{name}",
        "MYSQL_UNIX_PORT": str(place.mariadb_socket),
    }


def client_environment(place: Layout, own: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Slurm's commands mean this cluster.

    Traces of an allocation of another cluster would mislead them, and go; inside a job of this
    cluster they stay.
    """
    inside = own.get("SLURM_CONF") == str(place.slurm_conf)
    return {**(own if inside else _stripped(own)), **_to(place, own)}


def search_path(own: Mapping[str, str]) -> str:
    """PATH, and where daemons lie when an ordinary user's PATH does not have it."""
    given = [folder for folder in own.get("PATH", "").split(":") if folder]
    return ":".join(dict.fromkeys([*given, *_SYSTEM_FOLDERS]))


def _stripped(own: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in own.items() if not key.startswith("SLURM")}


def _to(place: Layout, own: Mapping[str, str]) -> dict[str, str]:
    return {"SLURM_CONF": str(place.slurm_conf), "PATH": search_path(own)}
