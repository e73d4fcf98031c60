"""A real cluster, as people use it. Nothing here breaks it: all tests share one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import eventually

if TYPE_CHECKING:
    from cluster import RunningCluster

pytestmark = pytest.mark.slurm

ROOT = os.geteuid() == 0


def torc(cluster: RunningCluster, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run `torc sandbox …` on this cluster, from an ordinary environment."""
    verb, *rest = argv
    command = (sys.executable, "-m", "slurmtorc", "sandbox", verb, "--dir", cluster.directory)
    return subprocess.run(
        (*command, *rest), input=text, text=True, capture_output=True, timeout=60, check=False
    )


# ── Slurm works ──────────────────────────────────────────────────────────────


def test_all_nodes_are_idle(cluster: RunningCluster) -> None:
    done = cluster.run("sinfo", "-h", "-N", "-p", "debug", "-o", "%N %T %c %m")
    assert done.stdout.split("\n") == [f"{node} idle 4 4000" for node in ("n1", "n2", "n3")] + [""]


@pytest.mark.skipif(not ROOT, reason="host names of nodes need root")
def test_each_node_has_its_own_host_name(cluster: RunningCluster) -> None:
    done = cluster.run("srun", "-N3", "hostname")
    assert sorted(done.stdout.split()) == ["n1", "n2", "n3"]


def test_a_job_knows_its_node_and_runs_steps_on_all(cluster: RunningCluster) -> None:
    script = 'echo $SLURMD_NODENAME; srun --ntasks-per-node=1 sh -c "echo step $SLURMD_NODENAME"'
    done = cluster.run(
        "sbatch", "--wait", "-N3", "-A", cluster.account, "-o", "all", "--wrap", script
    )
    assert done.returncode == 0, done.stderr
    output = (cluster.directory / "all").read_text()
    assert output.split("\n")[0] == "n1"
    assert output.count("step") == 3


def test_accounting_knows_a_finished_job_and_its_account(cluster: RunningCluster) -> None:
    done = cluster.run("sbatch", "--wait", "--parsable", "-o", "/dev/null", "--wrap", "exit 3")
    job = done.stdout.strip()

    def accounting() -> str:
        fields = "state,account,exitcode"
        return cluster.run("sacct", "-X", "-n", "-P", "-j", job, "-o", fields).stdout

    eventually(lambda: accounting() == f"FAILED|{cluster.account}|3:0\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-A", "nosuch"], "Invalid account or account/partition combination"),
        (["-t", "1:01:00"], "Requested time limit is invalid"),
        (["-p", "short", "-t", "11"], "Requested time limit is invalid"),
        (["-p", "nosuch"], "Invalid partition name"),
        (["--mem", "4001"], "Memory specification can not be satisfied"),
    ],
)
def test_what_a_site_refuses_is_refused(
    cluster: RunningCluster, options: list[str], said: str
) -> None:
    done = cluster.run("sbatch", *options, "-o", "/dev/null", "--wrap", "true")
    assert done.returncode == 1
    assert said in done.stderr


def test_jobs_are_not_marked_as_daemons(cluster: RunningCluster) -> None:
    done = cluster.run("srun", "env")
    assert "SLURM_JOB_ID=" in done.stdout
    assert "TORC_SANDBOX" not in done.stdout


def test_nothing_is_changed_outside_the_directory(cluster: RunningCluster) -> None:
    for place in ("/etc/slurm", "/etc/munge", "/run/munge", "/var/run/munge", "/var/spool/slurm*"):
        for path in Path("/").glob(place[1:]):
            newer = (x for x in path.rglob("*") if x.stat().st_mtime > _made(cluster))
            assert list(newer) == []


def _made(cluster: RunningCluster) -> float:
    return (cluster.directory / "plan.json").stat().st_mtime


# ── the commands ─────────────────────────────────────────────────────────────


def test_up_on_a_healthy_cluster_changes_nothing(cluster: RunningCluster) -> None:
    def facts() -> list[tuple[str, int, bytes]]:
        files = [*cluster.directory.glob("*"), *(cluster.directory / "run").glob("*.process")]
        return sorted((x.name, x.stat().st_mtime_ns, x.read_bytes()) for x in files if x.is_file())

    before = facts()
    done = torc(cluster, "up")
    assert done.stdout.startswith(
        f"The sandbox in {cluster.directory} is up and well; nothing was changed.\n"
    )
    assert facts() == before
    assert cluster.sandbox.up().done == ()


def test_up_says_how_to_use_it(cluster: RunningCluster) -> None:
    said = torc(cluster, "up").stdout
    assert f"torc sandbox exec --dir {cluster.directory} -- sinfo" in said
    assert f"export SLURM_CONF={cluster.directory}/slurm.conf" in said


def test_up_with_another_shape_says_what_differs(cluster: RunningCluster) -> None:
    done = torc(cluster, "up", "--nodes", "4", "--gpus", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has nodes 3, not 4; gpus 0, not 1: choose another --dir, or" in done.stderr


def test_up_tells_programs_in_json(cluster: RunningCluster) -> None:
    record = json.loads(torc(cluster, "up", "-f", "json").stdout)
    assert record["dir"] == str(cluster.directory)
    assert record["slurm_conf"] == f"{cluster.directory}/slurm.conf"
    assert record["account"] == "sandbox"
    assert record["nodes"] == ["n1", "n2", "n3"]
    assert record["done"] == []


def test_status_of_a_healthy_cluster(cluster: RunningCluster) -> None:
    table = torc(cluster, "status")
    assert table.returncode == 0
    assert f"export SLURM_CONF={cluster.directory}/slurm.conf" in table.stdout
    record = json.loads(torc(cluster, "status", "-f", "json").stdout)
    assert record["healthy"]
    assert {x["name"]: x["health"] for x in record["daemons"]} == dict.fromkeys(
        cluster.plan.daemons, "alive"
    )
    assert {x["name"] for x in record["nodes"]} == {"n1", "n2", "n3"}


def test_exec_passes_input_output_and_exit_status(cluster: RunningCluster) -> None:
    done = torc(cluster, "exec", "--", "sh", "-c", "cat; echo oops >&2; exit 7", text="hello")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello", "oops\n")


def test_exec_is_replaced_by_its_command(cluster: RunningCluster) -> None:
    code = "echo $$; kill -PIPE $$"  # Python ignores PIPE; what it becomes must not
    argv = (sys.executable, "-m", "slurmtorc", "sandbox", "exec", "--dir", cluster.directory)
    with subprocess.Popen((*argv, "--", "sh", "-c", code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid
    assert process.returncode == -signal.SIGPIPE


def test_exec_means_this_cluster(cluster: RunningCluster) -> None:
    done = torc(cluster, "exec", "sinfo", "-h", "-o", "%P")
    assert done.stdout.split() == ["debug*", "short"]


def test_exec_of_what_is_not_there(cluster: RunningCluster) -> None:
    missing = torc(cluster, "exec", "--", "no-such-program")
    assert (missing.returncode, missing.stderr) == (
        127, "torc: error: no-such-program cannot be run: No such file or directory\n",
    )  # fmt: skip
    assert torc(cluster, "exec", "--", "/etc/passwd").returncode == 126


def test_a_daemon_that_is_not_there_is_an_error_naming_those_that_are(
    cluster: RunningCluster,
) -> None:
    done = torc(cluster, "stop", "n4")
    assert done.returncode == 1
    assert (
        "has no daemon 'n4'; it has munge, mariadb, slurmdbd, slurmctld, n1, n2, n3" in done.stderr
    )
    assert torc(cluster, "stop", "n1", "--signal", "DANCE").returncode == 2
    assert torc(cluster, "start", "n1").stdout == "n1 was running.\n"
