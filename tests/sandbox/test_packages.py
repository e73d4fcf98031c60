"""What is missing, what to type, and that installing starts no service."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox import packages

HERE = Path("/somewhere")


@pytest.mark.parametrize(
    ("absent", "line"),
    [
        (["slurmd"], "slurmd"),
        (["srun", "sacctmgr"], "slurm-client"),
        (["munged", "slurmctld"], "slurmctld munge"),
        (["accounting_storage_mysql.so"], "slurm-wlm-mysql-plugin"),
        (["mariadbd", packages.SYSTEM_TABLES], "mariadb-server-core"),
    ],
)
def test_only_what_is_missing_is_to_be_installed(absent: list[str], line: str) -> None:
    needs = packages.missing(lambda need: None if need in absent else HERE)
    apt = "apt-get install --yes --no-install-recommends"
    assert sorted(needs) == sorted(absent)
    assert packages.install_line(needs, root=True) == f"apt-get update && {apt} {line}"
    assert packages.install_line(needs, root=False) == (f"sudo apt-get update && sudo {apt} {line}")


def test_without_anything_all_seven_packages_are_named() -> None:
    needs = packages.missing(lambda _: None)
    assert packages.install_line(needs, root=True).split("recommends ")[1].split() == [
        "slurmctld", "slurmd", "slurmdbd", "slurm-client", "slurm-wlm-mysql-plugin", "munge",
        "mariadb-server-core",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("install", "apt", "root", "said"),
    [
        (False, True, True, "not installed: slurmd; install with: apt-get update && "),
        (False, True, False, "install with: sudo apt-get update && sudo apt-get install "),
        (True, True, False, "only root can --install: sudo apt-get"),
        (False, False, True, "not installed: slurmd; this system has no apt-get"),
        (True, False, True, "not installed: slurmd; this system has no apt-get"),
    ],
)
def test_a_refusal_says_what_to_do(install: bool, apt: bool, root: bool, said: str) -> None:
    with pytest.raises(SandboxError) as caught:
        packages.refuse(["slurmd"], install=install, apt=apt, root=root)
    assert said in str(caught.value)


# ── services do not start while their packages are installed ─────────────────


def test_a_policy_is_there_meanwhile_and_gone_afterwards(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with packages.no_services(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert not policy.exists()


@pytest.mark.parametrize("error", [SandboxError, KeyboardInterrupt])
def test_it_is_gone_after_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(error), packages.no_services(policy):
        raise error
    assert not policy.exists()


def test_it_is_gone_after_somebody_ended_us(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    code = (
        "import pathlib, signal, sys; from slurmtorc.sandbox import packages\n"
        "with packages.no_services(pathlib.Path(sys.argv[1])): print(flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code, policy], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert policy.exists()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert not policy.exists()


def test_a_policy_of_the_machine_stays_as_it_is(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    with packages.no_services(policy):
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_policy_we_once_left_behind_goes(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(packages.POLICY_TEXT)
    with packages.no_services(policy):
        pass
    assert not policy.exists()


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(SandboxError, match=r"'sh -c exit 100' failed with exit status 100"):
        packages.run(["sh", "-c", "exit 100"])
