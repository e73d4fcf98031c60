"""Ends what a process has started, if the process itself is killed.

Nobody tells a job that its worker was killed. It would go on, come to its end without a report,
and run a second time beside or after that. Slurm ends it where it keeps processes in control
groups; elsewhere, and outside of Slurm, nothing does. So a shell stands by that waits for a pipe
to close. If a job runs by then, every process that bears our mark in its environment is killed:
a mark, and not a list of pids, as a number may be somebody else's by then, and as a job may have
been started the very moment before.

Whether a job runs is written into a file in memory that the shell reads only then: workers whose
jobs take milliseconds must not wake it at each of them.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess

from slurmtorc.slurm.commands import LAUNCHER_MARK
from slurmtorc.worker.spawn import SHORTAGES

log = logging.getLogger(__name__)

_SCRIPT = """\
trap '' HUP INT TERM
read -r end
read -r state <&1
[ "$state" = idle ] && exit
for round in 1 2 3; do  # a process may be on its way into its program
    for file in $(grep -lzxF -- "$1" /proc/[0-9]*/environ); do
        pid=${file#/proc/}
        kill -KILL "${pid%/environ}"
    done
    sleep 0.2
done
"""


class Guard:
    """Stands by from the first job on."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)
        """What every job has as LAUNCHER_MARK in its environment."""
        self._pipe: int | None = None
        self._state = -1
        """The file in memory."""
        self._shell = 0
        """Its pid."""

    def busy(self) -> None:
        """A first job is about to start: from now on there is something to end.

        Raises OSError while there is a shortage: no job need begin without its guard then.
        """
        if self._pipe is None:
            self._start()
        self._tell(b"busy\n")

    def idle(self) -> None:
        """The last job is over."""
        self._tell(b"idle\n")

    def close(self) -> None:
        """Stand down. Jobs that still run are killed."""
        if self._pipe is not None:
            os.close(self._pipe)
            os.close(self._state)
            os.waitpid(self._shell, 0)
            self._pipe = None

    def _start(self) -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        state: int | None = None
        # If we are a job ourselves, its guard is to end us, and this one what we have started.
        environ = {name: value for name, value in os.environ.items() if name != LAUNCHER_MARK}
        try:
            state = os.memfd_create("torc-guard")
            shell = subprocess.Popen(
                ["sh", "-c", _SCRIPT, "torc-guard", f"{LAUNCHER_MARK}={self.mark}"],
                env=environ,
                stdin=read,
                stdout=state,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # nothing that ends us is to end it
            )
        except OSError as error:
            os.close(write)
            if state is not None:
                os.close(state)
            if error.errno in SHORTAGES:
                raise
            log.warning("Jobs would go on if this process were killed: %s", error)
            return
        finally:
            os.close(read)
        shell.returncode = 0  # ours to wait for: it outlives the object
        self._pipe, self._state, self._shell = write, state, shell.pid

    def _tell(self, line: bytes) -> None:
        if self._pipe is not None:
            os.pwrite(self._state, line, 0)
