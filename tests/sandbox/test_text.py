"""Every text the daemons are given, as it should be: files under tests/golden/sandbox/."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_plan import a_plan

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox.config import override, render
from slurmtorc.sandbox.daemons import (
    MARK,
    client_environment,
    command,
    environment,
    mariadb_init,
)
from slurmtorc.sandbox.place import Layout
from slurmtorc.sandbox.plan import shape

GOLDEN = Path(__file__).parent.parent / "golden" / "sandbox"
PLACE = Layout(Path("/tmp/box"))

PLANS = {
    "user-22.05": a_plan(),
    "root-22.05-gpus": a_plan(
        shape(
            {"nodes": 2, "gpus": 2, "cpus": 8, "settings": [["KillWait", "9"], ["Epilog", "/e"]]}
        ),
        user="root",
        hostnames=True,
        gpu_devices="File=/tmp/box/dev/gpu[0-1]",
    ),
    "user-24.11-public-name": a_plan(
        shape({"nodes": 2, "partitions": ["long MaxTime=2-00:00:00", "gpu Nodes=n2"]}),
        version=(24, 11),
        loopback_name=False,
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_configuration_files_are_as_they_should_be(name: str) -> None:
    files = render(PLACE, PLANS[name])
    text = "".join(f"---- {file} ----\n{content}" for file, content in files.items())
    assert text == (GOLDEN / f"{name}.conf").read_text()


@pytest.mark.parametrize("name", PLANS)
def test_command_lines_are_as_they_should_be(name: str) -> None:
    plan = PLANS[name]
    text = "".join(
        f"---- {daemon} ----\n" + "".join(f"{word}\n" for word in command(daemon, PLACE, plan))
        for daemon in plan.daemons
    )
    assert text == (GOLDEN / f"{name}.argv").read_text()


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ([], "A=1\nB=2\n"),
        ([("B", "3")], "A=1\nB=3\n"),
        ([("b", "3")], "A=1\nb=3\n"),
        ([("C", "3")], "A=1\nB=2\nC=3\n"),
        ([("C", "3"), ("C", "4")], "A=1\nB=2\nC=4\n"),
    ],
)
def test_a_setting_replaces_the_line_of_its_key(
    settings: list[tuple[str, str]], lines: str
) -> None:
    assert override("A=1\nB=2\n", settings) == lines


def test_a_daemon_is_marked_and_knows_no_other_cluster() -> None:
    own = {"PATH": "/bin", "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "c1", "SBATCH_ACCOUNT": "a"}
    assert environment("n1", PLACE, own) == {
        "SBATCH_ACCOUNT": "a",
        "PATH": "/bin:/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin",
        "SLURM_CONF": "/tmp/box/slurm.conf",
        "MYSQL_UNIX_PORT": "/tmp/box/run/mariadb.socket",
        MARK: "/tmp/box:n1",
    }


def test_a_command_is_not_marked_and_keeps_its_job_only_inside_this_cluster() -> None:
    outside = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm/slurm.conf", "SLURM_JOB_ID": "7"}
    inside = {"PATH": "/bin", "SLURM_CONF": "/tmp/box/slurm.conf", "SLURM_JOB_ID": "7"}
    assert client_environment(PLACE, outside).keys() == {"PATH", "SLURM_CONF"}
    assert client_environment(PLACE, inside)["SLURM_JOB_ID"] == "7"


def test_mariadb_gets_the_tables_of_stored_procedures_one_on_a_line() -> None:
    script = (
        "CREATE TABLE IF NOT EXISTS db (\n  a int\n);\n"
        "CREATE TABLE IF NOT EXISTS proc (\n  a int,\n  b char(2)\n) engine=Aria;\n"
        "-- end\n"
    )
    lines = mariadb_init(script).splitlines()
    assert "CREATE TABLE IF NOT EXISTS proc (   a int,   b char(2) ) engine=Aria;" in lines
    assert not [line for line in lines if " db " in line]
    assert lines[-1] == "set global innodb_log_checkpoint_now=1;"


def test_a_script_without_those_tables_is_refused() -> None:
    with pytest.raises(SandboxError):
        mariadb_init("select 1;")
