"""`torc files` and `torc user-data`: what jobs read and write, and what has become of it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.asking import DRY_RUN, NO_PROMPTS, agreed, perhaps
from slurmtorc.cli.context import ID, State, TorcGroup, paged, pass_state
from slurmtorc.cli.render import Listing, emit_json, emit_record, emit_rows, note, plain
from slurmtorc.errors import UsageError

if TYPE_CHECKING:
    from slurmtorc.model import File, UserData, Workflow
    from slurmtorc.ports import Page

_SHOWN = 60


@click.group("files", cls=TorcGroup)
def files() -> None:
    """The files that jobs read and write."""


@files.command("list")
@click.argument("workflow_id", type=ID)
@paged
@pass_state
def list_files(state: State, workflow_id: int, page: Page) -> None:
    """List the files of a workflow: as they were noted, and as they are now.

    Example: torc files list 7
    """
    from slurmtorc.model import File, Workflow

    workflow = state.store.get(Workflow, workflow_id)
    rows = state.store.rows(File, page, workflow_id=workflow_id)
    row, record = partial(_file_row, workflow), partial(_file_json, workflow)
    columns = ("ID", "Name", "Path", "Noted", "Now")
    listing = Listing("Files", "files", columns, row, record)
    emit_rows(rows, listing, of=f"workflow {workflow_id}", as_json=state.as_json)


def _now(workflow: Workflow, file: File) -> float | None:
    from slurmtorc.schedule.folder import directory_of
    from slurmtorc.schedule.looking import modified

    return modified(directory_of(workflow), file.path)


def _file_row(workflow: Workflow, file: File) -> tuple[object, ...]:
    from slurmtorc.units import iso_time

    now = _now(workflow, file)
    shown = "missing" if now is None else "the same" if now == file.st_mtime else iso_time(now)
    return file.id, file.name, file.path, iso_time(file.st_mtime), shown


def _file_json(workflow: Workflow, file: File) -> dict[str, Any]:
    record: dict[str, Any] = plain(file)
    return record | {"st_mtime_now": _now(workflow, file)}


# ── user data ────────────────────────────────────────────────────────────────


@click.group("user-data", cls=TorcGroup)
def user_data() -> None:
    """The values that jobs read and write through the store."""


@user_data.command("list")
@click.argument("workflow_id", type=ID)
@paged
@pass_state
def list_user_data(state: State, workflow_id: int, page: Page) -> None:
    """List the user data of a workflow.

    Example: torc user-data list 7
    """
    from slurmtorc.model import UserData

    state.store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    rows = state.store.rows(UserData, page, workflow_id=workflow_id)
    emit_rows(rows, _USER_DATA, of=f"workflow {workflow_id}", as_json=state.as_json)


def _data_row(data: UserData) -> tuple[object, ...]:
    from slurmtorc.units import iso_time

    text = "" if data.data is None else json.dumps(data.data, ensure_ascii=False)
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return data.id, data.name, data.is_ephemeral, shown, iso_time(data.changed_at)


_USER_DATA = Listing(
    "User data", "user_data", ("ID", "Name", "Ephemeral", "Data", "Changed"), _data_row
)


@user_data.command("get")
@click.argument("user_data_id", type=ID)
@pass_state
def get_user_data(state: State, user_data_id: int) -> None:
    """Show one value.

    Example: torc user-data get 5
    """
    from slurmtorc.model import UserData

    record = plain(state.store.get(UserData, user_data_id))
    emit_json(record) if state.as_json else emit_record(record)


@user_data.command("update")
@click.argument("user_data_id", type=ID)
@click.option("-d", "--data", required=True, metavar="JSON", help="The new value, as JSON.")
@DRY_RUN
@NO_PROMPTS
@pass_state
def update_user_data(
    state: State, user_data_id: int, data: str, dry_run: bool, no_prompts: bool
) -> None:
    """Give user data another value.

    Jobs that have read the old one run again with the next `torc workflows reinit`. The same value
    again is no change, nor is what a job writes before its readers start.

    Example: torc user-data update 5 --data '{"rate": 0.1}'
    """
    from slurmtorc.model import UserData

    try:
        value = json.loads(data)
    except ValueError as error:
        raise UsageError(f"--data is not JSON: {error}; quote texts: '\"text\"'") from error
    before = state.store.get(UserData, user_data_id)
    question = f"Give user data {user_data_id} ({before.name}) another value?"
    if not dry_run and not agreed(state, question, no_prompts=no_prompts):
        return
    with perhaps(state.store, dry_run=dry_run):
        after = state.store.set_data(user_data_id, value)
    if state.as_json:
        emit_json(plain(after) | {"dry_run": dry_run})
        return
    if after.changed_at == before.changed_at:
        note(f"User data {user_data_id} ({after.name}) has this value already.")
        return
    verb = "Would update" if dry_run else "Updated"
    click.echo(f"{verb} user data {user_data_id} ({after.name})")
