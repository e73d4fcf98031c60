"""News: whether others have changed anything in the store, and resting until they have.

Apart from the worker because the two kinds of store differ here, and nowhere else: one rings, and
its bell is waited for together with processes; the other must be looked at, which has to cost
next to nothing, as every worker without a job does it all the time. Nobody who waits may slow
down those who work: a worker that is rung at every commit of a busy store still rests in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.errors import StoreUnavailable

if TYPE_CHECKING:
    from slurmtorc.ports import Clock, Launcher, Store

GAP_S = 0.01
"""Between two looks at the store, at least."""
LONGEST_GAP_S = 0.1
CALM = 100
"""Whoever has been idle for long rests such a part of that time: so looking costs less and less,
and nobody waits for news much longer than a hundredth of what has passed without any."""


class News:
    """What one worker has seen of the store's changes."""

    def __init__(self, store: Store, launcher: Launcher, clock: Clock) -> None:
        self._store = store
        self._launcher = launcher
        self._clock = clock
        self._stamp: object = None

    def came(self) -> bool:
        """Whether anybody may have changed something since this was asked last."""
        before, self._stamp = self._stamp, self._store.stamp()
        return before is None or before != self._stamp

    def forget(self) -> None:
        """What was seen before has not been acted upon."""
        self._stamp = None

    def wait(self, seconds: float, idle_s: float) -> None:
        """Rest until news has come, a process has ended, or the time is over.

        `idle_s`: for how long there has been nothing to do. A store that does not answer ends no
        rest: whoever asks it for more will hear of that.
        """
        until = self._clock.now() + seconds
        gap = min(max(GAP_S, idle_s / CALM), LONGEST_GAP_S)
        bell = self._store.bell()
        if bell is not None:
            if not self._launcher.wait(min(seconds, GAP_S)):
                self._launcher.wait(max(0.0, until - self._clock.now()), bell)
            return
        while (left := until - self._clock.now()) > 0:
            if self._launcher.wait(min(left, gap)) or self._changed():
                return

    def _changed(self) -> bool:
        try:
            return self._store.stamp() != self._stamp
        except StoreUnavailable:
            return False
