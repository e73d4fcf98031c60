"""Simulated time, and the processes that live in it.

Every program of a simulated cluster is the real one: a tick that says how long to rest. Here
ticks are driven by SimPy. A program may also sleep inside a tick, as one that looks for a lost
submission does; then everybody else goes on, and a process killed meanwhile never comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpy import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from simpy.events import Event

START = 1_700_000_000.0
NOTICE_S = 1.0
"""From the moment something happens until a process that waits for it looks again."""
DEEPEST = 2
"""How many processes may sleep inside their ticks at once: the first to sleep is the last to
come back, so more would be late."""


class Killed(BaseException):
    """Raised inside the tick of a process that was killed while it slept."""


class SimClock:
    """The clock of a simulated world; it moves while somebody sleeps or the world runs."""

    def __init__(self) -> None:
        self.env = Environment(START)
        self.process: Process | None = None
        """Who is at work now."""
        self._asleep = 0

    def restart(self, start: float = START) -> None:
        """Another world begins."""
        self.env, self.process, self._asleep = Environment(start), None, 0

    @property
    def crowded(self) -> bool:
        """Whether nobody else should do what may have to sleep."""
        return self._asleep >= DEEPEST

    def now(self) -> float:
        """Epoch seconds."""
        return float(self.env.now)

    def sleep(self, seconds: float) -> None:
        """Rest while all others go on."""
        self.rest(seconds)

    def rest(self, seconds: float, until: Callable[[], bool] = bool) -> None:
        """Rest, or until something is so. Raises Killed in a process that was killed meanwhile."""
        me, over = self.process, self.env.timeout(seconds)
        self._asleep += 1
        try:
            while not (over.processed or until()):
                self.env.step()
        finally:
            self._asleep -= 1
            self.process = me
        if me is not None and me.is_dead:
            raise Killed


class Process:
    """One simulated process: a tick, driven until it says that it is over or until it is killed.

    The tick's rest is cut short when somebody wakes the process.
    """

    def __init__(self, clock: SimClock, tick: Callable[[], float | None]) -> None:
        self.clock = clock
        self.tick = tick
        self.is_dead = False
        self._bell: Event = clock.env.event()
        self.over: Event = clock.env.process(self._life())
        """Happens when the process is over, however that came."""

    def wake(self) -> None:
        """Something happened that it may want to see."""
        if not self._bell.triggered:
            self._bell.succeed()

    def kill(self) -> None:
        """It does nothing more, wherever it was."""
        self.is_dead = True
        self.wake()

    def _life(self) -> Generator[Event, object, None]:
        env = self.clock.env
        while not self.is_dead:
            rest = self._step()
            if rest is None:
                self.is_dead = True
                return
            self._bell = env.event()
            yield env.timeout(rest) | self._bell
            if self._bell.triggered and not self.is_dead:
                yield env.timeout(NOTICE_S)

    def _step(self) -> float | None:
        before, self.clock.process = self.clock.process, self
        try:
            return self.tick()
        except Killed:
            return None
        finally:
            self.clock.process = before
