"""Slurm is asked about steps here, in a thread of its own: the worker's step never waits for it.

Accounting is late (22.05: up to six seconds), slow at times, and sometimes down; so whoever
waits for the account of a step is answered after a few tries, with nothing if need be. However
many wait, one try is one sacct. The account of a step that succeeded decides nothing: it is
asked for rarely, together with others.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.errors import SlurmError
from slurmtorc.model import SlurmState

if TYPE_CHECKING:
    from slurmtorc.model import StepEntry
    from slurmtorc.ports import Steps

log = logging.getLogger(__name__)

FIRST_S = 0.1
"""Before the first try: accounting hears of a step's end a moment after srun."""
PAUSE_S = 1.0
"""Between tries while somebody waits."""
TRIES = 8
LAZY_S = 20.0
"""Between tries while nobody waits."""
LAST_S = 8.0
"""How long a worker that has ended waits for the accounts that are still out."""


@dataclass(slots=True)
class _Question:
    """One step of which an account is wanted."""

    waits: bool
    """Whether an ending depends on it."""
    twice: bool = False
    """Whether anything but success must be said twice."""
    seen: SlurmState | None = None
    tries: int = 0

    def settled(self, entry: StepEntry | None) -> bool:
        """Whether this answer can be passed on."""
        state, before = (None if entry is None else entry.state), self.seen
        self.tries, self.seen = self.tries + 1, state
        if state is None or state is SlurmState.COMPLETED or not self.twice:
            return state is not None
        return state is before


class Clerk:
    """Answers what happened to the steps of one allocation, and passes signals on to them."""

    def __init__(
        self, steps: Steps, slurm_job_id: int, *, pause: float = PAUSE_S, tries: int = TRIES
    ) -> None:
        self._steps = steps
        self._slurm_job_id = slurm_job_id
        self._pause = pause
        self._tries = tries
        self._changed = threading.Condition()
        self._questions: dict[str, _Question] = {}
        self._answers: dict[str, StepEntry | None] = {}
        self._signals: dict[int, set[str]] = {}
        self._last_asked = time.monotonic()
        self._thread: threading.Thread | None = None

    def ask(self, name: str, *, waits: bool, twice: bool = False) -> None:
        """Want the account of a step that has ended.

        `twice` for one whose srun said 0: until Slurm has written down the end of a step of an
        allocation that has ended, sacct gives it the allocation's state.
        """
        with self._changed:
            self._questions[name] = _Question(waits, twice)
            self._wake()

    def signal(self, name: str, number: int) -> None:
        """Have a signal sent to a step."""
        with self._changed:
            self._signals.setdefault(number, set()).add(name)
            self._wake()

    def answers(self) -> dict[str, StepEntry | None]:
        """What has come since the last call; None of a step that accounting does not know."""
        with self._changed:
            answers, self._answers = self._answers, {}
        return answers

    def finish(self, seconds: float = LAST_S) -> None:
        """Wait a little for what is still out."""
        with self._changed:
            for question in self._questions.values():
                question.waits = True
            self._wake()
            self._changed.wait_for(lambda: not self._questions, seconds)

    # ── the thread ───────────────────────────────────────────────────────────

    def _wake(self) -> None:
        if self._thread is None and (self._questions or self._signals):
            # A daemon: a worker that ends does not wait for a Slurm that does not answer.
            self._thread = threading.Thread(target=self._serve, name="clerk", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._due():
                    self._changed.wait(LAZY_S if self._questions else None)
                signals, self._signals = self._signals, {}
            self._send(signals)
            if self._questions:
                time.sleep(min(FIRST_S, self._pause))
                self._look()
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._signals), self._pause)

    def _due(self) -> bool:
        """Whether there is something to do now."""
        waits = any(question.waits for question in self._questions.values())
        lazily = bool(self._questions) and time.monotonic() - self._last_asked >= LAZY_S
        return bool(self._signals) or waits or lazily

    def _send(self, signals: dict[int, set[str]]) -> None:
        for number, names in signals.items():
            try:
                self._steps.signal_steps(self._slurm_job_id, names, number)
            except SlurmError as error:
                log.warning(
                    "Signal %d could not be sent to %d steps: %s", number, len(names), error
                )

    def _look(self) -> None:
        """One try for all that wait."""
        self._last_asked = time.monotonic()
        try:
            found = self._steps.account_steps(self._slurm_job_id)
        except SlurmError as error:
            log.warning("Accounting does not say how steps ended: %s", error)
            found = {}
        with self._changed:
            for name, question in list(self._questions.items()):
                entry = found.get(name)
                settled = question.settled(entry)
                if settled or question.tries >= self._tries:
                    self._answers[name] = entry if settled else None
                    del self._questions[name]
            self._changed.notify_all()
