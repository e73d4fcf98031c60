"""`torc actions`: what a workflow does by itself, what became of it, and why not yet."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcGroup, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import emit_json, emit_record, emit_table, note, plain
from slurmtorc.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import Action, ActionRun
    from slurmtorc.ports import Store
    from slurmtorc.rules.firing import Facts

SHOWN = 3
"""How many jobs of a gate are named."""


@click.group("actions", cls=TorcGroup)
def actions() -> None:
    """What a workflow does by itself, and what became of it."""


# ── list ─────────────────────────────────────────────────────────────────────


@actions.command("list")
@click.argument("workflow_id", type=ID)
@pass_state
def list_(state: State, workflow_id: int) -> None:
    """List the actions of a workflow: what fired, when and where, and why not yet.

    Progress is how many of the jobs that an action waits for have got there.

    Example: torc actions list 7
    """
    from slurmtorc.model import Action

    found = every(state.store, Action, workflow_id=workflow_id)
    facts = facts_of(state.store, workflow_id, list(found))
    if state.as_json:
        items = [_record(each) for each in facts]
        emit_json({"items": items, "actions": items})
        return
    title = f"Actions of workflow {workflow_id}"
    emit_table(title, _COLUMNS, map(_row, facts), empty="No actions found.")


_COLUMNS = ("ID", "Trigger", "Action", "Progress", "Status", "Executed At", "Where", "Jobs",
            "Why")  # fmt: skip


def facts_of(store: Store, workflow_id: int, found: Sequence[Action]) -> list[Facts]:
    """All that is known of some actions of a workflow."""
    from slurmtorc.model import ActionRun, ComputeNode
    from slurmtorc.rules.firing import Facts
    from slurmtorc.wiring import clock

    progress = store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    runs: dict[int, list[ActionRun]] = defaultdict(list)
    for run in every(store, ActionRun, workflow_id=workflow_id) if found else ():
        runs[run.action_id].append(run)
    nodes = list(every(store, ComputeNode, workflow_id=workflow_id, is_active=True))
    silent = {one.id: one.heartbeat for one in nodes if one.lease_until < clock.now()}
    gates = store.gates(workflow_id) if found else {}
    return [
        Facts(
            action=action,
            progress=progress,
            gate=_gate(store, gates, action.id),
            runs=runs[action.id],
            workers=len(nodes) - len(silent),
            silent=silent,
        )
        for action in found
    ]


def _gate(store: Store, gates: Mapping[int, Sequence[int]], action_id: int) -> list[Any]:
    from slurmtorc.cli.facts import named

    return named(store, gates.get(action_id, ()))


def _row(facts: Facts) -> tuple[object, ...]:
    from slurmtorc.rules.firing import stage
    from slurmtorc.units import iso_time

    action, now = facts.action, stage(facts)
    last = facts.runs[-1] if facts.runs else None
    jobs = [job.name for job in facts.gate]
    more = f" and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else ""
    return (
        action.id,
        action.trigger_type.value,
        action.action_type.value,
        f"{action.trigger_count}/{action.required_triggers}",
        now.status,
        iso_time(last.start_time) if last else None,
        last.hostname if last else None,
        ", ".join(jobs[:SHOWN]) + more or None,
        now.why or None,
    )


def _record(facts: Facts) -> dict[str, Any]:
    from slurmtorc.rules.firing import stage

    now = stage(facts)
    record: dict[str, Any] = plain(facts.action)
    record |= {"status": now.status, "why": now.why}
    record["jobs"] = [plain(job) for job in facts.gate]
    return record


# ── get, logs ────────────────────────────────────────────────────────────────


@actions.command("get")
@click.argument("action_id", type=ID)
@pass_state
def get(state: State, action_id: int) -> None:
    """Show one action, and each of its executions.

    Example: torc actions get 3
    """
    facts = _one(state.store, action_id)
    record = _record(facts)
    if state.as_json:
        emit_json(record | {"executions": [plain(run) for run in facts.runs]})
        return
    record["jobs"] = ", ".join(job.name for job in facts.gate) or None
    emit_record(record)
    if facts.runs:
        click.echo()
    columns = ("ID", "Run", "Where", "Worker", "Started", "Ended", "Code", "Status", "Reason")
    empty = "It has not been executed."
    emit_table("Executions", columns, map(_execution, facts.runs), empty=empty)


def _execution(run: ActionRun) -> tuple[object, ...]:
    from slurmtorc.rules.firing import came_to
    from slurmtorc.units import iso_time

    return (
        run.id,
        run.run_id,
        run.hostname,
        run.compute_node_id,
        iso_time(run.start_time),
        None if run.end_time is None else iso_time(run.end_time),
        run.return_code,
        came_to(run).status,
        run.reason,
    )


def _one(store: Store, action_id: int) -> Facts:
    from slurmtorc.model import Action

    action = store.get(Action, action_id)
    return facts_of(store, action.workflow_id, [action])[0]


@actions.command("logs")
@click.argument("action_id", type=ID)
@click.option("-e", "--execution", type=ID, metavar="ID", help="An execution; else the last.")
@click.option("--path", is_flag=True, help="Print where the file is instead of what is in it.")
@pass_state
def logs(state: State, action_id: int, execution: int | None, path: bool) -> None:
    """Print what the commands of an action wrote, or have written so far.

    Of its last execution, unless you name another.

    Example: torc actions logs 3
    """
    from slurmtorc.cli.jobs import copy

    run = _execution_of(_one(state.store, action_id), execution)
    if run.log_path is None:
        raise NotFound(f"execution {run.id} of action {action_id} ran no commands, so no log")
    if state.as_json:
        emit_json({"action_id": action_id, "execution_id": run.id, "path": run.log_path})
    elif path:
        click.echo(run.log_path)
    else:
        copy(Path(run.log_path))


def _execution_of(facts: Facts, execution: int | None) -> ActionRun:
    from slurmtorc.rules.firing import stage

    number = facts.action.id
    if not facts.runs:
        now = stage(facts)
        why = f": {now.why}" if now.why else ""
        raise NotFound(f"action {number} has not been executed; it is {now.status}{why}")
    found = [run for run in facts.runs if execution in {None, run.id}]
    if not found:
        ids = ", ".join(str(run.id) for run in facts.runs)
        raise NotFound(f"action {number} has no execution {execution}; it has {ids}")
    return found[-1]


# ── retry ────────────────────────────────────────────────────────────────────


@actions.command("retry")
@click.argument("action_id", type=ID)
@click.option("--no-prompts", is_flag=True, help="Do not ask.")
@pass_state
def retry(state: State, action_id: int, no_prompts: bool) -> None:
    """Let an action that was executed fire once more, at once.

    For one that failed or was lost: nothing executes an action a second time by itself. Its
    condition must hold; if a worker is there it executes it, else `torc run ID` does.

    Example: torc actions retry 3
    """
    from slurmtorc.cli.reinit import sweep_here
    from slurmtorc.model import Action
    from slurmtorc.rules.triggers import no_retry

    sweep_here(state, state.store.get(Action, action_id).workflow_id)
    facts = _one(state.store, action_id)
    why_not = no_retry(facts.action, runs=any(run.end_time is None for run in facts.runs))
    if why_not is None and facts.progress.is_canceled:
        why_not = f"is one of workflow {facts.progress.workflow_id}, which was canceled"
    if why_not is not None:
        raise Conflict(f"action {action_id} {why_not}")
    if not no_prompts and sys.stdin.isatty() and not click.confirm(_question(facts), err=True):
        return
    action = state.store.retry_action(action_id)
    if state.as_json:
        emit_json(plain(action))
        return
    click.echo(f"Action {action_id} is pending again")
    if not facts.workers:
        note(_who(facts))


def _question(facts: Facts) -> str:
    from slurmtorc.rules.firing import stage

    action, now = facts.action, stage(facts)
    what = f"Action {action.id} ({action.trigger_type.value}: {action.action_type.value})"
    why = f" ({now.why})" if now.why else ""
    return f"{what} is {now.status}{why}. Execute it once more?"


def _who(facts: Facts) -> str:
    from slurmtorc.model import ActionType

    asks = facts.action.action_type is ActionType.SCHEDULE_NODES
    command = "submit" if asks else "run"
    return (
        f"No worker is there to execute it; do so with: torc {command} {facts.progress.workflow_id}"
    )
