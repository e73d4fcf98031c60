"""`torc status`: how far a workflow is.

Apart from the other commands of workflows, which it does not need: people ask it again and again,
and what is imported for nothing is what they would wait for.
"""

from __future__ import annotations

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state


@click.command("status", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@pass_state
def status(state: State, workflow_id: int) -> None:
    """How far a workflow is.

    Its jobs by status, its allocations, and what failed.

    Example: torc status 7
    """
    from slurmtorc.cli.summary import emit_summary
    from slurmtorc.wiring import glance

    seen = glance(state.settings, workflow_id) or state.store.overview(workflow_id)
    emit_summary(seen, as_json=state.as_json)
