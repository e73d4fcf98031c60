"""Which actions may fire again when jobs of a workflow are to run again, and why.

One rule for all who begin a run; the store's statement is made from the same sets. An action is
armed again if and only if what it waits for will happen again in the new run: a workflow starts
once in its life, workers come and go in every run, and a gate is passed again only if one of its
jobs has something before it. What must never happen: an action that fires a second time for what
happened once, as it would ask for the same nodes, or run the same commands, again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.model import COMPLETE, JobStatus, TriggerType
from slurmtorc.rules.wording import counted, does

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from slurmtorc.model import Action

ALWAYS = frozenset(
    {
        TriggerType.ON_WORKFLOW_COMPLETE,
        TriggerType.ON_WORKER_START,
        TriggerType.ON_WORKER_COMPLETE,
    }
)
"""Their moment comes again in every run."""

BY_GATE = frozenset({TriggerType.ON_JOBS_READY, TriggerType.ON_JOBS_COMPLETE})
"""Theirs comes again if one of the jobs they are about begins anew, or is still to end."""

PAST = {
    TriggerType.ON_JOBS_READY: COMPLETE | {JobStatus.PENDING_FAILED},
    TriggerType.ON_JOBS_COMPLETE: COMPLETE,
}
"""Statuses of a job for which what a trigger waits for is past, and does not come again.

A job that was set aside has been ready; if somebody lets it try again, that is a retry.
"""

LEFT_OUT = frozenset({JobStatus.DISABLED})
"""Jobs of a gate that nobody waits for."""

OF_WORKERS = frozenset({TriggerType.ON_WORKER_START, TriggerType.ON_WORKER_COMPLETE})
"""Triggers of a worker's own life: nobody else fires them, and every worker does by default."""

_EVERY_RUN = {
    TriggerType.ON_WORKFLOW_COMPLETE: "the workflow completes again",
    TriggerType.ON_WORKER_START: "new workers start",
    TriggerType.ON_WORKER_COMPLETE: "new workers come to their end",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an action may fire again in the run that begins, in a sentence."""

    again: bool
    reason: str


def verdict(
    trigger: TriggerType,
    gates: Collection[JobStatus],
    *,
    anew: bool = False,
    names: Sequence[str] = (),
) -> Verdict:
    """What becomes of an action when a run begins.

    `gates`: the statuses its jobs have as the run begins (those that were reset: uninitialized);
    `names`: the names of these jobs, in the same order. `anew`: a new lifetime of the workflow.
    """
    if anew:
        return Verdict(again=True, reason="the workflow begins anew")
    if trigger in BY_GATE:
        return _by_gate(trigger, gates, names)
    if trigger in ALWAYS:
        return Verdict(again=True, reason=_EVERY_RUN[trigger])
    return Verdict(again=False, reason="the workflow has started once, and this is no new start")


def _by_gate(trigger: TriggerType, gates: Collection[JobStatus], names: Sequence[str]) -> Verdict:
    waited_for = [at for at, status in enumerate(gates) if status not in LEFT_OUT]
    if not waited_for:
        return Verdict(again=False, reason="no job is left that it waits for; it never fires")
    open_ones = [at for at, status in enumerate(gates) if status not in LEFT_OUT | PAST[trigger]]
    if not open_ones:
        number = len(waited_for)
        what = "the job it is about is" if number == 1 else f"all {number} jobs it is about are"
        return Verdict(again=False, reason=f"{what} over and {does(number, 'stay')} so")
    chosen = [names[at] for at in open_ones] if names else []
    return Verdict(again=True, reason=_runs_again(len(open_ones), len(waited_for), chosen))


def _runs_again(number: int, of: int, names: Sequence[str]) -> str:
    """Who of a gate has something before it."""
    verb = does(number, "run")
    if names:
        rest = number - 1
        more = f" and {counted(rest, 'other')}" if rest else ""
        return f"{names[0]}{more} {verb} again"
    return f"{number} of the {of} jobs it is about {verb} again" if of > 1 else "its job runs again"


def no_retry(action: Action, *, runs: bool) -> str | None:
    """Why an action cannot be executed once more, as what follows its name; None if it can.

    `runs`: an execution of it has not ended.
    """
    if action.persistent:
        return "is persistent: every worker executes it once, for itself"
    if runs:
        return "is being executed; wait until that has ended"
    if not action.executed:
        return "has not been executed yet, so there is nothing to retry"
    if action.trigger_count < action.required_triggers:
        done = f"{action.trigger_count} of {action.required_triggers}"
        return f"waits for {action.trigger_type.value} again ({done}); it fires when that is so"
    return None
