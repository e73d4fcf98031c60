"""`--ai-recovery` and `--ai-agent`: who is shown jobs that were set aside."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.render import emit_json, note
from slurmtorc.errors import UsageError
from slurmtorc.model import RUNNABLE, JobStatus

if TYPE_CHECKING:
    from slurmtorc.cli.context import State
    from slurmtorc.model import Workflow
    from slurmtorc.watch.agent import Agent
    from slurmtorc.watch.asking import Asking

AGENT_OPTIONS = (
    click.option(
        "--ai-recovery", is_flag=True, help="Show jobs that are pending_failed to an agent."
    ),
    click.option(
        "--ai-agent",
        metavar="AGENT",
        help="claude, copilot, or a command that reads a prompt.  [default: claude]",
    ),
)


def chosen_agent(given: str | None, *, asked: bool) -> Agent | None:
    """The agent, if one is asked for. Raises UsageError if one is only named."""
    from slurmtorc.watch.agent import DEFAULT, agent_of

    if not asked:
        if given is not None:
            raise UsageError("--ai-agent names who --ai-recovery asks; write both, or neither")
        return None
    return agent_of(DEFAULT if given is None else given)


# ── at once, for `torc recover` ──────────────────────────────────────────────

REST_S = 1.0


class Asked(Enum):
    """What came of asking, where that is all there is to do."""

    DRY = 1
    """It was only said what would be shown to whom."""
    READY = 2
    """Jobs run again, and need nodes."""


def ask_agent(state: State, workflow_id: int, agent: Agent, *, dry_run: bool) -> Asked | None:
    """Show what was set aside to an agent and wait for it; None if there is more to be done.

    As long as other jobs run, or may, nobody is asked.
    """
    from slurmtorc.model import Workflow
    from slurmtorc.watch.asking import Asking
    from slurmtorc.wiring import agents

    workflow = state.store.get(Workflow, workflow_id)
    present = state.store.outlook(workflow_id).present
    if JobStatus.PENDING_FAILED not in present or present & RUNNABLE:
        return None
    asking = Asking(state.store, agents(agent, state.store.url, state.settings.output_dir))
    if dry_run:
        _show(state, asking, workflow)
        return Asked.DRY
    _wait_for(asking, workflow)
    ready = JobStatus.READY in state.store.outlook(workflow_id).present
    return Asked.READY if ready else None


def _show(state: State, asking: Asking, workflow: Workflow) -> None:
    name, prompt = asking.foresee(workflow)
    if state.as_json:
        shown = {"agent": name, "prompt": prompt}
        emit_json({"workflow_id": workflow.id, "dry_run": True, **shown})
    else:
        click.echo(f"would be shown to agent {name!r}:\n{prompt}", nl=False)


def _wait_for(asking: Asking, workflow: Workflow) -> None:
    """Until it has ended, or its time is over."""
    note(asking.ask(workflow))
    try:
        while not (heard := asking.hear()):
            asking.agents.wait(REST_S)
    except KeyboardInterrupt:
        asking.agents.stop()
        raise
    for line in heard.values():
        note(line)
