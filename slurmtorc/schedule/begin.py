"""From a draft to a run: what must be true before a workflow begins, checked and then begun.

Nothing is created or changed before every check has passed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict, Fault, SpecError
from slurmtorc.model import Workflow
from slurmtorc.rules.packing import misfits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import Capacity, Draft
    from slurmtorc.ports import Store

SHOWN = 5
"""How many of many missing things an error names."""

_REMEDY = "make it, or let a job write it, or begin without it by --ignore-missing-data"


def refuse_missing_inputs(draft: Draft, directory: str, source: str) -> None:
    """Raise SpecError unless everything is there that jobs read and no job writes."""
    faults = []
    for index in _only_read(
        [job.input_files for job in draft.jobs], [job.output_files for job in draft.jobs]
    ):
        file = draft.files[index]
        if modified(directory, file.path) is None:
            what = f"file {file.name!r} does not exist: {file.path}"
            faults.append(Fault(what, ("files",), _REMEDY))
    for index in _only_read(
        [job.input_user_data for job in draft.jobs], [job.output_user_data for job in draft.jobs]
    ):
        data = draft.user_data[index]
        if data.data is None:
            what = f"user data {data.name!r} has no data, and no job writes it"
            faults.append(Fault(what, ("user_data",)))
    if faults:
        raise SpecError(source, faults)


def _only_read(read: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> list[int]:
    return sorted({i for ids in read for i in ids}.difference(i for ids in written for i in ids))


def refuse_misfits(draft: Draft, whole: Capacity, source: str, where: str) -> None:
    """Raise SpecError if any job can never run in `whole`."""
    users: dict[int, list[str]] = {}
    for job in draft.jobs:
        if job.requirement is not None:
            users.setdefault(job.requirement, []).append(job.name)
    faults = []
    for index, names in sorted(users.items()):
        reasons = misfits(whole, draft.requirements[index])
        if reasons:
            more = f" (and {len(names) - 1} like it)" if len(names) > 1 else ""
            what = f"job {names[0]!r}{more} never fits {where}: {', '.join(reasons)}"
            hint = "run it in Slurm, or ignore resources by --max-parallel-jobs N"
            faults.append(Fault(what, ("resource_requirements", index), hint))
    if faults:
        raise SpecError(source, faults)


def begin(
    store: Store, workflow_id: int, *, ignore_missing: bool = False, after_run: int = 0
) -> Workflow:
    """Start the run that follows `after_run`; the workflow as it is then.

    If somebody else has begun it meanwhile, that is the run.
    """
    workflow = store.get(Workflow, workflow_id)
    directory = workflow.submission_directory or os.getcwd()  # noqa: PTH109
    files = {file: modified(directory, file.path) for file in store.required_files(workflow_id)}
    missing = [file.path for file, time in files.items() if time is None]
    if missing and not ignore_missing:
        what = f"files that jobs read do not exist in {directory}: {_listed(missing)}"
        raise Conflict(f"workflow {workflow_id} cannot begin: {what}; {_REMEDY}")
    empty = [data.name for data in store.missing_user_data(workflow_id)]
    if empty:
        what = f"user data has no value, and no job writes it: {_listed(empty)}"
        raise Conflict(f"workflow {workflow_id} cannot begin: {what}")
    store.note_files({file.id: time for file, time in files.items()})
    store.initialize(workflow_id, after_run=after_run)
    return store.get(Workflow, workflow_id)


def make_folder(path: str) -> None:
    """Make the folder for output, if it is not there. Raises Conflict."""
    if not path.isprintable():
        raise Conflict(f"the output folder {path!r} has a line break or a control character")
    try:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103  as everywhere here: os.path
    except OSError as error:
        message = f"the output folder {path} cannot be made: {error.strerror}"
        raise Conflict(f"{message}; name another with --output-dir") from error


def modified(directory: str, path: str) -> float | None:
    """When a file was changed last; None if it does not exist. Relative to `directory`."""
    try:
        return os.stat(os.path.join(directory, path)).st_mtime  # noqa: PTH116, PTH118
    except OSError:
        return None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
