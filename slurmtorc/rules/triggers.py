"""Which actions may fire again when jobs of a workflow are to run again.

One table for all who begin a run; the store's statement is made from it. The start of a workflow
does not come again, nor does a gate all of whose jobs are over and stay so.
"""

from __future__ import annotations

from slurmtorc.model import TriggerType

ALWAYS = frozenset(
    {
        TriggerType.ON_WORKFLOW_COMPLETE,
        TriggerType.ON_WORKER_START,
        TriggerType.ON_WORKER_COMPLETE,
    }
)
"""Their moment comes again in every run."""

BY_GATE = frozenset({TriggerType.ON_JOBS_READY, TriggerType.ON_JOBS_COMPLETE})
"""Theirs comes again unless all the jobs they are about are over."""


def comes_again(trigger: TriggerType, *, gate_is_over: bool) -> bool:
    """Whether an action with this trigger is armed again."""
    return trigger in ALWAYS or (trigger in BY_GATE and not gate_is_over)
