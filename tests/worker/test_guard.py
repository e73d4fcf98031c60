"""What becomes of jobs when the process that started them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from cluster import eventually

from slurmtorc.slurm.commands import LAUNCHER_MARK
from slurmtorc.worker.guard import Guard
from slurmtorc.worker.monitor import process_of

if TYPE_CHECKING:
    from pathlib import Path

LAUNCHING = """\
import os, sys, time
from slurmtorc.clock import SystemClock
from slurmtorc.ports import Order
from slurmtorc.worker.launch import LocalLauncher

launcher = LocalLauncher(SystemClock(), os.environ)
short = Order(key=1, command="true", env={}, directory=sys.argv[1])
launcher.start(short)
while not launcher.poll():
    launcher.wait(1.0)
for key, command in enumerate(("sleep 1000; true", "exec sleep 1000"), 2):
    launcher.start(Order(key=key, command=command, env={}, directory=sys.argv[1]))
print(*(running.pid for running in launcher._running.values()), flush=True)
time.sleep(1000)
"""


def test_jobs_end_with_the_process_that_started_them_however_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", LAUNCHING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        assert all(process_of(pid) for pid in pids)
        process.kill()
    eventually(lambda: not any(process_of(pid) for pid in pids), 20)


def test_an_idle_guard_ends_nothing() -> None:
    guard = Guard()
    guard.busy()
    guard.idle()
    job = subprocess.Popen(["sleep", "1000"], env={**os.environ, LAUNCHER_MARK: guard.mark})
    guard.close()
    assert job.poll() is None
    job.kill()
    job.wait()


def test_a_guard_leaves_alone_what_is_not_ours() -> None:
    guards = [Guard(), Guard()]
    jobs = [
        subprocess.Popen(["sleep", "1000"], env={**os.environ, LAUNCHER_MARK: guard.mark})
        for guard in guards
    ]
    for guard in guards:
        guard.busy()
    guards[0].close()
    assert jobs[0].wait(20) == -signal.SIGKILL
    assert jobs[1].poll() is None
    guards[1].close()
    assert jobs[1].wait(20) == -signal.SIGKILL
