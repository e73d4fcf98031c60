"""What is found out about the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from slurmtorc.sandbox import machine
from slurmtorc.sandbox.place import Layout
from slurmtorc.sandbox.plan import Shape


def test_ports_are_different_free_and_not_given_to_outgoing_connections() -> None:
    ports = machine.free_ports(200)
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(ports)) == 200
    assert all(10_000 <= port < max(lowest_outgoing, 20_000) for port in ports)


def test_each_daemon_that_listens_gets_a_port() -> None:
    assert machine.draw_ports(Shape(nodes=2)).keys() == {"slurmdbd", "slurmctld", "n1", "n2"}


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_listener_is_seen_without_connecting(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((address, 0))
        except OSError as error:
            pytest.skip(f"no address {address} here: {error}")
        port = listener.getsockname()[1]
        assert not machine.listening(port)
        listener.listen()
        assert machine.listening(port)
    assert not machine.listening(port)


def test_a_unix_socket_answers_while_somebody_listens(tmp_path: Path) -> None:
    path = Path("/tmp") / f"{tmp_path.parent.name}-{tmp_path.name}"[-60:]
    with socket.socket(socket.AF_UNIX) as listener:
        assert not machine.answers(path)
        listener.bind(str(path))
        listener.listen()
        assert machine.answers(path)
    assert not machine.answers(path)
    path.unlink()


def test_the_address_is_a_loopback_address() -> None:
    assert machine.own_address()[0].startswith("127.")


@pytest.mark.parametrize(("count", "numbers"), [(1, "0"), (3, "[0-2]")])
def test_gpus_are_devices_or_at_least_counted(tmp_path: Path, count: int, numbers: str) -> None:
    place = Layout(tmp_path)
    place.devices.mkdir()
    text = machine.gpu_devices(place, count)
    assert text in {
        f"File={place.devices}/gpu{numbers}",
        f"File=/dev/tty{numbers}",
        f"Count={count}",
    }
    assert machine.gpu_devices(place, count) == text


@pytest.mark.skipif(os.geteuid() != 0, reason="another host name needs root")
def test_a_machine_that_does_not_know_its_own_name_is_told_the_remedy() -> None:
    code = (
        "from slurmtorc.sandbox.machine import name_problem, own_address\n"
        "print(own_address(), name_problem())"
    )
    rename = 'hostname no-such-name.invalid && exec "$@"'
    done = subprocess.run(
        ("unshare", "--uts", "sh", "-c", rename, "sh", sys.executable, "-c", code),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("('127.0.0.1', False) this machine cannot resolve its own name")
    assert "write '127.0.0.1 no-such-name.invalid' into /etc/hosts" in done.stdout
