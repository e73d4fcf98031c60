"""An order becomes a process: its program, its files, its folder, its environment.

posix_spawn, so that a worker of any size is neither copied nor slowed down, and without a shell
where the command has nothing for one to do. Separate from the launcher, which is about what
becomes of processes afterwards. Nothing that this process has open but the three files of the
job may ever reach a job.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import TYPE_CHECKING

from slurmtorc.worker import shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.ports import Order

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
_STDERR = 2
SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Why no process can be started now: too many of them, no memory, too many files. That passes."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""A program expects these to end it."""


class Spawner:
    """Starts the processes of one launcher."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._null = _opened_above_stderr(os.devnull, os.O_RDWR)
        self._home = os.open(".", os.O_PATH | os.O_CLOEXEC)
        _keep_to_ourselves()

    def close(self) -> None:
        """Give back descriptors."""
        os.close(self._null)
        os.close(self._home)

    def spawn(self, order: Order) -> int:
        """Start the process; its pid. Raises OSError or ValueError if that is impossible."""
        environ = {**self._environ, **order.env}
        search = environ.get("PATH")
        words = shell.words(order.command)
        path = shell.program(words[0], search) if words else None
        out = err = self._null
        try:
            kept = os.O_APPEND if order.append else os.O_TRUNC
            out = self._file(order.stdout, kept)
            err = out if order.stderr == order.stdout else self._file(order.stderr, kept)
            os.chdir(order.directory)
            if words is not None and path is not None:
                try:
                    return self._program(path, words, environ, (out, err))
                except OSError:
                    pass  # what the kernel refuses to execute, bash may still run, or explain
            bash = shell.program("bash", search) or "/bin/bash"
            return self._program(bash, ("bash", "-c", order.command), environ, (out, err))
        finally:
            # A home that cannot be entered any more is no reason to disown a process that runs.
            try:  # noqa: SIM105  suppress() costs, and this is for every job
                os.fchdir(self._home)
            except OSError:
                pass
            for fd in {out, err} - {self._null}:
                os.close(fd)

    def _file(self, path: str | None, kept: int) -> int:
        return self._null if path is None else os.open(path, _WRITE | kept, 0o644)

    def _program(
        self, path: str, argv: tuple[str, ...], environ: Mapping[str, str], files: tuple[int, int]
    ) -> int:
        into = zip((self._null, *files), range(3), strict=True)
        return os.posix_spawn(
            path,
            argv,
            environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in into],
            setsid=True,
            setsigdef=_IGNORED_BY_PYTHON,
        )


def _opened_above_stderr(path: str, flags: int) -> int:
    """A descriptor that is none of the three a job gets; those are open from now on."""
    while (fd := os.open(path, flags | os.O_CLOEXEC)) <= _STDERR:
        pass
    return fd


def _keep_to_ourselves() -> None:
    """No job is to get what this process has inherited; what it opens itself is closed anyway."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  names only
        if int(name) > _STDERR:
            with contextlib.suppress(OSError):  # the folder's own, closed by now
                os.set_inheritable(int(name), False)  # noqa: FBT003  it takes no names
