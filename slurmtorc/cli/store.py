"""`torc store …`: what an admin does to the database itself, by hand or from cron."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.context import State, TorcGroup, pass_state
from slurmtorc.cli.keeping import keep, kept_store
from slurmtorc.cli.render import emit_json, emit_record, note, plain

if TYPE_CHECKING:
    from slurmtorc.ports import Facts, Upkeep, Violation

FILE = click.Path(path_type=Path)


@click.group("store", cls=TorcGroup)
def store() -> None:
    """Back up, check, migrate and tidy the store."""


@store.command("backup")
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@pass_state
def backup(state: State, file: Path, force: bool) -> None:
    """Copy the store to a file, as it is at one moment, while workers go on.

    The copy is checked before it gets its name. Of SQLite it is a database like the store; of
    Postgres it is an archive of pg_dump, which pg_restore reads.

    Example: torc store backup /backups/torc-$(date +%F).db
    """
    from slurmtorc.units import display_memory

    with kept_store(state) as kept:
        done = kept.backup(file.absolute(), force=force)
    if state.as_json:
        emit_json(done)
    else:
        click.echo(f"Backed up to {done.path} ({display_memory(done.bytes)}), and checked")


# ── check ────────────────────────────────────────────────────────────────────


@store.command("check")
@click.option("--repair", is_flag=True, help="Recompute what can be; no worker may be active.")
@pass_state
def check(state: State, repair: bool) -> int:
    """Look for damage, and for anything that contradicts itself; exit 1 if there is.

    The database's own checks, and ours: every counter is counted anew, every running job has a
    worker, every attempt one result.

    Example: torc store check --repair
    """
    with kept_store(state) as kept:
        found = kept.repair() if repair else kept.check()
        left = kept.check() if repair and found else found
    mended = len([one for one in found if one not in left])
    if state.as_json:
        emit_json({"is_sound": not left, "violations": left, "repaired": mended})
    else:
        _tell(left, mended, repair=repair)
    return 1 if left else 0


def _tell(left: list[Violation], mended: int, *, repair: bool) -> None:
    for one in left:
        where = f"workflow {one.workflow_id}: " if one.workflow_id else ""
        click.echo(f"{one.kind}: {where}{one.message}; mend: {_mend(one, repair=repair)}")
    if mended:
        click.echo(f"Repaired: {mended}")
    click.echo(f"Violations: {len(left)}" if left else "The store is sound.")


def _mend(one: Violation, *, repair: bool) -> str:
    """What helps; where the repair has been tried, it does not."""
    if repair and one.can_repair:
        return f"torc workflows delete {one.workflow_id}, or restore a backup"
    return one.mend


# ── info ─────────────────────────────────────────────────────────────────────


@store.command("info")
@pass_state
def info(state: State) -> None:
    """What the store is, where it lies, how large it is, and what is in it.

    Example: torc store info -f json
    """
    with kept_store(state) as kept:
        facts = kept.facts()
    if state.as_json:
        cared = {what: {"at": at, "detail": told} for what, (at, told) in facts.cared_for.items()}
        emit_json(plain(facts) | {"cared_for": cared})
    else:
        emit_record(_lines(facts))


def _lines(facts: Facts) -> dict[str, Any]:
    from slurmtorc.units import display_memory, iso_time

    newest = "" if facts.revision == facts.newest_revision else " (torc store migrate)"
    lines: dict[str, Any] = {
        "url": facts.url,
        "database": f"{facts.kind} {facts.version}",
        "schema": f"{facts.revision} of {facts.newest_revision}{newest}",
        "size": display_memory(facts.bytes),
    }
    if facts.pages is not None:
        lines["write-ahead log"] = display_memory(facts.wal_bytes)
        lines["journal"] = facts.journal_mode
        lines["pages"] = f"{facts.pages}, {facts.free_pages} of them free"
        lines["file system"] = f"{facts.file_system}, {display_memory(facts.disk_free_bytes)} free"
    lines["active workers"] = facts.active_workers
    for what in ("backup", "trim", "vacuum"):
        at, told = facts.cared_for.get(what, (None, None))
        lines[f"last {what}"] = iso_time(at) and f"{iso_time(at)} {told or ''}".rstrip()
    return lines | {f"rows of {name}": count for name, count in facts.rows.items() if count}


# ── migrate ──────────────────────────────────────────────────────────────────


@store.command("migrate")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--no-backup", is_flag=True, help="Do not copy a SQLite store first.")
@pass_state
def migrate(state: State, dry_run: bool, no_backup: bool) -> None:
    """Bring the store's schema up to date.

    Any command that opens the store does so too. This one copies a SQLite store first, beside
    it; of Postgres, make a backup yourself. It is done wholly or not at all.

    Example: torc store migrate --dry-run
    """
    with kept_store(state) as kept:
        steps, copy = kept.outstanding(), None
        if steps and not dry_run:
            copy = None if no_backup else _copied_first(kept)
            kept.migrate()
    if state.as_json:
        emit_json({"revisions": steps, "dry_run": dry_run, "backup": copy})
    elif not steps:
        click.echo("The schema is up to date.")
    else:
        click.echo(f"{'Would migrate' if dry_run else 'Migrated'} through {', '.join(steps)}")


def _copied_first(kept: Upkeep) -> str | None:
    from slurmtorc.wiring import clock

    path = kept.copy_before_migration(clock.now())
    if path is None:
        return None
    done = kept.backup(path)
    note(f"Backed up to {done.path}")
    return done.path


# ── room ─────────────────────────────────────────────────────────────────────


@store.command("vacuum")
@pass_state
def vacuum(state: State) -> None:
    """Give unused room back, and let the database count its rows anew.

    Refused while workers are active. A SQLite file is written anew, which needs free room of
    twice its size for a while. Postgres keeps freed room for new rows of the same tables.

    Example: torc store vacuum
    """
    from slurmtorc.units import display_memory

    with kept_store(state) as kept:
        before, after = kept.vacuum()
    if state.as_json:
        emit_json({"bytes_before": before, "bytes_after": after, "bytes_won": before - after})
    else:
        sizes = f"{display_memory(before)} before, {display_memory(after)} now"
        click.echo(f"Won {display_memory(max(0, before - after))}: {sizes}")


@store.command("trim")
@click.option("--dry-run", is_flag=True, help="Say how much would go, and do nothing.")
@pass_state
def trim(state: State, dry_run: bool) -> None:
    """Let go of old events and results, as the settings say.

    store.keep_events, store.keep_event_days and store.keep_results_runs. Results of a workflow's
    newest run, and the last one of each job, always stay. The end of a run or of a watch does
    this too, once a day and for a moment only.

    Example: torc store trim --dry-run
    """
    with kept_store(state) as kept:
        gone = kept.trim(keep(state.settings), dry_run=dry_run)
    assert gone is not None, "it is always time when somebody asks"
    if state.as_json:
        emit_json(plain(gone) | {"dry_run": dry_run})
    else:
        verb = "Would remove" if dry_run else "Removed"
        click.echo(f"{verb} {gone.events} events and {gone.results} results")
