"""`torc status`: how far a workflow is. Beside the other commands of workflows, of which it needs
nothing: it is asked again and again, so it is to answer at once.
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
