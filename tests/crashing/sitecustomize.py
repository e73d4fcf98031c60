"""Ends the interpreter at one of its steps towards the outside: tests put this on PYTHONPATH.

A step is the moment before or after something that others can see: a commit that changed the
store, or the start of one of Slurm's programs. TORC_TEST_DIE_AT says at which of them, counted
from 1, the process is killed; TORC_TEST_STEPS names a file that is told of each. Both are taken out
of the environment, as what is started from here must live.
"""

from __future__ import annotations

import os
import signal
import sqlite3.dbapi2
import subprocess
from functools import partial
from typing import Any

_FATAL = int(os.environ.pop("TORC_TEST_DIE_AT", "0"))
_TOLD = os.environ.pop("TORC_TEST_STEPS", "")
_PROGRAMS = {"sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo"}
_count = 0


def _step(what: str) -> None:
    global _count  # noqa: PLW0603  the process as a whole is counted
    _count += 1
    if _TOLD:
        with open(_TOLD, "a", encoding="utf-8") as file:  # noqa: PTH123  as little as can be
            file.write(f"{what}\n")
    if _count == _FATAL:
        os.kill(os.getpid(), signal.SIGKILL)


class _Connection(sqlite3.Connection):
    _committed = 0

    def commit(self) -> None:
        if self.total_changes == self._committed:
            super().commit()
            return
        _step("before a commit")
        super().commit()
        self._committed = self.total_changes
        _step("after a commit")


class _Popen(subprocess.Popen[Any]):
    def __init__(self, args: Any, *more: Any, **options: Any) -> None:
        program = args[0] if isinstance(args, list) and args[0] in _PROGRAMS else None
        if program:
            _step(f"before {program}")
        super().__init__(args, *more, **options)
        if program:
            _step(f"after the start of {program}")


if _FATAL or _TOLD:
    sqlite3.dbapi2.connect = partial(sqlite3.connect, factory=_Connection)  # type: ignore[assignment]
    subprocess.Popen = _Popen  # type: ignore[misc]
