"""`torc workflows export` and `import`: a workflow as one document, and back."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.asking import DRY_RUN
from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json, note
from slurmtorc.errors import Conflict, NotFound
from slurmtorc.rules.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.model import Draft


@click.command("export", cls=TorcCommand)
@click.argument("workflow_id", type=ID)
@click.option("-o", "--output", metavar="FILE", help="Write here.  [default: standard output]")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--include-results", is_flag=True, help="With the results of all runs.")
@click.option("--include-events", is_flag=True, help="With all events.")
@pass_state
def export(
    state: State,
    workflow_id: int,
    output: str | None,
    force: bool,
    include_results: bool,
    include_events: bool,
) -> None:
    """Write a whole workflow as one JSON document, for `torc workflows import`.

    Results and events are for reading: an import leaves them out.

    Example: torc workflows export 7 --output workflow.json
    """
    from slurmtorc.schedule.exporting import export as whole
    from slurmtorc.wiring import clock

    if output is not None and Path(output).is_file() and not force:
        raise Conflict(f"{output} is there already; name another file, or give --force")
    document = whole(
        state.store,
        workflow_id,
        clock.now(),
        include_results=include_results,
        include_events=include_events,
    )
    text = json.dumps(document, indent=1, ensure_ascii=False)
    if output is None:
        click.echo(text)
        return
    try:
        Path(output).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Conflict(f"{output} cannot be written: {error.strerror}") from error
    if state.as_json:
        emit_json({"workflow_id": workflow_id, "status": "success", "file": output})
    else:
        click.echo(f"Exported workflow {workflow_id} to {output}")


@click.command("import", cls=TorcCommand)
@click.argument("file", metavar="FILE|-")
@click.option("-n", "--name", help="Another name for the workflow.")
@DRY_RUN
@pass_state
def import_(state: State, file: str, name: str | None, dry_run: bool) -> None:
    """Store an exported workflow as a new one, with ids of its own.

    It is yours, it belongs to the folder you are in, and nothing of it has run. A file with faults
    stores nothing.

    Example: torc workflows import workflow.json --name again
    """
    from slurmtorc.cli.run import caller
    from slurmtorc.schedule.importing import imported

    text = _read(file)
    draft = imported(text, file, name=name)
    here = str(Path.cwd())
    draft.workflow = replace(draft.workflow, user=caller(), submission_directory=here)
    for job in _naming_ids(text, draft):
        note(f"torc: warning: {job}; it may be another in the new workflow")
    workflow_id = 0 if dry_run else state.open_store(create=True).create(draft)
    count = len(draft.jobs)
    if state.as_json:
        said = {"workflow_id": workflow_id or None, "status": "success", "dry_run": dry_run}
        emit_json(said | {"name": draft.workflow.name, "jobs": count})
    elif dry_run:
        click.echo(f"{file} can be imported: {draft.workflow.name}, {counted(count, 'job')}")
    else:
        what = f"workflow {workflow_id} ({draft.workflow.name})"
        click.echo(f"Imported {what}: {counted(count, 'job')}")


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Conflict(f"{file} cannot be read: {reason}") from error


def _naming_ids(text: str, draft: Draft) -> Iterator[str]:
    """Jobs whose command has the id that their user data had in the other store."""
    ids = [record["id"] for record in json.loads(text).get("user_data") or ()]
    for job in draft.jobs:
        for at in (*job.input_user_data, *job.output_user_data):
            if draft.user_data[at].data is None and re.search(rf"\b{ids[at]}\b", job.command):
                name = draft.user_data[at].name
                yield f"the command of job {job.name} may name user data {name} by its id {ids[at]}"
