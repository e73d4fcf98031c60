"""Whatever breaks, `up` repairs and `down` cleans: on real clusters that are there to be broken."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cluster import bring_up, directories, eventually

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox import machine
from slurmtorc.sandbox.cluster import Cluster
from slurmtorc.sandbox.place import LONGEST_DIRECTORY
from slurmtorc.sandbox.runner import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster import RunningCluster

pytestmark = pytest.mark.slurm

ROOT = os.geteuid() == 0
TORC = (sys.executable, "-m", "slurmtorc", "sandbox")


def processes_of(directory: Path) -> list[str]:
    """What runs with the sandbox's mark, or mentions its directory, by /proc itself."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(directory).encode() in text and state != "Z" and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def healthy(sandbox: Cluster) -> bool:
    status = sandbox.status()
    return status is not None and status.healthy


# ── faults ───────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_every_daemon_can_be_killed_and_is_repaired_and_a_job_lives_through_it(
    own_cluster: Callable[..., RunningCluster],
) -> None:
    cluster = own_cluster(nodes=2)
    job = _running_job(cluster)
    for daemon in cluster.plan.daemons:
        cluster.stop(daemon, signal.SIGKILL)
        status = cluster.sandbox.status()
        assert status is not None
        assert status.fallen == (daemon,)
        assert not status.healthy
        assert cluster.sandbox.up().done == (f"started {daemon}",)
        assert healthy(cluster.sandbox)
    for daemon in cluster.plan.daemons:
        cluster.stop(daemon, signal.SIGKILL)
    assert cluster.sandbox.up().done == tuple(f"started {x}" for x in cluster.plan.daemons)
    assert cluster.run("squeue", "-h", "-j", job, "-o", "%T").stdout == "RUNNING\n"
    said = cluster.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "jobid,account").stdout
    assert said == f"{job}|{cluster.account}\n"
    _ends_all(cluster)


def _running_job(cluster: RunningCluster) -> str:
    """A job on all nodes that the controller has written down."""
    script = "srun --ntasks-per-node=1 sleep 300"
    done = cluster.run("sbatch", "--parsable", "-N2", "-o", "/dev/null", "--wrap", script)
    job = done.stdout.strip()
    eventually(lambda: "sleep" in cluster.run("squeue", "-h", "-s", "-j", job).stdout)
    cluster.stop("slurmctld")  # an orderly end writes the state
    cluster.start("slurmctld")
    return job


def _ends_all(cluster: RunningCluster) -> None:
    ended = cluster.sandbox.down()
    assert ended is not None
    assert ended > len(cluster.plan.daemons)
    assert processes_of(cluster.directory) == []
    assert not cluster.directory.exists()


# ── another cluster, beside the one that all tests share ─────────────────────


@pytest.fixture(scope="module")
def other(_slurm: None) -> Iterator[RunningCluster]:
    """One of another shape, in the longest directory there can be. Each test leaves it well."""
    with directories() as another:
        yield bring_up(
            another(length=LONGEST_DIRECTORY),
            nodes=1,
            gpus=2,
            accounts=("second", "third"),
            partitions=("only MaxTime=5",),
            settings=(("MinJobAge", "7"),),
        )


def test_a_cluster_is_of_the_shape_that_was_asked_for(other: RunningCluster) -> None:
    assert other.run("sinfo", "-h", "-o", "%P %l %D %c").stdout == "only* 5:00 1 4\n"
    assert "MinJobAge               = 7 sec" in other.run("scontrol", "show", "config").stdout
    assert other.run("srun", "-A", "third", "echo", "fits").stdout == "fits\n"
    assert other.run("srun", "sh", "-c", "echo $SLURM_JOB_ACCOUNT").stdout == "second\n"


@pytest.mark.skipif(not ROOT, reason="device files need root")
def test_gpus_are_given_to_jobs(other: RunningCluster) -> None:
    for wanted, given in (("1", "0\n"), ("2", "0,1\n")):
        done = other.run("srun", f"--gres=gpu:{wanted}", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
        assert done.stdout == given


def test_daemons_stop_and_start_again(other: RunningCluster) -> None:
    where = ("--dir", str(other.directory))
    for daemon in ("slurmdbd", "munge"):
        assert _torc("stop", daemon, *where).stdout == f"Sent SIGTERM to {daemon}.\n"
        assert _torc("status", *where).returncode == 1
        assert _torc("stop", daemon, *where).stdout == f"{daemon} was not running.\n"
        assert _torc("start", daemon, *where).stdout == f"{daemon} is up again.\n"


def test_a_halted_daemon_goes_on(other: RunningCluster) -> None:
    other.stop("n1", signal.SIGSTOP)
    status = other.sandbox.status()
    assert status is not None
    assert [x.health for x in status.daemons if x.name == "n1"] == [Health.HALTED]
    other.start("n1")
    assert healthy(other.sandbox)


def test_a_daemon_without_a_record_makes_room_for_one_with(other: RunningCluster) -> None:
    (other.directory / "run" / "n1.process").unlink()
    assert other.sandbox.up().done == ("started n1",)
    assert healthy(other.sandbox)


def test_a_drained_node_is_given_back(other: RunningCluster) -> None:
    other.run("scontrol", "update", "nodename=n1", "state=drain", "reason=drill")
    assert not healthy(other.sandbox)
    assert other.sandbox.up().done == ("resumed n1",)
    assert other.run("srun", "echo", "back").stdout == "back\n"


def test_a_port_taken_meanwhile_moves_everything_to_others(other: RunningCluster) -> None:
    other.stop("slurmctld", signal.SIGKILL)
    port = other.plan.ports["slurmctld"]
    eventually(lambda: not machine.listening(port))  # its child has to notice that it is alone
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        result = other.sandbox.up()
        assert result.plan.ports["slurmctld"] != port
        assert other.run("srun", "echo", "moved").stdout == "moved\n"
    assert other.sandbox.up().done == ()


def test_what_cannot_be_repaired_is_said_and_left_as_it_was(other: RunningCluster) -> None:
    data = other.directory / "mariadb" / "ibdata1"
    other.stop("mariadb", signal.SIGKILL)
    other.stop("n1")
    whole = data.read_bytes()
    data.write_bytes(b"\0" * len(whole))
    done = _torc("up", "--dir", str(other.directory))
    assert done.returncode == 1
    assert done.stderr.startswith("torc: error: mariadb ended while starting; its last words:\n")
    assert done.stderr.endswith(
        "the sandbox cannot be repaired; a new one can be made after "
        f"'torc sandbox down --dir {other.directory}'\n"
    )
    status = other.sandbox.status()
    assert status is not None
    assert status.dead == ("mariadb", "n1")
    data.write_bytes(whole)
    assert other.sandbox.up().done == ("started mariadb", "started n1")


def test_the_end_of_one_cluster_is_not_the_end_of_another(
    other: RunningCluster, cluster: RunningCluster
) -> None:
    assert f"logs are in {other.directory}/log." in (
        _torc("down", "--keep", "--dir", str(other.directory)).stdout
    )
    assert "slurmctld version" in (other.directory / "log" / "slurmctld.out").read_text()
    assert other.sandbox.status() is None
    assert other.sandbox.down() == 0
    assert not other.directory.exists()
    assert healthy(cluster.sandbox)


# ── commands that are killed, and commands that fail ─────────────────────────


@pytest.mark.parametrize("moment", ["run", "run/mariadb.process", "slurm.conf", "run/n1.process"])
def test_an_up_killed_at_any_moment_can_be_cleaned_and_done_again(
    sandbox_directory: Path, moment: str
) -> None:
    _killed_up(sandbox_directory, moment)
    sandbox = Cluster(sandbox_directory)
    assert sandbox.status() is None
    with pytest.raises(SandboxError, match="no sandbox is up in"):
        sandbox.running_plan()
    assert sandbox.down() is not None
    assert processes_of(sandbox_directory) == []
    assert not sandbox_directory.exists()


@pytest.mark.parametrize("moment", ["run/slurmctld.process"])
def test_an_up_killed_in_the_middle_is_followed_by_one_that_works(
    sandbox_directory: Path, moment: str
) -> None:
    _killed_up(sandbox_directory, moment)
    (sandbox_directory / moment).unlink(missing_ok=True)  # as if killed a moment earlier
    sandbox = Cluster(sandbox_directory)
    assert sandbox.up(nodes=1).new
    assert healthy(sandbox)


def test_a_down_killed_in_the_middle_can_be_done_again(
    own_cluster: Callable[..., RunningCluster],
) -> None:
    cluster = own_cluster(nodes=1)
    argv = (*TORC, "down", "--dir", str(cluster.directory))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: not (cluster.directory / "ready").exists())
        process.kill()
    cluster.sandbox.down()
    assert processes_of(cluster.directory) == []
    assert not cluster.directory.exists()


def test_two_at_once_do_not_mix(sandbox_directory: Path) -> None:
    argv = (*TORC, "up", "--nodes", "1", "--dir", str(sandbox_directory))
    with ExitStack() as stack:
        both = [stack.enter_context(subprocess.Popen(argv, **_piped())) for _ in range(2)]
        said = sorted("".join(process.communicate(timeout=60)) for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert f"Slurm {_version()} with 1 node is up" in said[0]
    assert "waiting for another 'torc sandbox'" in said[1]
    assert "nothing was changed" in said[1]


def test_an_interrupted_up_leaves_nothing(sandbox_directory: Path) -> None:
    with _starting_up(sandbox_directory, "run/slurmdbd.process") as process:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert not sandbox_directory.exists()
    assert processes_of(sandbox_directory) == []


def test_a_daemon_that_dies_is_one_error_with_its_last_words(sandbox_directory: Path) -> None:
    done = _torc("up", "--dir", str(sandbox_directory), "--set", "SelectType=select/nosuch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("torc: error: slurmctld ended while starting; its last words:\n")
    assert "select/nosuch" in done.stderr
    assert done.stderr.count("torc: error:") == 1
    assert not sandbox_directory.exists()
    assert processes_of(sandbox_directory) == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--nodes", "0", "the number of nodes is 0; write a number from 1 to 256"),
        ("--nodes", "two", "'two' is not a valid integer"),
        ("--set", "NodeName=x", "use --nodes"),
        ("--account", "a b", "is no name of a Slurm account"),
    ],
)
def test_a_wrong_command_line_makes_nothing(
    sandbox_directory: Path, option: str, value: str, said: str
) -> None:
    done = _torc("up", "--dir", str(sandbox_directory), option, value)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not sandbox_directory.exists()


@pytest.mark.skipif(not ROOT, reason="mounting needs root")
def test_a_full_disk_is_one_line_and_leaves_nothing(sandbox_directory: Path) -> None:
    sandbox_directory.mkdir()
    mount = f"mount -t tmpfs -o size=32k,mode=700 none {sandbox_directory}"
    argv = ("unshare", "--mount", "sh", "-c", f'{mount} && "$@"; find {sandbox_directory}', "sh")
    done = subprocess.run(
        (*argv, *TORC, "up", "--dir", str(sandbox_directory)),
        text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == (
        f"torc: error: the sandbox in {sandbox_directory} cannot be made: No space left on device\n"
    )
    assert done.stdout == f"{sandbox_directory}\n"
    sandbox_directory.rmdir()


def test_what_is_not_there_is_said(sandbox_directory: Path) -> None:
    where = ("--dir", str(sandbox_directory))
    assert _torc("down", *where).stdout == f"There is no sandbox in {sandbox_directory}.\n"
    assert _torc("down", *where).returncode == 0
    assert _torc("status", *where).returncode == 1
    for verb in (("exec", *where, "--", "true"), ("stop", "n1", *where), ("start", "n1", *where)):
        done = _torc(*verb)
        assert done.returncode == 1
        assert f"no sandbox is up in {sandbox_directory}; start one with" in done.stderr


@pytest.mark.skipif(not ROOT, reason="becoming another user needs root")
def test_an_ordinary_user_can_have_one(sandbox_directory: Path) -> None:
    home = Path(f"{sandbox_directory}-home")
    home.mkdir()
    shutil.chown(home, "nobody", "nogroup")
    where = ("--dir", str(home / "box"))
    try:
        made = _as_nobody(home, "up", "--nodes", "2", "--gpus", "1", *where)
        assert made.returncode == 0, made.stderr
        script = "id -un; echo $SLURMD_NODENAME"
        ran = _as_nobody(home, "exec", *where, "--", "srun", "-N2", "sh", "-c", script)
        assert sorted(ran.stdout.split()) == ["n1", "n2", "nobody", "nobody"]
        refused = _torc("status", *where)
        assert "belongs to another user" in refused.stderr
    finally:
        _as_nobody(home, "down", *where)
        shutil.rmtree(home)
    assert processes_of(home) == []


def _as_nobody(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Without any right of root but one: Python may lie where only root can read."""
    right = "-all,+dac_read_search"
    rights = (f"--inh-caps={right}", f"--ambient-caps={right}", f"--bounding-set={right}")
    user = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *rights)
    env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        (*user, *TORC, *argv),
        env={**env, "HOME": str(home)},
        cwd=home,
        text=True,
        capture_output=True,
        check=False,
    )


# ── helpers ──────────────────────────────────────────────────────────────────


def _torc(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*TORC, *argv), text=True, capture_output=True, timeout=60, check=False, **options
    )


def _piped() -> dict[str, Any]:
    return {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def _version() -> str:
    said = subprocess.run(
        ("/usr/sbin/slurmctld", "-V"), capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"\d+\.\d+", said)
    assert found is not None
    return found[0]


def _starting_up(directory: Path, moment: str) -> subprocess.Popen[str]:
    """An `up` that has just come to the moment when a file appeared."""
    argv = (*TORC, "up", "--nodes", "1", "--dir", str(directory))
    process = subprocess.Popen(argv, **_piped())
    eventually(lambda: (directory / moment).exists() or process.poll() is not None)
    assert process.poll() is None, f"up ended before {moment} was there"
    return process


def _killed_up(directory: Path, moment: str) -> None:
    with _starting_up(directory, moment) as process:
        process.kill()
