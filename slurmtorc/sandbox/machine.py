"""What this machine gives for a sandbox: ports, an address, host names, devices, Slurm's version.

Separate because everything here looks at the machine and so may differ between two calls; what
it finds is written into the plan once.
"""

from __future__ import annotations

import os
import pwd
import random
import re
import socket
import stat
import subprocess
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox.daemons import search_path
from slurmtorc.sandbox.plan import SERVICES, Plan

if TYPE_CHECKING:
    from slurmtorc.sandbox.place import Layout
    from slurmtorc.sandbox.plan import Shape

_PORTS_FROM = 10_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LISTEN = "0A"
_NULL_DEVICE = os.makedev(1, 3)


def draw(shape: Shape, place: Layout) -> Plan:
    """A plan for this shape, on this machine, now."""
    address, loopback_name = own_address()
    return Plan(
        shape=shape,
        ports=draw_ports(shape),
        user=pwd.getpwuid(os.getuid()).pw_name,
        version=slurm_version(),
        address=address,
        loopback_name=loopback_name,
        hostnames=_hostnames_possible(),
        gpu_devices=gpu_devices(place, shape.gpus) if shape.gpus else "",
    )


def draw_ports(shape: Shape) -> dict[str, int]:
    """A free port for each daemon that listens on one."""
    listeners = [*SERVICES[2:], *shape.node_names]
    return dict(zip(listeners, free_ports(len(listeners)), strict=True))


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, below those that the kernel gives to outgoing connections.

    So nobody takes a daemon's port while that daemon is stopped for a moment.
    """
    highest = max(_first_ephemeral(), 2 * _PORTS_FROM)
    candidates = sorted(set(range(_PORTS_FROM, highest)) - _listening_ports())
    random.shuffle(candidates)
    return list(islice(filter(_can_bind, candidates), count))


def _first_ephemeral() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def listening(port: int) -> bool:
    """Whether anybody listens there. Looks without connecting: daemons log empty connections."""
    return port in _listening_ports()


def _listening_ports() -> set[int]:
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                local, _, state = line.split()[1:4]
                if state == _LISTEN:
                    ports.add(int(local.rpartition(":")[2], 16))
    return ports


def answers(path: Path) -> bool:
    """Whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def own_address() -> tuple[str, bool]:
    """A loopback address, and whether the machine's own name leads to it."""
    address = _address_of_own_name()
    return (address, True) if address.startswith("127.") else ("127.0.0.1", False)


def name_problem() -> str | None:
    """What to tell people whose machine does not know its own name: Slurm stumbles over it."""
    if _address_of_own_name():
        return None
    name = socket.gethostname()
    return (
        f"this machine cannot resolve its own name '{name}', for which Slurm's commands may "
        f"wait 10 s at a time: write '127.0.0.1 {name}' into /etc/hosts"
    )


def _address_of_own_name() -> str:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""


def slurm_version() -> tuple[int, int]:
    """Of the slurmctld that will run."""
    text = _output("slurmctld", "-V")
    match = re.search(r"(\d+)\.(\d+)", text)
    if match is None:
        raise SandboxError(f"'slurmctld -V' says {text.strip()!r}, which is no version")
    return int(match[1]), int(match[2])


def _hostnames_possible() -> bool:
    """Root may give each node a host name of its own, except in containers that forbid it."""
    return bool(
        os.geteuid() == 0 and _output("unshare", "--uts", "sh", "-c", "hostname x && hostname")
    )


def _output(*argv: str) -> str:
    env = {**os.environ, "PATH": search_path(os.environ)}
    try:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SandboxError(f"{argv[0]} cannot be started: {error.strerror}") from error
    return done.stdout if done.returncode == 0 else ""


# ── GPUs that are not there ──────────────────────────────────────────────────


def gpu_devices(place: Layout, count: int) -> str:
    """What gres.conf says. slurmd wants character devices whose names end in numbers.

    Root makes twins of /dev/null; others borrow consoles. Where there are none of them either,
    GPUs are only counted, and jobs get no CUDA_VISIBLE_DEVICES.
    """
    numbers = "0" if count == 1 else f"[0-{count - 1}]"
    if _twins(place.devices, count):
        return f"File={place.devices}/gpu{numbers}"
    if all(Path(f"/dev/tty{number}").is_char_device() for number in range(count)):
        return f"File=/dev/tty{numbers}"
    return f"Count={count}"


def _twins(folder: Path, count: int) -> bool:
    try:
        for number in range(count):
            device = folder / f"gpu{number}"
            if not device.is_char_device():
                os.mknod(device, 0o666 | stat.S_IFCHR, _NULL_DEVICE)
    except OSError:
        return False
    return True
