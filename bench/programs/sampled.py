"""Runs `torc` and notes where its CPU time goes: sampled.py ANSWER ARGUMENT...

The kernel's profiling timer wakes us after so much CPU; then each thread's stack is charged with
what that thread has used since the last time, by its own clock. So nothing is guessed from
counts, waiting costs nothing, and what is measured is hardly slower than without us.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import Self

EVERY_S = 0.001
"""The kernel makes of it what its clock can do, often 4 ms."""
IMPORTING = "(import)"
PLUMBING = ("__main__", "click.")
"""Modules that are on every stack and say nothing."""


class Sampler:
    """Seconds of CPU by stack."""

    def __init__(self) -> None:
        self.stacks: dict[str, float] = {}
        self.before: dict[int, float] = {}

    def __enter__(self) -> Self:
        signal.signal(signal.SIGPROF, self.look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def look(self, _number: int, here: FrameType | None) -> None:
        """Charge every thread's stack; `here` is the main thread's, without ourselves."""
        main = threading.main_thread().ident
        for thread, frame in sys._current_frames().items():  # noqa: SLF001  the only way to them
            seconds = self._spent(thread)
            top = here if thread == main else frame
            if seconds > 0 and top is not None:
                stack = folded(top)
                self.stacks[stack] = self.stacks.get(stack, 0.0) + seconds

    def _spent(self, thread: int) -> float:
        try:
            now = time.clock_gettime(time.pthread_getcpuclockid(thread))
        except OSError:  # it has just ended
            return 0.0
        before, self.before[thread] = self.before.get(thread, 0.0), now
        return now - before


def folded(frame: FrameType | None) -> str:
    """A stack as text, the outermost function first."""
    names: list[str] = []
    while frame is not None:
        name = _name(frame)
        if not name.startswith(PLUMBING) and not (names and names[-1] == name == IMPORTING):
            names.append(name)
        frame = frame.f_back
    return ";".join(reversed(names))


def _name(frame: FrameType) -> str:
    module = str(frame.f_globals.get("__name__", "?"))
    if module.startswith("importlib."):
        return IMPORTING
    return f"{module}.{frame.f_code.co_qualname}".replace(";", ",")


def main(answer: str, *arguments: str) -> None:
    """Run it, and write the stacks, also when it ends by sys.exit."""
    sys.argv = ["torc", *arguments]
    begun = time.perf_counter()
    sampler = Sampler()
    try:
        with sampler:
            from slurmtorc.__main__ import main as torc  # noqa: PLC0415  its import is measured

            torc()
    finally:
        seconds, times = time.perf_counter() - begun, os.times()
        said = {
            "seconds": seconds,
            "own_cpu": times.user + times.system,
            "children_cpu": times.children_user + times.children_system,
            "stacks": sampler.stacks,
        }
        Path(answer).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
