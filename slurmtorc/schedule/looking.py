"""What has become of a workflow's files since they were noted: one pass of stat, few questions.

Beside reinit.py, which decides. What must never happen: a question to the store for each file, or
a whole file in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict
from slurmtorc.model import JobStatus
from slurmtorc.rules.staleness import Cause, FileSeen, Reason, change
from slurmtorc.rules.wording import listed
from slurmtorc.schedule.folder import directory_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slurmtorc.model import File, Standing, Workflow
    from slurmtorc.ports import Store

_CHUNK = 1 << 20

REMEDY = "make it, or let a job write it, or begin without it by --ignore-missing-data"


@dataclass(slots=True, kw_only=True)
class Sight:
    """What one look at all files has found."""

    findings: dict[int, list[Reason]] = field(default_factory=lambda: defaultdict(list))
    """Job id -> what was found of the files it reads or wrote."""
    times: dict[int, float | None] = field(default_factory=dict)
    """File id -> the modification time to note, where it is another than was noted."""
    contents: dict[int, str | None] = field(default_factory=dict)
    """File id -> the contents to note; None where only its time was asked for, and is another."""

    def note(self, file: File, seen: FileSeen) -> None:
        """What is to be noted when the run begins."""
        if seen.now != file.st_mtime:
            self.times[file.id] = seen.now
        if seen.contents != file.content_hash and (seen.by_contents or seen.now != file.st_mtime):
            self.contents[file.id] = seen.contents  # none: they are of another time, and unknown

    def tell(self, found: Mapping[int, Reason], users: Mapping[int, Sequence[int]]) -> None:
        """What was found of files is told to the jobs that use them."""
        for file_id, job_ids in users.items():
            for job_id in job_ids:
                self.findings[job_id].append(found[file_id])


def look(
    store: Store, workflow: Workflow, jobs: Mapping[int, Standing], *, by_contents: bool
) -> Sight:
    """Look at every file that jobs read, or that a completed job has written."""
    directory = directory_of(workflow)
    sight, changed, missing = Sight(), dict[int, Reason](), dict[int, Reason]()
    for file, is_written in store.used_files(workflow.id):
        seen = see(directory, file, is_written=is_written, by_contents=by_contents)
        if reason := change(seen):
            changed[file.id] = reason
        if seen.now is None and is_written:
            missing[file.id] = Reason(Cause.OUTPUT_MISSING, file.path)
        sight.note(file, seen)
    readers = store.readers([*changed, *missing]) if changed or missing else {}
    sight.tell(changed, {one: ids for one, ids in readers.items() if one in changed})
    for file_id, reason in missing.items():
        missing[file_id] = replace(reason, readers=tuple(readers.get(file_id, ())))
    writers = store.writers(missing) if missing else {}
    completed = {
        file_id: [job_id for job_id in ids if jobs[job_id].status is JobStatus.COMPLETED]
        for file_id, ids in writers.items()
    }
    sight.tell(missing, completed)
    return sight


def new_times(store: Store, workflow: Workflow, chosen: Collection[int]) -> dict[int, float | None]:
    """File id -> its time, of files that were changed and that only jobs which run again read.

    A job that stays must still be told of the change by the next look.
    """
    directory = directory_of(workflow)
    times = {
        file.id: now
        for file, _ in store.used_files(workflow.id)
        if (now := modified(directory, file.path)) != file.st_mtime
    }
    readers = store.readers(times) if times else {}
    again = frozenset(chosen)
    return {file: times[file] for file, jobs in readers.items() if again.issuperset(jobs)}


def see(directory: str, file: File, *, is_written: bool, by_contents: bool) -> FileSeen:
    """A file as it was noted and as it is now."""
    now = modified(directory, file.path)
    read = by_contents and now is not None
    return FileSeen(
        path=file.path,
        noted=file.st_mtime,
        now=now,
        left_by_job=is_written,
        noted_contents=file.content_hash,
        contents=contents(directory, file.path) if read else None,
        by_contents=by_contents,
    )


def modified(directory: str, path: str) -> float | None:
    """When a file was changed last; None if it does not exist. Relative to `directory`."""
    try:
        return os.stat(os.path.join(directory, path)).st_mtime  # noqa: PTH116, PTH118
    except OSError:
        return None


def contents(directory: str, path: str) -> str | None:
    """SHA-256 of a file; None of what is no file. Read a piece at a time: files are large."""
    name = os.path.join(directory, path)  # noqa: PTH118
    if not os.path.isfile(name):  # noqa: PTH113  a folder has a time, and no contents
        return None
    digest = hashlib.sha256()
    try:
        with open(name, "rb") as file:  # noqa: PTH123  as everywhere here: os.path
            while piece := file.read(_CHUNK):
                digest.update(piece)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}; nothing was changed"
        raise Conflict(f"{message}; leave out --hash to go by its time") from error
    return digest.hexdigest()


def refuse_missing(store: Store, workflow: Workflow, paths: Sequence[str]) -> None:
    """Raise Conflict if such paths do not exist, or user data has no value that a run needs."""
    if paths:
        directory = directory_of(workflow)
        what = f"files that jobs read do not exist in {directory}: {listed(paths)}"
        raise Conflict(f"workflow {workflow.id} cannot begin: {what}; {REMEDY}")
    empty = [data.name for data in store.missing_user_data(workflow.id)]
    if empty:
        what = f"user data has no value, and no job writes it: {listed(empty)}"
        raise Conflict(f"workflow {workflow.id} cannot begin: {what}")
