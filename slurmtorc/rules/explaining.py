"""Why one job is not running, or why it ended as it did: facts in, reasons out.

Every rule that could hold the job back is asked in turn, and gives its reason with its numbers.
The first reason is the answer; those that follow say more. Nothing is asked of anybody here:
whoever gathers the facts (cli/explain.py) may be wrong, this may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import COMPLETE, JobStatus
from slurmtorc.rules import retrying, utilization
from slurmtorc.rules.endings import Verdict
from slurmtorc.rules.offers import (
    Scene,
    Worker,
    beat,
    begin_words,
    need_numbers,
    need_words,
    takers,
)
from slurmtorc.rules.reasons import Named, Reason, attempt_line, chain_words, in_words
from slurmtorc.rules.wording import listed
from slurmtorc.units import display_seconds, iso_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from slurmtorc.model import FailureHandler, Job, ResourceRequirements, Result, Workflow

S = JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of a job and of what could run it."""

    workflow: Workflow
    job: Job
    need: ResourceRequirements
    scene: Scene
    """What could run it."""
    waits_for: Sequence[Named] = ()
    """Every job it waits for, finished ones too."""
    chain: Sequence[Named] = ()
    """The longest of the chains that end in it, without itself; what must move first, or what
    failed, is in front."""
    holder: Worker | None = None
    """The worker that holds it, while it is pending or running."""
    attempts: Sequence[Result] = ()
    """What its attempts came to, oldest first."""
    handler: FailureHandler | None = None


def explain(facts: Facts) -> list[Reason]:
    """The answer, and what more there is to say."""
    job = facts.job
    reasons: list[Reason] = []
    if facts.workflow.is_canceled and job.status not in COMPLETE:
        reasons.append(_canceled_workflow(facts))
    return [*reasons, *_BY_STATUS[job.status](facts)]


def headline(facts: Facts) -> str:
    """What the job is, in one line."""
    job = facts.job
    tried = f", attempt {job.attempt_id}" if job.attempt_id > 1 or facts.attempts else ""
    return f"Job {job.id} ({job.name}) of workflow {facts.workflow.id} is {job.status.word}{tried}"


def _canceled_workflow(facts: Facts) -> Reason:
    return Reason(
        rule="workflow_canceled",
        text="the workflow was canceled: no job of it starts any more",
        numbers={"workflow_id": facts.workflow.id},
    )


# ── not begun, not wanted ────────────────────────────────────────────────────


def _uninitialized(facts: Facts) -> Iterator[Reason]:
    workflow = facts.workflow
    begun = workflow.run_id > 0
    yield Reason(
        rule="not_initialized",
        text="it was reset and is in no run yet"
        if begun
        else "the workflow has not begun: none of its jobs has been made ready",
        numbers={"run_id": workflow.run_id},
        remedy=begin_words(workflow),
    )


def _disabled(facts: Facts) -> Iterator[Reason]:
    yield Reason(
        rule="disabled",
        text="it is disabled: it is not run, and jobs that wait for it stay blocked",
        numbers={"job_id": facts.job.id},
    )


def _pending_failed(facts: Facts) -> Iterator[Reason]:
    yield Reason(
        rule="pending_failed",
        text="it failed, no rule decides what follows, and the workflow sets such jobs aside "
        "(use_pending_failed) until somebody decides",
        numbers={"job_id": facts.job.id},
        remedy=f"torc jobs classify {facts.job.id} retry   or   "
        f"torc jobs classify {facts.job.id} fail",
    )
    yield from _ended(facts)


# ── blocked ──────────────────────────────────────────────────────────────────


def _blocked(facts: Facts) -> Iterator[Reason]:
    left = [one for one in facts.waits_for if one.status not in COMPLETE]
    done = len(facts.waits_for) - len(left)
    by_status: dict[str, int] = {}
    for one in left:
        by_status[one.status.word] = by_status.get(one.status.word, 0) + 1
    counts = ", ".join(f"{count} {word}" for word, count in sorted(by_status.items()))
    yield Reason(
        rule="blocked",
        text=f"it waits for {len(left)} of {len(facts.waits_for)} jobs ({counts}): "
        f"{listed([f'{one.name} ({one.status.word})' for one in left])}",
        numbers={"waits_for": len(left), "done": done, "by_status": by_status},
    )
    yield from _first_of_chain(facts)


def _first_of_chain(facts: Facts) -> Iterator[Reason]:
    """What must happen before anything else on the longest way to this job."""
    if not facts.chain:
        return
    first = facts.chain[0]
    yield Reason(
        rule="chain",
        text=f"the first to move is {first.name}, which is {first.status.word}: {_way(facts)}",
        numbers={"length": len(facts.chain), "job_id": first.id, "status": first.status.word},
        remedy=f"torc explain {facts.workflow.id} --job-id {first.id}",
    )


def _way(facts: Facts) -> str:
    return chain_words([*(one.name for one in facts.chain), facts.job.name])


# ── ready ────────────────────────────────────────────────────────────────────


def _ready(facts: Facts) -> Iterator[Reason]:
    yield _waiting_since(facts)
    if facts.workflow.is_canceled:
        return
    yield from takers(facts.scene, facts.need, facts.job.id)


def _waiting_since(facts: Facts) -> Reason:
    job = facts.job
    since = job.ready_since
    waited = None if since is None else facts.scene.now - since
    origin = f" (its origin is {job.origin})" if job.origin else ""
    return Reason(
        rule="ready",
        text=f"it waits for nothing but a worker{origin}, for {display_seconds(waited)} now; it "
        f"asks for {need_words(facts.need)}",
        numbers={"waited_s": waited, **need_numbers(facts.need)},
    )


# ── held by a worker ─────────────────────────────────────────────────────────


def _pending(facts: Facts) -> Iterator[Reason]:
    yield from _held(facts, "has claimed it and is about to start it", "claimed")


def _running(facts: Facts) -> Iterator[Reason]:
    job, need = facts.job, facts.need
    ran = None if job.start_time is None else facts.scene.now - job.start_time
    over = ran is not None and ran > need.runtime_s
    said = f"; {display_seconds(need.runtime_s)} were asked for" + (
        ", so it is late" if over else ""
    )
    yield from _held(facts, f"runs it, for {display_seconds(ran)} now{said}", "running")
    left = facts.holder.whole.seconds if facts.holder else None
    if left is not None and ran is not None and left < need.runtime_s - ran:
        yield Reason(
            rule="may_not_end",
            text=f"its worker ends in {display_seconds(max(0.0, left))}, before the "
            f"{display_seconds(need.runtime_s)} of its requirement are over: it may be stopped "
            "with 152",
            numbers={"seconds_left": left, "runtime_s": need.runtime_s, "ran_s": ran},
        )
    yield from _history(facts)


def _held(facts: Facts, what: str, rule: str) -> Iterator[Reason]:
    holder = facts.holder
    if holder is None:
        yield Reason(
            rule="worker_unknown",
            text="the worker that held it is not on record any more",
            remedy=f"torc watch {facts.workflow.id}",
        )
        return
    age = facts.scene.now - holder.node.heartbeat
    yield Reason(
        rule=rule,
        text=f"{holder.name} {what}; it was heard of {display_seconds(age)} ago",
        numbers={
            "compute_node_id": holder.node.id,
            "hostname": holder.node.hostname,
            "pid": holder.node.pid,
            "slurm_job_id": holder.node.slurm_job_id,
            "heartbeat_age_s": age,
            "started": iso_time(facts.job.start_time),
        },
    )
    yield from beat(holder, facts.scene.now)


# ── ended ────────────────────────────────────────────────────────────────────


def _ended(facts: Facts) -> Iterator[Reason]:
    last = _last(facts.attempts)
    if last is None:
        return
    yield Reason(
        rule=f"ended_{last.ending.value}",
        text=f"after {display_seconds(last.exec_time_s)} it ended with return code "
        f"{last.return_code}: {in_words(last.return_code, last.ending)}",
        numbers={
            "return_code": last.return_code,
            "ending": last.ending.value,
            "exec_time_s": last.exec_time_s,
            "peak_memory_bytes": last.peak_memory_bytes,
            "run_id": last.run_id,
            "attempt_id": last.attempt_id,
        },
    )
    yield from _likely(facts, last)
    yield from _decided(facts, last)
    yield from _history(facts)
    if facts.job.status in {S.FAILED, S.TERMINATED}:
        yield _again(facts)


def _last(attempts: Sequence[Result]) -> Result | None:
    return next((one for one in reversed(attempts) if not one.superseded), None)


def _likely(facts: Facts, last: Result) -> Iterator[Reason]:
    """What its use of memory and time makes likely."""
    checked = utilization.check(last, facts.need)
    if checked is None or last.return_code == 0:
        return
    shown = {one.resource: one for one in checked.levels}
    for resource, why in (("memory", checked.oom_reason), ("runtime", checked.timeout_reason)):
        if why is not None and resource in shown:
            level = shown[resource]
            yield Reason(
                rule=f"likely_{why}",
                text=f"it used {level.shown(level.used)} of {level.shown(level.specified)} "
                f"({resource}): that is probably why",
                numbers={"used": level.used, "specified": level.specified},
                remedy=f"torc recover {facts.workflow.id}  (gives it more {resource} and tries "
                "again)",
            )


def _decided(facts: Facts, last: Result) -> Iterator[Reason]:
    """What the job's failure handler says of the last attempt."""
    if last.status is S.COMPLETED:
        return
    job, handler = facts.job, facts.handler
    choice = retrying.after(
        handler.rules if handler else None,
        Verdict(last.return_code, last.status, last.ending),
        attempt_id=last.attempt_id,
        spared_attempts=job.spared_attempts,
        use_pending_failed=facts.workflow.use_pending_failed,
        canceled=facts.workflow.is_canceled,
    )
    name = f" (failure handler {handler.name!r})" if handler else ""
    yield Reason(
        rule="handler",
        text=f"{choice.reason}{name}",
        numbers={
            "attempt_id": last.attempt_id,
            "spared_attempts": job.spared_attempts,
            "retry": isinstance(choice, retrying.Retry),
        },
    )


def _history(facts: Facts) -> Iterator[Reason]:
    """Earlier attempts, where there was more than one."""
    earlier = [one for one in facts.attempts if one is not _last(facts.attempts)]
    if facts.job.status is S.RUNNING:
        earlier = list(facts.attempts)
    for one in earlier:
        yield Reason(
            rule="attempt",
            text=attempt_line(one),
            numbers={
                "run_id": one.run_id,
                "attempt_id": one.attempt_id,
                "return_code": one.return_code,
                "ending": one.ending.value,
            },
        )


def _again(facts: Facts) -> Reason:
    workflow_id = facts.workflow.id
    return Reason(
        rule="again",
        text="it is not tried again by itself",
        remedy=f"torc workflows reset-status {workflow_id} --failed-only --reinitialize",
    )


def _canceled(facts: Facts) -> Iterator[Reason]:
    if facts.workflow.is_canceled:
        yield _canceled_workflow(facts)
    if facts.chain:
        yield _because(facts)
    elif not facts.workflow.is_canceled and not facts.attempts:
        yield Reason(rule="canceled", text="it was canceled before it began")
    yield from _ended(facts)


def _because(facts: Facts) -> Reason:
    """The job whose failure canceled this one."""
    first = facts.chain[0]
    return Reason(
        rule="canceled_by",
        text=f"{first.name} is {first.status.word}, and so it was canceled: {_way(facts)}",
        numbers={"job_id": first.id, "status": first.status.word, "length": len(facts.chain)},
        remedy=f"torc explain {facts.workflow.id} --job-id {first.id}",
    )


_BY_STATUS: Mapping[JobStatus, Callable[[Facts], Iterator[Reason]]] = {
    S.UNINITIALIZED: _uninitialized,
    S.BLOCKED: _blocked,
    S.READY: _ready,
    S.PENDING: _pending,
    S.RUNNING: _running,
    S.COMPLETED: _ended,
    S.FAILED: _ended,
    S.CANCELED: _canceled,
    S.TERMINATED: _ended,
    S.DISABLED: _disabled,
    S.PENDING_FAILED: _pending_failed,
}
