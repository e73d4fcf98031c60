"""The jobs of dead workers come to their end: one report for each, by the same rules as ever.

What Slurm's accounting says of the allocation is the verdict (TIMEOUT is 152), and the job's
failure handler decides what follows, exactly as it would have in the worker. A job that was
claimed and never started just goes back. All jobs of one worker end in one transaction; a late
report of the worker then changes nothing (the store keeps it as superseded).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slurmtorc.model import ComputeNode, ExecutionConfig, FailureHandler, Job, JobStatus, Report
from slurmtorc.ports import EVERYTHING
from slurmtorc.rules.endings import judge
from slurmtorc.rules.retrying import End, Retry, after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Store
    from slurmtorc.rules.endings import Verdict
    from slurmtorc.watch.look import Lost

SCRIPT_FAILED = End(JobStatus.FAILED, "its recovery script failed")


@dataclass(frozen=True, slots=True)
class Traces:
    """The files that an attempt has left."""

    stdout_path: str | None = None
    stderr_path: str | None = None
    stderr_tail: str | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one job of a dead worker."""

    job: Job
    node: ComputeNode
    verdict: Verdict
    next: Retry | End

    def __str__(self) -> str:
        verdict = self.verdict
        return (
            f"job {self.job.id} ({self.job.name}) attempt {self.job.attempt_id}: "
            f"{verdict.ending.value}, return code {verdict.return_code}; {self.next.reason}"
        )


@dataclass(frozen=True, slots=True)
class Toll:
    """What one dead worker held."""

    lost: Lost
    claimed: tuple[int, ...]
    """Jobs it had not started."""
    fates: tuple[Fate, ...]

    def after_scripts(self, succeeded: Mapping[int, bool]) -> Toll:
        """The same, once the recovery scripts have ended."""
        fates = (
            fate if succeeded.get(fate.job.id, True) else replace(fate, next=SCRIPT_FAILED)
            for fate in self.fates
        )
        return replace(self, fates=tuple(fates))

    def lines(self) -> list[str]:
        """What happened, for people."""
        node, state = self.lost.node, self.lost.state
        why = f"its allocation ended ({state.value})" if state else "it gives no sign of life"
        said = f"worker {node.id} on {node.hostname} is gone: {why}"
        back = [f"  {len(self.claimed)} claimed jobs go back"] if self.claimed else []
        return [said, *back, *(f"  {fate}" for fate in self.fates)]


def toll(store: Store, workflow: Workflow, lost: Lost) -> Toll:
    """What a dead worker held, and what becomes of it. Reads only."""
    held = store.rows(Job, EVERYTHING, compute_node_id=lost.node.id).items
    running = [job for job in held if job.status is JobStatus.RUNNING]
    fates = tuple(_fate(store, workflow, lost, job) for job in running)
    claimed = tuple(job.id for job in held if job.status is JobStatus.PENDING)
    return Toll(lost, claimed, fates)


def _fate(store: Store, workflow: Workflow, lost: Lost, job: Job) -> Fate:
    config = ExecutionConfig.of(workflow.execution_config)
    verdict = judge(None, slurm=lost.state, config=config)
    following = after(
        _rules(store, job),
        verdict,
        attempt_id=job.attempt_id,
        spared_attempts=job.spared_attempts,
        use_pending_failed=workflow.use_pending_failed,
        canceled=workflow.is_canceled,
    )
    return Fate(job, lost.node, verdict, following)


def _rules(store: Store, job: Job) -> Sequence[Mapping[str, Any]] | None:
    if job.failure_handler_id is None:
        return None
    return store.get(FailureHandler, job.failure_handler_id).rules


def settle(
    store: Store,
    workflow: Workflow,
    dead: Toll,
    now: float,
    traces: Callable[[Workflow, ComputeNode, Job], Traces],
) -> bool:
    """Write it down, in one transaction; the worker is over. False if it has woken since."""
    node, ended_at = dead.lost.node, dead.lost.ended_at
    ended = now if ended_at is None else min(now, ended_at)
    reports = [
        _report(fate, workflow, ended, traces(workflow, node, fate.job)) for fate in dead.fates
    ]
    with store.together():
        if store.get(ComputeNode, node.id).lease_until > max(now, node.lease_until):
            return False
        store.release(node.id, dead.claimed)
        store.complete(node.id, reports)
        store.abandon(node.id)  # with what it has taken since we looked
    return True


def _report(fate: Fate, workflow: Workflow, ended: float, left: Traces) -> Report:
    job, verdict, following = fate.job, fate.verdict, fate.next
    again = isinstance(following, Retry)
    return Report(
        job_id=job.id,
        run_id=workflow.run_id,
        attempt_id=job.attempt_id,
        return_code=verdict.return_code,
        status=following.status if isinstance(following, End) else verdict.status,
        ending=verdict.ending,
        start_time=job.start_time,
        completion_time=max(ended, job.start_time or ended),
        stdout_path=left.stdout_path,
        stderr_path=left.stderr_path,
        stderr_tail=left.stderr_tail,
        again=again,
        spared=isinstance(following, Retry) and following.spared,
    )
