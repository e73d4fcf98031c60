"""Processes are never taken for others, and a sandbox's own are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import eventually

from slurmtorc.sandbox import belonging, processes
from slurmtorc.sandbox.belonging import Role
from slurmtorc.sandbox.daemons import environment
from slurmtorc.sandbox.place import Layout
from slurmtorc.sandbox.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SLEEP = ("sleep", "1000")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Layout]:
    place = Layout(tmp_path)
    for folder in place.folders:
        folder.mkdir()
    yield place
    belonging.end_all(place)
    processes.end(_started)
    _started.clear()


_started: list[Process] = []


def a_daemon(place: Layout, name: str, *argv: str) -> Process:
    env = environment(name, place, os.environ)
    return a_process(place, env, *argv)


def a_process(place: Layout, env: Mapping[str, str], *argv: str) -> Process:
    _started.append(processes.start(argv or SLEEP, env, place.directory, place.output("n1")))
    return _started[-1]


def in_a_job(place: Layout) -> dict[str, str]:
    return {**os.environ, "SLURM_CONF": str(place.slurm_conf), "SLURMD_NODENAME": "n1"}


def test_a_daemon_has_a_session_and_a_log_of_its_own_and_no_parent_of_ours(place: Layout) -> None:
    process = a_daemon(place, "n1", "sh", "-c", "echo out; echo err >&2; exec sleep 1000")
    seen = processes.look(process.pid)
    assert seen is not None
    assert seen.parent != os.getpid()
    assert os.getsid(process.pid) != os.getsid(0)
    eventually(lambda: place.output("n1").read_text() == "out\nerr\n")


def test_a_program_that_is_not_there_is_dead_at_once_and_says_so(place: Layout) -> None:
    process = a_daemon(place, "n1", "no-such-program")
    assert processes.gone([process], 5)
    assert "no-such-program: not found" in place.output("n1").read_text()


def test_jobs_of_a_daemon_can_be_interrupted(place: Layout) -> None:
    """A shell starts what runs in the background with INT ignored; a daemon's children are not."""
    process = a_daemon(place, "n1", "sleep", "1000")
    status = Path(f"/proc/{process.pid}/status").read_text()
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    assert not ignored & (1 << (signal.SIGINT - 1))


def test_a_later_process_with_the_same_pid_is_another(place: Layout) -> None:
    process = a_daemon(place, "n1")
    former = Process(process.pid, process.start - 1)
    assert not processes.alive(former)
    processes.end([former])
    assert processes.gone([former], 0)
    assert processes.alive(process)


def test_a_record_is_of_no_use_after_the_machine_has_started_again(place: Layout) -> None:
    process = a_daemon(place, "n1")
    record = place.record("n1")
    processes.write_record(record, process)
    assert processes.read_record(record) == process
    record.write_text(f"{process.pid} {process.start} 00000000-0000-0000-0000-000000000000\n")
    assert processes.read_record(record) is None


@pytest.mark.parametrize("text", ["", "12", "a b c", "1 2 3 4"])
def test_a_broken_record_is_none(place: Layout, text: str) -> None:
    place.record("n1").write_text(text)
    assert processes.read_record(place.record("n1")) is None


def test_a_halted_process_is_alive_and_halted(place: Layout) -> None:
    process = a_daemon(place, "n1")
    assert not processes.halted(process)
    processes.send([process], signal.SIGSTOP)
    eventually(lambda: processes.halted(process))


# ── which are the sandbox's ──────────────────────────────────────────────────


def test_a_daemon_is_found_by_its_mark_and_its_children_with_it(place: Layout) -> None:
    process = a_daemon(place, "n1", "sh", "-c", "env -i sleep 1000 & wait")
    eventually(lambda: len(belonging.find(place)) == 2)
    found = belonging.find(place)
    assert found[process] is Role.DAEMON
    assert set(found.values()) == {Role.DAEMON}
    assert belonging.end_all(place) == 2


def test_a_daemon_without_its_mark_is_found_by_its_record(place: Layout) -> None:
    process = a_process(place, {"PATH": os.environ["PATH"]})
    assert belonging.find(place) == {}
    processes.write_record(place.record("n1"), process)
    assert belonging.find(place) == {process: Role.DAEMON}


def test_what_runs_in_a_job_is_found_by_its_environment(place: Layout) -> None:
    process = a_process(place, in_a_job(place))
    assert belonging.find(place) == {process: Role.JOB}


def test_a_job_is_asked_before_it_is_ended(place: Layout) -> None:
    code = "trap 'echo saved; exit' TERM; echo ready; while :; do sleep 0.01; done"
    a_process(place, in_a_job(place), "sh", "-c", code)
    eventually(lambda: "ready" in place.output("n1").read_text())
    belonging.end_all(place)
    assert "saved" in place.output("n1").read_text()


def test_nobody_else_is_found(place: Layout, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another sandbox, a shell of `exec`, and we ourselves."""
    other = Layout(tmp_path_factory.mktemp("other"))
    other.logs.mkdir()
    theirs = a_daemon(other, "n1")
    env = {**os.environ, "SLURM_CONF": str(place.slurm_conf)}
    with subprocess.Popen(SLEEP, env=env, cwd=place.directory) as client:
        assert belonging.find(place) == {}
        assert belonging.end_all(place) == 0
        assert client.poll() is None
        client.kill()
    assert processes.alive(theirs)
    belonging.end_all(other)


def test_we_do_not_end_ourselves_when_a_job_ends_the_sandbox(place: Layout) -> None:
    code = (
        "import sys; from pathlib import Path; from slurmtorc.sandbox import belonging, place\n"
        "print(belonging.end_all(place.Layout(Path(sys.argv[1]))))"
    )
    argv = (sys.executable, "-c", code, place.directory)
    done = subprocess.run(argv, env=in_a_job(place), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n")


def test_strays_are_of_one_daemon_only(place: Layout) -> None:
    first, second = a_daemon(place, "n1"), a_daemon(place, "n10")
    assert belonging.strays(place, "n1") == [first]
    assert belonging.strays(place, "n10") == [second]
