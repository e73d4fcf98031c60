"""`torc slurm sacct` and `stats`: what Slurm measured of a workflow. They change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import ID, State, TorcCommand, paged, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import Listing, emit_json, emit_rows, emit_table, note
from slurmtorc.errors import Conflict
from slurmtorc.units import display_memory, display_seconds, format_walltime, iso_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import Allocation, SlurmStats, UsageEntry
    from slurmtorc.ports import Page, Store


# ── sacct ────────────────────────────────────────────────────────────────────


@click.command("sacct", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option(
    "-o", "--output-dir", type=click.Path(file_okay=False), help="Where --save-json writes."
)
@click.option("--save-json", is_flag=True, help="Write sacct_SLURMJOB.json for each allocation.")
@pass_state
def sacct(state: State, workflow_id: int, output_dir: str | None, save_json: bool) -> None:
    """What Slurm's accounting says of a workflow's allocations and their steps.

    One question for all of them. An exit code of 128 and above is printed wrong by Slurm before
    25.11; the state is right.

    Example: torc slurm sacct 7
    """
    allocations = known_to_slurm(state.store, workflow_id)
    rows = accounted(state, allocations)
    missing = [one for one in allocations if one.scheduler_id not in rows]
    errors = [
        f"Slurm job {one.scheduler_id} (allocation {one.id}): accounting has no row of it"
        for one in missing
    ]
    if save_json:
        _save(Path(output_dir or state.settings.output_dir), rows)
    if state.as_json:
        summary = [_summary(group) for group in rows.values()]
        total = len(allocations)
        head = {"workflow_id": workflow_id, "total_slurm_jobs": total}
        emit_json({**head, "summary": summary, "errors": errors})
        return
    cells = [_cells(entry) for group in rows.values() for entry in group]
    title = f"Slurm's accounting of workflow {workflow_id}"
    emit_table(title, _SACCT, cells, empty="No allocations found.")
    for error in errors:
        note(f"torc: warning: {error}")


_SACCT = ("Slurm Job", "Job Step", "State", "Exit Code", "Elapsed", "Max RSS", "CPU Time", "Nodes")


def known_to_slurm(store: Store, workflow_id: int) -> list[Allocation]:
    """The allocations that have an id of Slurm's."""
    from slurmtorc.model import Allocation

    store.progress(workflow_id)  # an unknown workflow is an error, not an empty report
    found = every(store, Allocation, workflow_id=workflow_id)
    return [one for one in found if one.scheduler_id is not None]


def accounted(
    state: State, allocations: Sequence[Allocation]
) -> Mapping[int, Sequence[UsageEntry]]:
    """Slurm job id -> its row, then its steps. Raises SlurmError."""
    from slurmtorc.wiring import ledger

    if not allocations:
        return {}
    ids = [one.scheduler_id for one in allocations if one.scheduler_id is not None]
    since = min(one.submitted_at or one.created_at for one in allocations)
    found: dict[int, list[UsageEntry]] = {}
    for entry in ledger(state.settings).usage(ids, since):
        found.setdefault(entry.slurm_job_id, []).append(entry)
    return {number: found[number] for number in ids if number in found}


def _save(folder: Path, rows: Mapping[int, Sequence[UsageEntry]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, group in rows.items():
            file = folder / f"sacct_{number}.json"
            printed = {"slurm_job_id": number, "rows": [dict(entry.printed) for entry in group]}
            file.write_text(json.dumps(printed, indent=2) + "\n", encoding="utf-8")
            note(f"Wrote {file}")
    except OSError as error:
        message = f"accounting cannot be saved in {folder}: {error.strerror}"
        raise Conflict(f"{message}; name another directory with --output-dir") from error


def _summary(group: Sequence[UsageEntry]) -> dict[str, Any]:
    """One allocation for programs, and its steps."""
    whole, steps = group[0], [_entry(entry) for entry in group if entry.step]
    largest = max((entry.max_rss_bytes or 0 for entry in group), default=0)
    return {**_entry(whole), "max_rss_bytes": largest or None, "steps": steps}


def _entry(entry: UsageEntry) -> dict[str, Any]:
    return {
        "slurm_job_id": entry.slurm_job_id,
        "job_step": entry.step,
        "name": entry.name,
        "state": entry.state.value,
        "exit_code": entry.exit_code,
        "elapsed": format_walltime(entry.elapsed_s),
        "elapsed_s": entry.elapsed_s,
        "max_rss_bytes": entry.max_rss_bytes,
        "cpu_time_s": entry.cpu_time_s,
        "used_cpu_s": entry.used_cpu_s,
        "nodes": entry.nodes,
        "num_nodes": entry.num_nodes,
        "cpus": entry.cpus,
        "submit_time": iso_time(entry.submit_time),
        "start_time": iso_time(entry.start_time),
        "end_time": iso_time(entry.end_time),
        "partition": entry.printed["partition"],
        "account": entry.printed["account"],
    }


def _cells(entry: UsageEntry) -> tuple[object, ...]:
    return (
        entry.slurm_job_id,
        entry.step or "-",
        entry.state.value,
        entry.exit_code,
        display_seconds(entry.elapsed_s),
        display_memory(entry.max_rss_bytes),
        display_seconds(entry.cpu_time_s),
        entry.nodes or "-",
    )


# ── stats ────────────────────────────────────────────────────────────────────


@click.command("stats", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("-j", "--job-id", type=ID, help="Of one job.")
@click.option("-r", "--run-id", type=ID, help="Of one run.")
@click.option("-a", "--attempt-id", type=int, help="Of one attempt.")
@paged
@pass_state
def stats(
    state: State,
    workflow_id: int,
    job_id: int | None,
    run_id: int | None,
    attempt_id: int | None,
    page: Page,
) -> None:
    """What Slurm measured of each attempt that was a step of its own.

    That is, in workflows whose execution_config has mode `slurm`. Read from the store.

    Example: torc slurm stats 7 --job-id 42
    """
    from slurmtorc.model import SlurmStats

    state.store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    given = {"job_id": job_id, "run_id": run_id, "attempt_id": attempt_id}
    where = {name: value for name, value in given.items() if value is not None}
    rows = state.store.rows(SlurmStats, page, workflow_id=workflow_id, **where)
    emit_rows(rows, _STATS, of=f"workflow {workflow_id}", as_json=state.as_json)


def _stats_row(stats: SlurmStats) -> tuple[object, ...]:
    return (
        stats.job_id,
        stats.run_id,
        stats.attempt_id,
        f"{stats.slurm_job_id}.{stats.step}" if stats.step else stats.slurm_job_id,
        display_memory(stats.max_rss_bytes),
        display_memory(stats.max_vm_size_bytes),
        display_memory(stats.max_disk_read_bytes),
        display_memory(stats.max_disk_write_bytes),
        display_seconds(stats.ave_cpu_seconds),
        stats.node_list or "-",
    )


_STATS_COLUMNS = ("Job", "Run", "Attempt", "Slurm step", "Max RSS", "Max VM", "Disk read",
                  "Disk written", "CPU Time", "Nodes")  # fmt: skip
_STATS = Listing("Slurm stats", "slurm_stats", _STATS_COLUMNS, _stats_row)
