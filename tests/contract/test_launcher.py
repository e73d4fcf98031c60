"""What every launcher must do, on real processes."""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slurmtorc.clock import ManualClock, SystemClock
from slurmtorc.model import Capacity
from slurmtorc.ports import Order
from slurmtorc.settings import Settings
from slurmtorc.slurm.cli import SlurmCli
from slurmtorc.worker.clerk import Clerk
from slurmtorc.worker.launch import PATIENCE_S as PATIENCE_OF_SHORTAGES_S
from slurmtorc.worker.launch import LocalLauncher
from slurmtorc.worker.monitor import Monitor, process_of, processes
from slurmtorc.worker.srun import Allotment, SrunLauncher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import RunningCluster

    from slurmtorc.ports import Exit, Launcher

PATIENCE_S = 30.0
GUARDS_FDS = 2
"""Its pipe and its file, from the first job on."""


LOCAL = ["pidfd", "sigchld"]
STEPS = pytest.param("srun", marks=[pytest.mark.slurm, pytest.mark.slow])


@pytest.fixture(params=[*LOCAL, STEPS])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    """Every adapter."""
    steps = request.param == "srun"
    yield from request.getfixturevalue("srun" if steps else f"local_{request.param}")


@pytest.fixture(params=LOCAL)
def here(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    """Those whose processes are on this machine. Of a step's, Slurm measures them and ends the
    last; where it tracks processes by their parents, as in the sandbox, some escape it.
    """
    yield from request.getfixturevalue(f"local_{request.param}")


def open_fds() -> list[str]:
    return os.listdir("/proc/self/fd")  # noqa: PTH208  names only


def a_launcher() -> LocalLauncher:
    return LocalLauncher(SystemClock(), os.environ, Monitor(interval=0.2))


@pytest.fixture
def local_pidfd() -> Iterator[Launcher]:
    return to_the_end(a_launcher())


@pytest.fixture
def local_sigchld(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """A kernel without pidfds."""

    def missing(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing)
    return to_the_end(a_launcher())


@pytest.fixture
def srun(cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    """In an allocation of its own."""
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    asked = cluster.run("salloc", "--no-shell", "-n1", "-c2", "-t5", "--mem=500")
    match = re.search(r"allocation (\d+)", asked.stderr)
    assert match is not None, asked.stderr
    clock, number = SystemClock(), int(match[1])
    slurm = SlurmCli(Settings(), clock)
    whole = Capacity(cpus=2, memory_bytes=500 << 20)
    allotment = Allotment(slurm_job_id=number, whole=whole, bind=None)
    local = LocalLauncher(clock, os.environ, Monitor(interval=3600))
    made = SrunLauncher(local, Clerk(slurm, number), clock, allotment)
    yield to_the_end(made, local)
    cluster.run("scancel", str(number))


def to_the_end(made: Launcher, local: LocalLauncher | None = None) -> Iterator[Launcher]:
    """Lend it, and see that nothing is left."""
    yield made
    for key in list(made.running()):
        made.stop(key, hard=True)
    ended(made, len(made.running()))
    (local or made).close()  # type: ignore[attr-defined]


def an_order(tmp_path: Path, command: str, key: int = 1, **values: Any) -> Order:
    given = {"env": {}, "stdout": f"{tmp_path}/{key}.o", "stderr": f"{tmp_path}/{key}.e"}
    given |= {"step": f"wf1_j{key}_r1_a1"}
    return Order(key=key, command=command, directory=str(tmp_path), **given | values)


def ended(launcher: Launcher, count: int) -> dict[int, Exit]:
    """Wait for so many ends."""
    found: dict[int, Exit] = {}
    limit = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < limit, f"{count - len(found)} of {count} processes do not end"
        launcher.wait(1.0)
        found |= {exit_.key: exit_ for exit_ in launcher.poll()}
    return found


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [
        ("true", 0, None),
        ("false", 1, None),
        ("exit 200", 200, None),
        ("sh -c 'exit 7'", 7, None),
        ("kill -9 $$", None, 9),
        ("sh -c 'kill -TERM $$'", None, 15),
        ("no-such-program --x", 127, None),
        ("./not-executable", 126, None),
        ("./no-shebang.sh", 5, None),
    ],
)
def test_exits_and_signals_are_told_apart(
    launcher: Launcher, tmp_path: Path, command: str, code: int | None, number: int | None
) -> None:
    (tmp_path / "not-executable").write_text("x")
    (tmp_path / "no-shebang.sh").write_text("exit 5\n")
    (tmp_path / "no-shebang.sh").chmod(0o755)
    launcher.start(an_order(tmp_path, command))
    exit_ = ended(launcher, 1)[1]
    assert (exit_.code, exit_.signal, exit_.launch_error) == (code, number, None)
    assert exit_.end_time >= exit_.start_time


def test_output_environment_and_directory(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    order = an_order(
        tmp_path / "here",
        'echo "$GIVEN in $(pwd)"; echo oops >&2; cat',
        env={"GIVEN": "a value"},
        stdout=f"{tmp_path}/out",
        stderr=f"{tmp_path}/err",
    )
    launcher.start(order)
    assert ended(launcher, 1)[1].code == 0
    assert (tmp_path / "out").read_text() == f"a value in {tmp_path}/here\n"
    assert (tmp_path / "err").read_text() == "oops\n"


def test_equal_paths_are_one_file_and_none_is_nowhere(launcher: Launcher, tmp_path: Path) -> None:
    both = f"{tmp_path}/both.log"
    launcher.start(an_order(tmp_path, "echo 1; echo 2 >&2; echo 3", stdout=both, stderr=both))
    launcher.start(an_order(tmp_path, "echo x", key=2, stdout=None, stderr=None))
    ended(launcher, 2)
    assert Path(both).read_text() == "1\n2\n3\n"
    assert not (tmp_path / "2.o").exists()


def test_a_process_that_cannot_be_started_comes_back_with_the_reason(
    launcher: Launcher, tmp_path: Path
) -> None:
    launcher.start(an_order(tmp_path, "true", stdout=f"{tmp_path}/no/such/folder/o"))
    launcher.start(an_order(tmp_path / "gone", "true", key=2))
    launcher.start(an_order(tmp_path, "true", key=3))
    exits = ended(launcher, 3)
    assert "No such file" in (exits[1].launch_error or "")
    assert "gone" in (exits[2].launch_error or "")
    assert exits[3].code == 0


def test_many_processes_are_told_apart(launcher: Launcher, tmp_path: Path) -> None:
    for key in range(1, 41):
        launcher.start(an_order(tmp_path, f"exit {key}", key=key, stdout=None, stderr=None))
    assert {key: exit_.code for key, exit_ in ended(launcher, 40).items()} == {
        key: key for key in range(1, 41)
    }
    assert not launcher.running()


def test_a_process_that_runs_is_ours_though_its_starter_cannot_go_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(_fd: int) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as gone, closing(a_launcher()) as launcher:
        gone.setattr(os, "fchdir", stale)
        before = len(open_fds())
        launcher.start(an_order(tmp_path, "exit 3", stdout=str(tmp_path / "out")))
        assert ended(launcher, 1)[1].code == 3
        assert len(open_fds()) <= before + GUARDS_FDS


def test_where_descriptors_are_few_most_are_left_to_others(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (65, hard))
    try:
        with closing(a_launcher()) as launcher:
            for key in range(1, 41):
                launcher.start(an_order(tmp_path, f"sleep 0.3; exit {key}", key))
            assert len(open_fds()) < 40
            codes = {key: one.code for key, one in ended(launcher, 40).items()}
            assert codes == {key: key for key in range(1, 41)}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_told_of_a_process_that_is_over_ends_no_other(tmp_path: Path) -> None:
    """Somebody has a copy of its descriptor: so the kernel tells of it after it was closed."""
    with closing(a_launcher()) as launcher:
        launcher.start(an_order(tmp_path, "true", key=1))
        (watched,) = launcher._by_fd
        copy = os.dup(watched)
        assert ended(launcher, 1)[1].code == 0
        launcher.start(an_order(tmp_path, "sleep 0.3", key=2))
        assert list(launcher._by_fd) == [watched]
        assert [fd for fd, _ in launcher._epoll.poll(0)] == [watched]
        assert ended(launcher, 1)[2].code == 0
        os.close(copy)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """As many files are open as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(open_fds()) + 20, hard))
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_meets_a_shortage_is_started_when_that_is_over(tmp_path: Path) -> None:
    with closing(a_launcher()) as launcher:
        launcher.start(an_order(tmp_path, "sleep 60", 1))
        with no_descriptor_left():
            launcher.start(an_order(tmp_path, "exit 3", 2))
            launcher.start(an_order(tmp_path, "exit 4", 3))
            assert launcher.poll() == []
            assert sorted(launcher.running()) == [1, 2, 3]
            launcher.stop(3, hard=False)
            (never_begun,) = launcher.poll()
            assert (never_begun.key, never_begun.signal) == (3, signal.SIGTERM)
        assert ended(launcher, 1)[2].code == 3
        assert list(launcher.running()) == [1]


def test_a_shortage_that_does_not_end_is_told_after_a_while(tmp_path: Path) -> None:
    clock = ManualClock()
    with closing(LocalLauncher(clock, os.environ)) as launcher, no_descriptor_left():
        launcher.start(an_order(tmp_path, "true"))
        assert launcher.poll() == []
        clock.sleep(PATIENCE_OF_SHORTAGES_S)
        (ended_,) = launcher.poll()
        assert ended_.launch_error is not None
        assert ended_.launch_error.startswith("Too many open files")
        assert list(launcher.running()) == []


def test_without_a_descriptor_for_proc_there_are_no_processes_to_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(_path: str) -> list[str]:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as short:
        short.setattr(os, "listdir", none_left)
        found = processes()
    assert found == []


def test_stop_asks_first_and_then_ends(launcher: Launcher, tmp_path: Path) -> None:
    polite = "trap 'echo bye; exit 3' TERM; touch up1; while :; do sleep 0.01; done"
    stubborn = "trap '' TERM; touch up2; while :; do sleep 0.01; done"
    launcher.start(an_order(tmp_path, polite))
    launcher.start(an_order(tmp_path, stubborn, key=2))
    wait_for(tmp_path / "up1", tmp_path / "up2")
    launcher.stop(1, hard=False)
    launcher.stop(2, hard=False)
    assert ended(launcher, 1)[1].code == 3
    launcher.stop(2, hard=True)
    assert ended(launcher, 1)[2].signal == signal.SIGKILL
    launcher.stop(2, hard=True)  # nothing of that name runs any more


def wait_for(*paths: Path) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not all(path.exists() and (path.suffix != ".pid" or path.read_text()) for path in paths):
        assert time.monotonic() < limit, f"{paths} do not appear"
        time.sleep(0.01)


def test_a_stopped_shell_does_not_go_on_to_its_next_command(here: Launcher, tmp_path: Path) -> None:
    keys = range(1, 21)
    for key in keys:
        here.start(an_order(tmp_path, f"touch up{key}; sleep 100; touch on{key}", key))
    wait_for(*(tmp_path / f"up{key}" for key in keys))
    for key in keys:
        here.stop(key, hard=False)
    assert {exit_.signal for exit_ in ended(here, len(keys)).values()} == {signal.SIGTERM}
    assert list(tmp_path.glob("on*")) == []


def test_stop_reaches_the_whole_family(here: Launcher, tmp_path: Path) -> None:
    """Children, children in a process group of their own, and those whose parent is gone."""
    command = (
        "sleep 100 & echo $! > a.pid; timeout 100 sleep 100 & echo $! > b.pid; "
        "(sleep 100 & echo $! > c.pid); wait"
    )
    here.start(an_order(tmp_path, command))
    files = [tmp_path / name for name in ("a.pid", "b.pid", "c.pid")]
    wait_for(*files)
    pids = [int(path.read_text()) for path in files]
    here.stop(1, hard=True)
    ended(here, 1)
    limit = time.monotonic() + PATIENCE_S
    while any(process_of(pid) for pid in pids):
        assert time.monotonic() < limit, "processes of the job are left"
        time.sleep(0.01)


def test_what_a_job_leaves_in_its_group_ends_with_it(here: Launcher, tmp_path: Path) -> None:
    here.start(an_order(tmp_path, "sleep 100 & echo $! > left.pid"))
    assert ended(here, 1)[1].code == 0
    pid = int((tmp_path / "left.pid").read_text())
    limit = time.monotonic() + PATIENCE_S
    while process_of(pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_what_a_stopped_job_had_sent_away_ends_with_it(here: Launcher, tmp_path: Path) -> None:
    stubborn = f"setsid bash -c 'trap \"\" TERM; echo $$ > {tmp_path}/stray; sleep 60' & sleep 60"
    here.start(an_order(tmp_path, stubborn))
    stray, limit = tmp_path / "stray", time.monotonic() + PATIENCE_S
    while not (stray.exists() and stray.read_text()):
        assert time.monotonic() < limit
        time.sleep(0.01)
    pid = int(stray.read_text())
    here.stop(1, hard=False)
    assert ended(here, 1)[1].signal == signal.SIGTERM
    while process_of(pid):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_command_that_no_program_can_be_given_is_said(here: Launcher, tmp_path: Path) -> None:
    here.start(an_order(tmp_path, "true \0"))
    assert "null byte" in (ended(here, 1)[1].launch_error or "")


def test_pages_that_processes_share_count_once(here: Launcher, tmp_path: Path) -> None:
    (tmp_path / "fork.py").write_text(
        "import os, time\n"
        "x = bytearray(150_000_000)\n"
        "for _ in range(5):\n"
        "    if os.fork() == 0:\n"
        "        break\n"
        "time.sleep(1)\n"
    )
    here.start(an_order(tmp_path, "python3 fork.py", memory_limit=400_000_000))
    exit_ = ended(here, 1)[1]
    assert (exit_.code, exit_.over_memory) == (0, False)
    assert 140e6 < (exit_.peak_memory_bytes or 0) < 300e6


def test_wait_returns_when_a_process_ends(launcher: Launcher, tmp_path: Path) -> None:
    launcher.start(an_order(tmp_path, "sleep 0.05", key=7))
    told: list[Exit] = []
    for _ in range(1000):  # sampling may end a wait as well
        launcher.wait(3600)
        told = told or launcher.poll()
        if told:
            break
    assert [(exit_.key, exit_.code) for exit_ in told] == [(7, 0)]


def test_wait_returns_when_a_signal_comes(launcher: Launcher) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        launcher.wait(3600)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert launcher.poll() == []


def test_memory_and_cpu_of_a_long_job_are_measured(here: Launcher, tmp_path: Path) -> None:
    use = "x = bytearray(150_000_000)\n"
    burn = "import time\nend = time.time() + 2.6\nwhile time.time() < end: pass"
    (tmp_path / "burn.py").write_text(use + burn)
    here.start(an_order(tmp_path, "python3 burn.py & python3 burn.py; wait"))
    exit_ = ended(here, 1)[1]
    assert exit_.code == 0
    assert exit_.peak_memory_bytes is not None
    assert exit_.avg_memory_bytes is not None
    assert 290e6 < exit_.peak_memory_bytes < 450e6  # the tree, not one process
    assert 50e6 < exit_.avg_memory_bytes <= exit_.peak_memory_bytes
    assert exit_.avg_cpu_percent is not None
    assert exit_.peak_cpu_percent is not None
    assert 20 < exit_.avg_cpu_percent <= exit_.peak_cpu_percent


def test_even_the_shortest_job_is_measured(here: Launcher, tmp_path: Path) -> None:
    short = "import os; x = bytearray(400_000_000); os._exit(0)"
    here.start(an_order(tmp_path, f'python3 -c "{short}"'))
    here.start(an_order(tmp_path, "true", key=2))
    exits = ended(here, 2)
    assert (exits[1].peak_memory_bytes or 0) > 390e6
    assert 0 < (exits[2].peak_memory_bytes or 0) < 20e6  # its own size, not its parent's
    for exit_ in exits.values():
        assert exit_.avg_cpu_percent is not None
        assert exit_.avg_cpu_percent > 0


def test_many_small_processes_are_not_one_large_one(here: Launcher, tmp_path: Path) -> None:
    many = "for i in $(seq 300); do /bin/true; done; sleep 0.4"
    here.start(an_order(tmp_path, many))
    peak = ended(here, 1)[1].peak_memory_bytes or 0
    assert 0 < peak < 20e6


def test_a_peak_between_two_looks_is_seen(here: Launcher, tmp_path: Path) -> None:
    burst = "import time; x = bytearray(300_000_000); del x; time.sleep(0.6)"
    here.start(an_order(tmp_path, f'python3 -c "{burst}" & wait'))
    assert (ended(here, 1)[1].peak_memory_bytes or 0) > 290e6


def test_a_job_over_its_memory_is_killed_and_says_so(here: Launcher, tmp_path: Path) -> None:
    hungry = "python3 -c 'x = bytearray(300_000_000)\nwhile True: pass'"
    here.start(an_order(tmp_path, hungry, memory_limit=200_000_000))
    here.start(an_order(tmp_path, "sleep 0.5", key=2, memory_limit=200_000_000))
    exits = ended(here, 2)
    assert (exits[1].signal, exits[1].over_memory) == (signal.SIGKILL, True)
    assert (exits[2].code, exits[2].over_memory) == (0, False)


def test_a_wait_is_cut_short_by_a_bell_as_long_as_somebody_rings_it(launcher: Launcher) -> None:
    read, write = os.pipe()
    try:
        assert not launcher.wait(0.0, read)
        os.write(write, b"x")
        begun = time.monotonic()
        assert launcher.wait(PATIENCE_S, read)
        assert time.monotonic() < begun + PATIENCE_S
        assert not launcher.wait(0.0)
    finally:
        os.close(read)
        os.close(write)
