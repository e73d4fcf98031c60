"""`torc workflows prune`: finished workflows go, by age and status, in steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import State, TorcCommand, pass_state
from slurmtorc.cli.keeping import kept_store
from slurmtorc.cli.render import emit_json, emit_table, note, plain
from slurmtorc.errors import Conflict, TorcError, UsageError
from slurmtorc.rules.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.ports import Candidate, Criteria, Upkeep

FINISHED = ("completed", "failed", "canceled", "archived")
STATUSES = click.Choice([*FINISHED, "unstarted", "unfinished"])
_UNITS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def _age(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Seconds of 30d, 12h, 2w, or of an ISO 8601 duration."""
    if value is None:
        return None
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", value):
        return float(match[1]) * _UNITS[match[2]]
    from slurmtorc.units import parse_duration

    try:
        return float(parse_duration(value))
    except TorcError:
        raise click.BadParameter(f"{value!r} is no age; write 30d, 12h, 2w or P1DT12H") from None


@click.command("prune", cls=TorcCommand)
@click.option("--older-than", callback=_age, metavar="AGE",
              help="Nothing happened in it for so long: 30d, 12h, 2w.")  # fmt: skip
@click.option("-s", "--status", type=STATUSES, multiple=True, help="Only these; repeatable.  "
              "[default: completed, failed, canceled, archived]")  # fmt: skip
@click.option("--keep-last", type=click.IntRange(min=0), default=0, metavar="N",
              help="The newest N of each user stay.")  # fmt: skip
@click.option("-u", "--user", help="Workflows of this user only; else yours.")
@click.option("--all-users", is_flag=True, help="Workflows of all users.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and do nothing.")
@click.option("--no-prompts", is_flag=True, help="Do not ask.")
@pass_state
def prune(
    state: State,
    older_than: float | None,
    status: tuple[str, ...],
    keep_last: int,
    user: str | None,
    all_users: bool,
    dry_run: bool,
    no_prompts: bool,
) -> int:
    """Delete finished workflows by age and status, with everything of them.

    Output files stay. A workflow in which a worker, an allocation or a watch is alive is never
    touched. Deleting is done in small steps, so that nobody who writes waits for long; what was
    interrupted is finished by the next prune. It asks first, except with --no-prompts or -f json.

    Example: torc workflows prune --older-than 30d --keep-last 5 --dry-run
    """
    if older_than is None and not status and not keep_last:
        raise UsageError("say what may go: --older-than AGE, --status STATUS or --keep-last N")
    if user and all_users:
        raise UsageError("--user and --all-users exclude each other; give one of them")
    criteria = _criteria(
        older_than, status or FINISHED, keep_last, None if all_users else user or _me()
    )
    with kept_store(state) as kept:
        found = kept.prunable(criteria)
        interrupted = kept.half_pruned()
        going = _going(found, interrupted)
        if not state.as_json:
            _show(found, interrupted)
        ask = not (dry_run or no_prompts or state.as_json)
        question = f"Delete {counted(len(going), 'workflow')}?"
        if ask and going and not click.confirm(question, err=True):
            return 0
        gone, kept_back = ([], {}) if dry_run else _gone(kept, going)
    if state.as_json:
        told = {"workflows": plain(found), "interrupted": interrupted, "deleted": gone}
        emit_json({"dry_run": dry_run, **told, "errors": kept_back})
    elif not dry_run:
        click.echo(f"Deleted {counted(len(gone), 'workflow')}")
    for message in kept_back.values():
        note(f"torc: warning: {message}")
    return 1 if kept_back else 0


def _me() -> str:
    from slurmtorc.cli.run import caller

    return caller()


def _criteria(
    older_than: float | None, statuses: Sequence[str], keep_last: int, user: str | None
) -> Criteria:
    from slurmtorc.ports import Criteria
    from slurmtorc.wiring import clock

    since = None if older_than is None else clock.now() - older_than
    return Criteria(statuses=frozenset(statuses), user=user, idle_since=since, keep_last=keep_last)


def _show(found: Sequence[Candidate], interrupted: Sequence[int]) -> None:
    from slurmtorc.units import display_memory

    emit_table(
        "Workflows to delete", _COLUMNS, map(_row, found), empty="No workflow is to be deleted."
    )
    size = sum(one.bytes for one in found if one.in_use is None)
    if found:
        click.echo(f"About {display_memory(size)} of the store (torc store vacuum gives it back)")
    if interrupted:
        note(f"Deletion of {', '.join(map(str, interrupted))} was interrupted, and goes on.")


_COLUMNS = ("ID", "User", "Name", "Status", "Last active", "Jobs", "Results", "Events", "Size",
            "Stays because of")  # fmt: skip


def _row(one: Candidate) -> tuple[object, ...]:
    from slurmtorc.units import display_memory, iso_time

    return (
        one.workflow_id,
        one.user,
        one.name,
        one.status,
        iso_time(one.last_active),
        one.jobs,
        one.results,
        one.events,
        display_memory(one.bytes),
        one.in_use,
    )


def _going(found: Sequence[Candidate], interrupted: Sequence[int]) -> dict[int, Candidate | None]:
    """What is to be deleted, each as it was listed; what was interrupted goes on as it is."""
    free = [one for one in found if one.in_use is None and one.workflow_id not in interrupted]
    return {**dict.fromkeys(interrupted), **{one.workflow_id: one for one in free}}


def _gone(kept: Upkeep, going: Mapping[int, Candidate | None]) -> tuple[list[int], dict[int, str]]:
    """The workflows that were deleted, and why others were not."""
    gone, kept_back = [], {}
    for workflow_id, listed in going.items():
        try:
            kept.prune(workflow_id, listed)
            gone.append(workflow_id)
        except Conflict as error:  # somebody has begun to work in it
            kept_back[workflow_id] = str(error)
    return gone, kept_back
