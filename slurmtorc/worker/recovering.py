"""What becomes of failed attempts on a worker: their handlers' rules, and recovery scripts.

The rules decide as soon as a process has ended (rules/retrying.py). If a script is to be run
first, it is a process of its own beside the jobs: nobody waits for it. Until it has ended the
job stays `running` in the store, so that no other worker can start the next attempt in the
middle of its recovery, and it keeps its CPUs, memory and GPUs, so that a script never has to
share with a job that was packed into its place, and the next attempt finds room.

A job is never released before its script has exited with 0. The one exception is a worker that
must stop: then the script is cut short, and the job goes back as it is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slurmtorc.model import FailureHandler, JobStatus
from slurmtorc.ports import Order
from slurmtorc.rules.endings import Stopped, Verdict
from slurmtorc.rules.retrying import End, after
from slurmtorc.worker.attempts import environment
from slurmtorc.worker.paths import attempt_stem, recovery_stdio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slurmtorc.model import Claim, Report
    from slurmtorc.ports import Clock, Exit, Launcher, Store
    from slurmtorc.rules.retrying import Retry
    from slurmtorc.worker.attempts import Attempt, Surroundings
    from slurmtorc.worker.paths import Stdio

log = logging.getLogger(__name__)

GRACE_S = 10.0
"""Between TERM and KILL for a script that took too long."""
LAST_PART = 0.5
"""Part of the headroom before the allocation's end that is left when scripts must end."""


@dataclass(slots=True)
class _Recovery:
    """A failed attempt whose script runs."""

    attempt: Attempt
    report: Report
    retry: Retry
    stdio: Stdio
    until: float
    hurried: bool
    """The allocation's end comes before the script's own time is over."""
    asked: bool = False


class Recovering:
    """The failed attempts of one worker."""

    def __init__(
        self,
        launcher: Launcher,
        clock: Clock,
        around: Surroundings,
        *,
        hide_gpus: bool = False,
        end_time: float | None = None,
    ) -> None:
        self._launcher = launcher
        self._clock = clock
        self._around = around
        self._hide_gpus = hide_gpus
        headroom = around.config.sigkill_headroom_seconds
        self._end = None if end_time is None else end_time - headroom * LAST_PART
        self._grace = GRACE_S if end_time is None else min(GRACE_S, headroom * LAST_PART / 2)
        self._rules: dict[int, Sequence[Mapping[str, Any]]] = {}
        self._scripts: dict[int, _Recovery] = {}

    def learn(self, store: Store, claims: Iterable[Claim]) -> None:
        """Read the rules that these jobs may need; each handler once.

        Before the jobs run, so that no decision has to wait for a store that does not answer.
        """
        for claim in claims:
            handler_id = claim.failure_handler_id
            if handler_id is not None and handler_id not in self._rules:
                self._rules[handler_id] = store.get(FailureHandler, handler_id).rules

    # ── decisions ────────────────────────────────────────────────────────────

    def judged(
        self, attempt: Attempt, report: Report, stopped: Stopped | None, *, canceled: bool
    ) -> Report | None:
        """The report with what follows the attempt; None if a script has been started first."""
        if report.status is JobStatus.COMPLETED or report.again:
            return report
        decision = after(
            self._rules.get(attempt.claim.failure_handler_id or 0),
            Verdict(report.return_code, report.status, report.ending),
            attempt_id=report.attempt_id,
            spared_attempts=attempt.claim.spared_attempts,
            use_pending_failed=self._around.workflow.use_pending_failed,
            canceled=canceled,
        )
        log.info(
            "Job decided job_id=%d attempt_id=%d next=%s: %s",
            report.job_id,
            report.attempt_id,
            decision.status.word if isinstance(decision, End) else "again",
            decision.reason,
        )
        if isinstance(decision, End):
            return replace(report, status=decision.status)
        if decision.script is None:
            return replace(report, again=True, spared=decision.spared)
        return self._recover(attempt, report, decision, stopped)

    def _recover(
        self, attempt: Attempt, report: Report, retry: Retry, stopped: Stopped | None
    ) -> Report | None:
        now = self._clock.now()
        until, end = now + retry.timeout_s, self._end
        hurried = end is not None and end < until
        until = end if end is not None and hurried else until
        in_time = stopped is Stopped.DEADLINE and end is not None and now < until
        if stopped is not None and not in_time:
            return _cut_short(report, retry, stopped)
        recovery = _Recovery(attempt, report, retry, self._stdio(attempt), until, hurried)
        self._scripts[report.job_id] = recovery
        self._launcher.start(self._order(recovery))
        log.info("Recovery script started job_id=%d: %s", report.job_id, retry.script)
        return None

    # ── scripts ──────────────────────────────────────────────────────────────

    def _stdio(self, attempt: Attempt) -> Stdio:
        workflow, claim = self._around.workflow, attempt.claim
        stem = attempt_stem(workflow.id, claim.job_id, workflow.run_id, claim.attempt_id)
        return recovery_stdio(self._around.output_dir, stem)

    def _order(self, recovery: _Recovery) -> Order:
        """The script's process: where the job ran, and with all that the job found there."""
        report = recovery.report
        found = environment(recovery.attempt, self._around, hide_gpus=self._hide_gpus)
        return Order(
            key=key_of(report.job_id),
            command=recovery.retry.script or "",
            env={
                **found,
                "TORC_RETURN_CODE": str(report.return_code),
                "TORC_ENDING": report.ending.value,
            },
            directory=self._around.directory,
            stdout=recovery.stdio.stdout,
            stderr=recovery.stdio.stderr,
        )

    def watch_time(self, now: float) -> None:
        """End scripts that take too long: TERM, and KILL after a grace."""
        for job_id, recovery in self._scripts.items():
            if now >= recovery.until + (self._grace if recovery.asked else 0):
                self._launcher.stop(key_of(job_id), hard=recovery.asked)
                recovery.asked = True

    def ended(self, exit_: Exit, stopped: Stopped | None) -> Report:
        """A script has ended: what is to be told of its job's attempt."""
        recovery = self._scripts.pop(-exit_.key)
        report, retry = recovery.report, recovery.retry
        why = _cause(recovery, stopped)
        if exit_.code == 0:
            log.info("Recovery script succeeded job_id=%d", report.job_id)
            return replace(report, again=True, spared=retry.spared)
        if why is not None:
            return _cut_short(report, retry, why)
        what = _complaint(recovery, exit_)
        log.warning("Recovery script failed job_id=%d: %s", report.job_id, what)
        told = _with_words(report, f"{what}; what it wrote: {recovery.stdio.stderr}")
        return replace(told, status=JobStatus.FAILED)


def key_of(job_id: int) -> int:
    """What the launcher calls the script of a job: ids of jobs are positive."""
    return -job_id


def is_script(key: int) -> bool:
    """Whether a launcher's key is that of a script."""
    return key < 0


def _cause(recovery: _Recovery, stopped: Stopped | None) -> Stopped | None:
    """Why a script was cut short by its worker's end; None if it was not."""
    if recovery.asked:
        return Stopped.DEADLINE if recovery.hurried else None
    return None if stopped is Stopped.DEADLINE else stopped


def _cut_short(report: Report, retry: Retry, why: Stopped) -> Report:
    """The worker had to stop before the script had ended, or could be started.

    The job goes back: it fails again in the same way, and its handler acts again. That is free,
    as the failure was never recovered from; but not at an allocation's end, where a script that
    is too long for its allocations would otherwise go round for ever. In a canceled workflow,
    and for a worker that was given up, the job ends as its attempt ended.
    """
    told = _with_words(report, f"the recovery script was not run to its end: {why.value}")
    if why is Stopped.CANCELED:
        return told
    over = why in {Stopped.DEADLINE, Stopped.ALLOCATION}
    return replace(told, again=True, spared=retry.spared or not over)


def _complaint(recovery: _Recovery, exit_: Exit) -> str:
    if exit_.launch_error is not None:
        return f"the recovery script could not be started: {exit_.launch_error}"
    if recovery.asked:
        return f"the recovery script did not end within {recovery.retry.timeout_s:g} s"
    how = f"signal {exit_.signal}" if exit_.code is None else f"exit code {exit_.code}"
    return f"the recovery script failed with {how}"


def _with_words(report: Report, words: str) -> Report:
    """Ours first, then the job's last words."""
    said = [f"torc: {words}", *filter(None, [report.stderr_tail])]
    return replace(report, stderr_tail="\n".join(said))
