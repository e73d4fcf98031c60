"""Lists of what happened: results, allocations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import ID, State, TorcGroup, paged, pass_state
from slurmtorc.cli.render import Listing, emit_json, emit_record, emit_rows, note, plain
from slurmtorc.errors import UsageError
from slurmtorc.model import TERMINAL, AllocationStatus, JobStatus

if TYPE_CHECKING:
    from typing import Any

    from slurmtorc.model import Allocation, Result
    from slurmtorc.ports import Page

_STATUS_WORDS = click.Choice([status.word for status in JobStatus if status in TERMINAL])
_UNSUCCESSFUL = [JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED]


# ── results ──────────────────────────────────────────────────────────────────


@click.group("results", cls=TorcGroup)
def results() -> None:
    """What every attempt came to."""


@results.command("list")
@click.argument("workflow_id", type=ID)
@click.option("-j", "--job-id", type=ID, help="Of one job.")
@click.option("-r", "--run-id", type=ID, help="Of one run; else the newest.")
@click.option("--all-runs", is_flag=True, help="Of all runs.")
@click.option("-s", "--status", type=_STATUS_WORDS, multiple=True, help="Only these; repeatable.")
@click.option("--compute-node", type=ID, metavar="ID", help="Only what this worker ran.")
@click.option("--return-code", type=int, help="Only attempts that ended with it.")
@click.option("--failed", is_flag=True, help="Only those that did not succeed.")
@click.option("--all", "everything", is_flag=True, help="Superseded reports too.")
@paged
@pass_state
def list_results(
    state: State,
    workflow_id: int,
    job_id: int | None,
    run_id: int | None,
    all_runs: bool,
    status: tuple[str, ...],
    compute_node: int | None,
    return_code: int | None,
    failed: bool,
    everything: bool,
    page: Page,
) -> None:
    """List results of the newest run, one for every attempt.

    Example: torc results list 7 --failed --all-runs
    """
    from slurmtorc.model import Result

    if all_runs and run_id is not None:
        raise UsageError("--run-id and --all-runs exclude each other; give one of them")
    if failed and status:
        raise UsageError("--failed and --status exclude each other; give one of them")
    newest = state.store.progress(workflow_id).run_id
    given = {
        "job_id": job_id,
        "run_id": None if all_runs else newest if run_id is None else run_id,
        "compute_node_id": compute_node,
        "return_code": return_code,
    }
    where: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if failed or status:
        where["status"] = [JobStatus[word.upper()] for word in status] or _UNSUCCESSFUL
    if not everything:
        where["superseded"] = False
    rows = state.store.rows(Result, page, workflow_id=workflow_id, **where)
    nodes = {} if state.as_json else _nodes(state, workflow_id)
    row = partial(_result_row, nodes=nodes)
    listing = Listing("Results", "results", _RESULT, row, _result_json)
    emit_rows(rows, listing, of=f"workflow {workflow_id}", as_json=state.as_json)
    if not rows.items and "run_id" in where and newest > 1:
        note(f"Nothing in run {where['run_id']}; --all-runs lists every run.")


_RESULT = ("ID", "Job", "Name", "Run", "Attempt", "Code", "Status", "Ending", "Time",
           "Peak memory", "CPU", "Node")  # fmt: skip


def _nodes(state: State, workflow_id: int) -> dict[int, str]:
    """Compute node id -> host name."""
    from slurmtorc.model import ComputeNode

    found = state.store.rows(ComputeNode, workflow_id=workflow_id).items
    return {node.id: node.hostname for node in found}


def _result_row(result: Result, nodes: dict[int, str]) -> tuple[object, ...]:
    from slurmtorc.units import display_memory, display_seconds

    cpu = result.avg_cpu_percent
    return (
        result.id,
        result.job_id,
        result.job_name,
        result.run_id,
        result.attempt_id,
        result.return_code,
        result.status.word,
        result.ending.value,
        display_seconds(result.exec_time_s),
        display_memory(result.peak_memory_bytes),
        "-" if cpu is None else f"{cpu:.0f} %",
        nodes.get(result.compute_node_id or 0, "-"),
    )


def _result_json(result: Result) -> dict[str, Any]:
    """The record, with torc's minutes beside our seconds."""
    from slurmtorc.units import iso_time

    record: dict[str, Any] = plain(result)
    record["exec_time_minutes"] = result.exec_time_s / 60
    record["completion_time"] = iso_time(result.completion_time)
    return record


# ── allocations ──────────────────────────────────────────────────────────────


@click.group("allocations", cls=TorcGroup)
def allocations() -> None:
    """The Slurm jobs that host workers.

    torc's API calls them scheduled compute nodes.
    """


@allocations.command("list")
@click.argument("workflow_id", type=ID)
@click.option(
    "--status", type=click.Choice([s.value for s in AllocationStatus]), help="Only these."
)
@paged
@pass_state
def list_allocations(state: State, workflow_id: int, status: str | None, page: Page) -> None:
    """List the allocations of a workflow.

    Example: torc allocations list 7
    """
    from slurmtorc.model import Allocation

    state.store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    where = {"status": AllocationStatus(status)} if status else {}
    rows = state.store.rows(Allocation, page, workflow_id=workflow_id, **where)
    emit_rows(rows, _ALLOCATIONS, of=f"workflow {workflow_id}", as_json=state.as_json)


def _allocation_row(allocation: Allocation) -> tuple[object, ...]:
    from slurmtorc.units import iso_time

    return (
        allocation.id,
        allocation.scheduler_id,
        allocation.scheduler_config_id,
        allocation.nodes,
        allocation.status.value,
        allocation.reason,
        iso_time(allocation.submitted_at),
    )


_ALLOCATION = ("ID", "Slurm job", "Scheduler", "Nodes", "Status", "Reason", "Submitted")
_ALLOCATIONS = Listing("Allocations", "scheduled_compute_nodes", _ALLOCATION, _allocation_row)


@allocations.command("get")
@click.argument("allocation_id", type=ID)
@pass_state
def get_allocation(state: State, allocation_id: int) -> None:
    """Show one allocation.

    Example: torc allocations get 3
    """
    from slurmtorc.model import Allocation

    record = plain(state.store.get(Allocation, allocation_id))
    emit_json(record) if state.as_json else emit_record(record)
