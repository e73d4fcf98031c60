"""From a draft to a run: what must be true before a workflow begins, checked and then begun.

Nothing is created or changed before every check has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict, Fault, SpecError
from slurmtorc.model import Workflow
from slurmtorc.rules.packing import misfits
from slurmtorc.schedule.folder import directory_of
from slurmtorc.schedule.looking import REMEDY, contents, modified, refuse_missing
from slurmtorc.schedule.reinit import begin_again, plan_reinit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import Capacity, Draft
    from slurmtorc.ports import Store


def refuse_missing_inputs(draft: Draft, directory: str, source: str) -> None:
    """Raise SpecError unless everything is there that jobs read and no job writes."""
    faults = []
    for index in _only_read(
        [job.input_files for job in draft.jobs], [job.output_files for job in draft.jobs]
    ):
        file = draft.files[index]
        if modified(directory, file.path) is None:
            what = f"file {file.name!r} does not exist: {file.path}"
            faults.append(Fault(what, ("files",), REMEDY))
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
    store: Store,
    workflow_id: int,
    *,
    ignore_missing: bool = False,
    after_run: int = 0,
    by_contents: bool = False,
) -> Workflow:
    """Start the run that follows `after_run`; the workflow as it is then.

    If somebody else has begun it meanwhile, that is the run.
    """
    workflow = store.get(Workflow, workflow_id)
    if workflow.run_id != after_run:
        return workflow
    if after_run:
        return _next(store, workflow, ignore_missing=ignore_missing)
    directory = directory_of(workflow)
    files = {file: modified(directory, file.path) for file in store.required_files(workflow_id)}
    missing = [file.path for file, time in files.items() if time is None]
    refuse_missing(store, workflow, [] if ignore_missing else missing)
    read = {file.id: contents(directory, file.path) for file in files} if by_contents else {}
    store.note_files({file.id: time for file, time in files.items()})
    store.note_contents(read)
    store.initialize(workflow_id, after_run=after_run)
    return store.get(Workflow, workflow_id)


def _next(store: Store, workflow: Workflow, *, ignore_missing: bool) -> Workflow:
    """A later run, or the one that somebody else began meanwhile."""
    try:
        return begin_again(store, plan_reinit(store, workflow.id), ignore_missing=ignore_missing)
    except Conflict:
        now = store.get(Workflow, workflow.id)
        if now.run_id == workflow.run_id:
            raise
        return now
