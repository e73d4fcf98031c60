"""Starts the child process that speaks to Slurm's library, asks it, and ends it in time.

Separate from the adapter because this is about a process, and that about Slurm. Nothing may wait
for the child longer than it is allowed to, and a child that died must never look like an answer.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from slurmtorc.slurm.commands import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROBE_S = 15.0
"""How long importing the library may take: with a wrong SLURM_CONF it tries for a minute."""

_PIECE = 1 << 16


class Lost(Exception):
    """The child was asked, and there is no answer: it died, or took too long."""


class Unfit(Lost):
    """No child could be started that has the library: nothing was asked."""


class Helper(Protocol):
    """Whom the adapter asks."""

    def start(self) -> str:
        """Be ready, and tell the library's release. Raises Unfit."""

    def ask(self, question: str, **given: Any) -> dict[str, Any]:
        """The answer, as library.py describes it. Raises Unfit and Lost."""


class Child:
    """One child process at a time; a new one after the last one died. Threads take turns."""

    def __init__(self, environ: Mapping[str, str], timeout: float) -> None:
        found = clean_environment(environ)
        self._env = {name: v for name, v in found.items() if not name.startswith("PYSLURM_")}
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._finish: Callable[[], object] | None = None
        self._release = ""
        self._hopeless = ""
        self._turn = threading.RLock()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as this object
        weakref.finalize(self, self._complaints.close)

    def start(self) -> str:
        """Import the library, if no child has it already. What failed once is not tried again."""
        with self._turn:
            if self._hopeless:
                raise Unfit(self._hopeless)
            if self._process is None or self._process.poll() is not None:
                self.end()
                self._process = self._started()
                self._finish = weakref.finalize(self, _end, self._process)
                self._release = self._greeted()
            return self._release

    def ask(self, question: str, **given: Any) -> dict[str, Any]:
        """The answer to one question."""
        with self._turn:
            self.start()
            return self._asked(question, given, self._timeout)

    def end(self) -> None:
        """End the child, if there is one."""
        finish, self._finish, self._process = self._finish, None, None
        if finish is not None:
            finish()

    def _started(self) -> subprocess.Popen[bytes]:
        # -P: a file of the user's called like a module of Python's must not be taken for it.
        argv = [sys.executable, "-P", "-m", "slurmtorc.slurm.library"]
        try:
            return subprocess.Popen(
                argv, env=self._env, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
            )  # fmt: skip
        except OSError as error:
            raise Unfit(f"no process can be started: {error.strerror}") from error

    def _greeted(self) -> str:
        try:
            said = self._asked("hello", {}, min(PROBE_S, self._timeout))
        except Lost as error:
            said = {"raised": str(error)}
        if "raised" in said:
            self._hopeless = said["raised"]
            self.end()
            raise Unfit(self._hopeless)
        return str(said["answer"])

    def _asked(self, question: str, given: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process is not None
        self._forget_complaints()
        try:
            line = json.dumps({"ask": question, "with": given}).encode() + b"\n"
            said: dict[str, Any] = json.loads(_exchanged(self._process, line, seconds))
        except TimeoutError:
            self.end()
            raise Lost(f"Slurm's library did not answer within {seconds:g} s") from None
        except (OSError, ValueError):
            self.end()
            raise Lost(self._last_words()) from None
        return said

    def _forget_complaints(self) -> None:
        """The child's place in the file is this one."""
        self._complaints.seek(0)
        self._complaints.truncate()

    def _last_words(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read(_PIECE).decode("utf-8", "replace").strip().splitlines()
        return f"Slurm's library ended its process: {lines[-1] if lines else 'without a word'}"


def _exchanged(process: subprocess.Popen[bytes], line: bytes, seconds: float) -> bytes:
    """One line for one line. Raises TimeoutError, and OSError when there is nobody."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    source, pieces = process.stdout.fileno(), [b""]
    waiting, end = select.poll(), time.monotonic() + seconds
    waiting.register(source, select.POLLIN)
    while not pieces[-1].endswith(b"\n"):
        if not waiting.poll(max(0.0, end - time.monotonic()) * 1000):
            raise TimeoutError
        pieces.append(os.read(source, _PIECE))
        if not pieces[-1]:
            raise BrokenPipeError
    return b"".join(pieces)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        try:
            stream.close()
        except OSError:  # what was not sent any more
            continue
