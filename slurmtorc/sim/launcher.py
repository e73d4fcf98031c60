"""SimLauncher: the Launcher port for jobs that only take time, and what became of each of them.

What a job does is told by its order alone, so that an attempt behaves the same wherever it runs.
The record of every process is kept beside the store: it is the truth that the store is
compared with.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.ports import Exit
from slurmtorc.worker.actions import is_action

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random

    from simpy.events import Event

    from slurmtorc.model import Draft
    from slurmtorc.ports import Order
    from slurmtorc.sim.clock import SimClock

ACTION_S = 1.0
"""How long a command of an action takes; it always succeeds, and is no job."""
DYING_S = 0.5
"""Between SIGTERM and the end of a job that obeys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a job does if nobody stops it."""

    seconds: float
    code: int = 0
    peak_memory_bytes: int = 0
    obeys: bool = True
    """Whether SIGTERM ends it."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One process that really ran."""

    job_id: int
    job_name: str
    attempt_id: int
    slurm_job_id: int
    start_time: float
    end_time: float | None = None
    code: int | None = None
    signal: int | None = None
    over_memory: bool = False
    told: bool = False
    """Whether its worker heard of its end."""


class SimLauncher:
    """The processes of one worker."""

    def __init__(
        self,
        clock: SimClock,
        behave: Callable[[Order], Behaviour],
        runs: list[Run],
        slurm_job_id: int = 0,
    ) -> None:
        self.clock = clock
        self.behave = behave
        self.runs = runs
        self.slurm_job_id = slurm_job_id
        self.on_end: Callable[[], None] = lambda: None
        """Called when a process ends: it ends its worker's rest."""
        self._alive: dict[int, tuple[Run, Behaviour]] = {}
        self._ended: list[tuple[int, Run]] = []
        self._commands: list[Exit] = []
        """Commands of actions that have ended."""
        self._is_gone = False

    def start(self, order: Order) -> None:
        """A process that will behave as it must."""
        if is_action(order.key):
            self._after(ACTION_S, lambda: self._act(order.key))
            return
        behaviour = self.behave(order)
        run = Run(
            job_id=order.key,
            job_name=order.env.get("TORC_JOB_NAME", ""),
            attempt_id=int(order.env.get("TORC_ATTEMPT_ID", "1")),
            slurm_job_id=self.slurm_job_id,
            start_time=self.clock.now(),
        )
        self.runs.append(run)
        self._alive[order.key] = run, behaviour
        limit = order.memory_limit
        if limit is not None and behaviour.peak_memory_bytes > limit:
            self._after(behaviour.seconds / 2, lambda: self._outgrow(order.key, run))
        else:
            self._after(behaviour.seconds, lambda: self._end(order.key, run, behaviour.code))

    def poll(self) -> list[Exit]:
        """Processes that ended since the last call."""
        ended, self._ended = self._ended, []
        commands, self._commands = self._commands, []
        return [*commands, *(self._exit(key, run) for key, run in ended)]

    def stop(self, key: int, *, hard: bool) -> None:
        """TERM or KILL."""
        if key not in self._alive:
            return
        run, behaviour = self._alive[key]
        if hard:
            self._end(key, run, None, signal.SIGKILL)
        elif behaviour.obeys:
            self._after(DYING_S, lambda: self._end(key, run, None, signal.SIGTERM))

    def wait(self, seconds: float, bell: int | None = None) -> bool:  # noqa: ARG002  nobody rings
        """Rest, but no longer than until a process ends."""
        if not self._has_ended():
            self.clock.rest(seconds, self._has_ended)
        return self._has_ended()

    def _has_ended(self) -> bool:
        return bool(self._ended or self._commands)

    def running(self) -> Collection[int]:
        """The keys of processes that have not come back from poll()."""
        return [*self._alive, *(key for key, _ in self._ended)]

    def abandon(self) -> None:
        """The worker is gone, and all its processes with it; nobody hears of them."""
        self._is_gone = True
        for key, (run, _) in list(self._alive.items()):
            self._end(key, run, None, signal.SIGKILL)
        self._ended = []

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        def call(_: Event) -> None:
            then()

        callbacks = self.clock.env.timeout(seconds).callbacks
        assert callbacks is not None
        callbacks.append(call)

    def _outgrow(self, key: int, run: Run) -> None:
        run.over_memory = run.end_time is None
        self._end(key, run, None, signal.SIGKILL)

    def _end(self, key: int, run: Run, code: int | None, number: int | None = None) -> None:
        if run.end_time is not None:
            return
        run.end_time, run.code, run.signal = self.clock.now(), code, number
        del self._alive[key]
        self._ended.append((key, run))
        self.on_end()

    def _act(self, key: int) -> None:
        """A command of an action ends; nothing is known of it but that."""
        now = self.clock.now()
        if not self._is_gone:
            self._commands.append(
                Exit(key=key, code=0, signal=None, start_time=now - ACTION_S, end_time=now)
            )
            self.on_end()

    @staticmethod
    def _exit(key: int, run: Run) -> Exit:
        run.told = True
        assert run.end_time is not None
        return Exit(
            key=key,
            code=run.code,
            signal=run.signal,
            start_time=run.start_time,
            end_time=run.end_time,
            over_memory=run.over_memory,
        )


def well_behaved(draft: Draft, random: Random) -> Callable[[Order], Behaviour]:
    """Jobs that succeed within the runtime they state."""
    runtimes = {
        job.name: 60.0 if job.requirement is None else draft.requirements[job.requirement].runtime_s
        for job in draft.jobs
    }

    def behave(order: Order) -> Behaviour:
        return Behaviour(seconds=random.uniform(0.2, 1.0) * runtimes[order.env["TORC_JOB_NAME"]])

    return behave
