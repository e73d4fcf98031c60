"""One look at a workflow in Slurm -> one decision: wait, schedule, recover, or stop.

The rules stand in one order and the first that speaks wins; every decision carries the name of
its rule, a sentence, and the numbers it was made from. Nothing is remembered here: what a watch
did before is in `Sighting.memory`, which is the store's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.model import RUNNABLE, Backlog, JobStatus
from slurmtorc.rules.wording import counted, does, several

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.model import Progress, WatchState

ALL_COMPLETED = 0
SOME_FAILED = 1
STUCK = 3
CANCELED = 4

FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
"""No allocation is asked for again before a pause that doubles with each failure in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the person who watches has asked for. Durations in seconds."""

    auto_schedule: bool = False
    threshold: int = 5
    """Retries that must wait before more nodes are asked for beside those there are; 0: any."""
    cooldown_s: float = 1800.0
    stranded_s: float = 7200.0
    """Retries that have waited this long are not left to wait for more; 0: they are."""
    recover: bool = False
    max_retries: int | None = None
    """How often a workflow is recovered; None: as often as anything can be healed."""
    ask_agent: bool = False
    """Whether jobs that were set aside are shown to an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one look has found."""

    now: float
    progress: Progress
    backlog: Backlog = field(default_factory=Backlog)
    answered: bool = True
    """Whether Slurm's queue answered."""
    waiting: int = 0
    """Allocations that wait in the queue, or are about to."""
    running: int = 0
    doubtful: int = 0
    """Allocations that the queue has not known lately, and whose end is not proven."""
    workers: int = 0
    """Workers that are not lost, or whose jobs are being recovered."""
    unshown: int = 0
    """Jobs that wait for a decision, if some of them were shown to no agent yet; else 0."""
    memory: WatchState


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    rule: str
    """Which rule spoke: a short name that stays the same while its numbers change."""
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(_Decided):
    """Look again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(_Decided):
    """Ask for allocations: for all jobs that are left, or only for ready retries."""

    only_retries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover(_Decided):
    """The run is over, and some jobs failed: heal and begin again what can be healed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(_Decided):
    """Nothing but jobs that were set aside is left to run: show them to an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear(_Decided):
    """Nothing is left to run: end the allocations that are still there, and wait for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(_Decided):
    """The watch is over."""

    exit_code: int


Choice = Wait | Schedule | Recover | Ask | Clear | Stop


def decide(seen: Sighting, policy: Policy) -> Choice:
    """What to do now."""
    if seen.progress.is_complete:
        return _end(seen, policy)
    if policy.ask_agent and seen.unshown and not _runnable(seen):
        reason = f"{counted(seen.unshown, 'job')} wait for a decision, and no other can run"
        return Ask(rule="set_aside", reason=reason, numbers={"jobs": seen.unshown})
    if policy.auto_schedule and seen.backlog.ready:
        wanted = _auto_schedule(seen, policy)
        if wanted is not None:
            return wanted
    return _go_on(seen)


def pause(failures: int) -> float:
    """Seconds without another try, after so many failures in a row."""
    if not failures:
        return 0.0
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_S)


def _runnable(seen: Sighting) -> int:
    """Jobs that run, or may. While there are some, more may be set aside."""
    return sum(seen.progress.counts.get(status, 0) for status in RUNNABLE)


# ── nothing is left to run ───────────────────────────────────────────────────


def _end(seen: Sighting, policy: Policy) -> Recover | Clear | Stop:
    progress = seen.progress
    if progress.is_canceled:
        return Stop(rule="canceled", reason="the workflow was canceled", exit_code=CANCELED)
    if not progress.unsuccessful:
        reason = f"all {progress.total} jobs are completed"
        return Stop(rule="completed", reason=reason, exit_code=ALL_COMPLETED)
    numbers = {"unsuccessful": progress.unsuccessful, "recoveries": seen.memory.recoveries}
    failed = f"{progress.unsuccessful} of {progress.total} jobs did not complete"
    if not policy.recover:
        return Stop(rule="failed", reason=failed, numbers=numbers, exit_code=SOME_FAILED)
    if policy.max_retries is not None and seen.memory.recoveries >= policy.max_retries:
        reason = f"{failed}, and max retries ({policy.max_retries}) is reached"
        return Stop(rule="max_retries", reason=reason, numbers=numbers, exit_code=SOME_FAILED)
    there = seen.waiting + seen.running + seen.doubtful
    if there or seen.workers:
        others = f"{counted(there, 'allocation')} and {counted(seen.workers, 'worker')}"
        reason = f"{failed}; {others} end first"
        return Clear(rule="clear", reason=reason, numbers=numbers)
    return Recover(rule="recover", reason=failed, numbers=numbers)


# ── jobs are ready, and may need more nodes ──────────────────────────────────


def _auto_schedule(seen: Sighting, policy: Policy) -> Schedule | Wait | None:
    """The three rules; None if none of them asks for anything now."""
    schedule = _nobody_there(seen) or _retries(seen, policy)
    if schedule is not None and seen.now < seen.memory.not_before:
        left = seen.memory.not_before - seen.now
        times = counted(seen.memory.schedule_failures, "time")
        reason = f"{schedule.reason}, but {times} in a row nothing came of asking"
        numbers = {**schedule.numbers, "failures": seen.memory.schedule_failures, "pause_s": left}
        return Wait(rule="pause", reason=f"{reason}: next try in {left:.0f} s", numbers=numbers)
    return schedule


def _nobody_there(seen: Sighting) -> Schedule | None:
    if seen.waiting or seen.running or seen.doubtful or seen.workers:
        return None
    ready = seen.backlog.ready
    reason = f"{several(ready, 'job')} ready, and no allocation is there or asked for"
    return Schedule(rule="no_allocation", reason=reason, numbers={"ready": ready})


def _retries(seen: Sighting, policy: Policy) -> Schedule | None:
    """Allocations are there; retries that were not planned for may be more than they can run."""
    retries = seen.backlog.retries
    if not retries:
        return None
    last = seen.memory.last_scheduled_at
    quiet = seen.now - (seen.memory.since if last is None else last)
    oldest = seen.backlog.oldest_retry
    waited = 0.0 if oldest is None else seen.now - oldest
    numbers = {
        "retries": retries,
        "threshold": policy.threshold,
        "quiet_s": quiet,
        "cooldown_s": policy.cooldown_s,
        "waited_s": waited,
        "stranded_s": policy.stranded_s,
    }
    if retries >= policy.threshold and quiet >= policy.cooldown_s:
        reason = f"{retries} retries wait (threshold {policy.threshold})"
        return Schedule(rule="threshold", reason=reason, numbers=numbers, only_retries=True)
    rested = last is None or quiet >= policy.cooldown_s
    if policy.stranded_s and waited >= policy.stranded_s and rested:
        reason = f"a retry has waited {waited:.0f} s (limit {policy.stranded_s:.0f} s)"
        return Schedule(rule="stranded", reason=reason, numbers=numbers, only_retries=True)
    return None


# ── nothing to do, or nothing that could be done ─────────────────────────────


def _go_on(seen: Sighting) -> Wait | Stop:
    if not seen.answered and (seen.waiting or seen.running or seen.doubtful):
        return Wait(rule="no_answer", reason="Slurm does not answer")
    if seen.workers:
        return Wait(rule="workers", reason=f"{counted(seen.workers, 'worker')} active")
    if seen.waiting or seen.running:
        both = [f"{n} {word}" for n, word in ((seen.waiting, "wait"), (seen.running, "run")) if n]
        return Wait(rule="queue", reason=f"allocations in Slurm's queue: {', '.join(both)}")
    if seen.doubtful:
        reason = f"Slurm's queue does not show {counted(seen.doubtful, 'allocation')} alive"
        return Wait(rule="doubt", reason=f"{reason}; looking again before that is believed")
    return stuck(seen)


def stuck(seen: Sighting, why_left: str = "") -> Stop:
    """Nobody is there, and nobody comes. `why_left`: why the last workers took nothing."""
    counts = seen.progress.counts
    aside = counts.get(JobStatus.PENDING_FAILED, 0)
    ready = counts.get(JobStatus.READY, 0)
    left = f"{several(seen.progress.unfinished, 'job')} left ({ready} ready)"
    ask = f"torc watch {seen.progress.workflow_id} --auto-schedule"
    if aside and not ready:
        waiting = f"{aside} {does(aside, 'wait')} for a decision"
        reason = f"{left}; {waiting}: torc jobs classify ID retry|fail"
    elif ready and why_left:
        reason = f"{left}; {why_left}, or let a larger one be planned: {ask}"
    elif ready:
        reason = f"{left}, and no allocation is there or asked for; ask for some: {ask}"
    else:
        reason = f"{left}, and nothing can make them ready"
    return Stop(rule="stuck", reason=reason, numbers={"ready": ready}, exit_code=STUCK)
