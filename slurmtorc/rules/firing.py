"""Where an action stands: what became of it, or why it has not fired yet.

Facts in, one word and one sentence out, for lists and for explanations. What fires an action is
elsewhere (the store counts, triggers.py re-arms); here it is only put into words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.model import COMPLETE, ActionType, JobStatus, TriggerType
from slurmtorc.rules.triggers import BY_GATE, LEFT_OUT, OF_WORKERS
from slurmtorc.rules.wording import listed, several
from slurmtorc.units import iso_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import Action, ActionRun, Progress
    from slurmtorc.rules.reasons import Named

WAITING, PENDING, RUNNING = "waiting", "pending", "running"
EXECUTED, FAILED, LOST = "executed", "failed", "lost"
SUPERSEDED, NEVER, CANCELED = "superseded", "never", "canceled"


@dataclass(frozen=True, slots=True)
class Stage:
    """A word for programs and columns, and the sentence that explains it."""

    status: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of an action."""

    action: Action
    progress: Progress
    """Of its workflow."""
    gate: Sequence[Named] = ()
    """The jobs it is about."""
    runs: Sequence[ActionRun] = ()
    """Its executions, oldest first."""
    workers: int = 0
    """How many workers the workflow has now."""
    silent: Mapping[int, float] = field(default_factory=dict)
    """Workers whose lease has run out, and when each was last heard of."""


def stage(facts: Facts) -> Stage:
    """Where the action stands."""
    open_ones = [run for run in facts.runs if run.end_time is None]
    if open_ones:
        return _runs(facts, open_ones)
    if facts.action.executed:
        return came_to(facts.runs[-1]) if facts.runs else Stage(SUPERSEDED, _SUPERSEDED)
    if facts.action.persistent and _of_now(facts):
        return _by_workers(_of_now(facts))
    return _not_yet(facts)


_SUPERSEDED = "its nodes were asked for in another way"


def _runs(facts: Facts, open_ones: Sequence[ActionRun]) -> Stage:
    """An execution that has not ended, as far as anybody has noticed."""
    lost = [run for run in open_ones if run.compute_node_id in facts.silent]
    if not lost:
        return Stage(RUNNING, f"on {open_ones[-1].hostname}")
    run = lost[-1]
    since = iso_time(facts.silent[run.compute_node_id or 0])
    return Stage(
        RUNNING,
        f"on {run.hostname}, but its worker has given no sign of life since {since}; what became "
        f"of it is settled by: torc watch {facts.progress.workflow_id}",
    )


def came_to(run: ActionRun) -> Stage:
    """What became of one execution."""
    if run.end_time is None:
        return Stage(RUNNING, f"on {run.hostname}")
    if run.return_code is None:
        return Stage(LOST, run.reason or "")
    return Stage(EXECUTED) if run.return_code == 0 else Stage(FAILED, run.reason or "")


def _of_now(facts: Facts) -> list[ActionRun]:
    return [run for run in facts.runs if run.run_id == facts.progress.run_id]


def _by_workers(runs: Sequence[ActionRun]) -> Stage:
    """A persistent action, executed by some workers."""
    bad = [run for run in runs if run.return_code != 0]
    if bad:
        return Stage(FAILED, f"on {len(bad)} of {len(runs)} workers; {bad[-1].reason}")
    return Stage(EXECUTED, f"by {len(runs)} worker{'s' if len(runs) > 1 else ''}")


# ── not yet ──────────────────────────────────────────────────────────────────


def _not_yet(facts: Facts) -> Stage:
    action, progress = facts.action, facts.progress
    if progress.is_canceled:
        return Stage(CANCELED, "the workflow was canceled")
    if not progress.run_id:
        return Stage(WAITING, "the workflow has not begun")
    if action.trigger_type in BY_GATE:
        held = _by_gate(facts)
        if held is not None:
            return held
    elif action.trigger_count < action.required_triggers:
        return Stage(WAITING, f"{several(progress.unfinished, 'job')} not over")
    if action.trigger_type in OF_WORKERS:
        who = "each worker does" if action.persistent else "the first worker does"
        when = "starts" if action.trigger_type is TriggerType.ON_WORKER_START else "ends"
        return Stage(WAITING, f"{who}, when it {when}")
    return Stage(PENDING, _who_will(facts))


def _by_gate(facts: Facts) -> Stage | None:
    """What an action still waits for; None if its condition holds."""
    action = facts.action
    wanted = [job for job in facts.gate if job.status not in LEFT_OUT]
    if not wanted:
        gone = "disabled" if facts.gate else "deleted"
        return Stage(NEVER, f"all jobs that it waits for are {gone}")
    if action.trigger_count >= action.required_triggers:
        return None
    missing = [job for job in wanted if not _reached(action.trigger_type, job.status)]
    what = "ready" if action.trigger_type is TriggerType.ON_JOBS_READY else "over"
    number = f"{len(missing)} of {len(wanted)} jobs are" if len(wanted) > 1 else "its job is"
    named = listed([f"{job.name} ({job.status.word})" for job in missing])
    return Stage(WAITING, f"{number} not {what}: {named}")


def _reached(trigger: TriggerType, status: JobStatus) -> bool:
    if trigger is TriggerType.ON_JOBS_READY:
        return status not in {JobStatus.UNINITIALIZED, JobStatus.BLOCKED}
    return status in COMPLETE


def is_left_alone(facts: Facts) -> bool:
    """Whether it runs commands, and no worker is there to do so."""
    return facts.action.action_type is ActionType.RUN_COMMANDS and not facts.workers


def _who_will(facts: Facts) -> str:
    workflow = facts.progress.workflow_id
    if facts.action.action_type is ActionType.SCHEDULE_NODES:
        if facts.progress.is_complete:
            return "nothing is left to run, so no nodes are asked for"
        return f"who may submit asks for its nodes: torc submit {workflow}, or a watch"
    if facts.workers:
        return "a worker is about to execute it"
    return f"no worker is there; it is executed by: torc run {workflow}"
