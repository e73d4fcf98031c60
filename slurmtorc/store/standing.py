"""What is known of a workflow when its next run is about to begin: questions only.

Two or three columns of every job, and of everything else only what was changed; so that a
million jobs are asked about in seconds. What must never happen: data that a job wrote during the
run, before its reader started, counts as a change.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, func, select

from slurmtorc.model import File, JobStatus, Standing
from slurmtorc.store import records
from slurmtorc.store import schema as t
from slurmtorc.store.among import among
from slurmtorc.store.statuses import has_status

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Table

_J, _R, _U = t.job.c, t.result.c, t.user_data.c
_OF_WORKFLOW = _J.workflow_id == bindparam("workflow")
_STANDING = (
    select(_J.id, _J.name, _J.status, _J.cancel_on_blocking_job_failure)
    .where(_OF_WORKFLOW)
    .order_by(_J.id)
)
_BEGAN = func.coalesce(_R.start_time, _R.completion_time)
_EDITED = (
    select(_J.id, _J.changes, _J.changed_at)
    .join(t.result, _R.id == _J.result_id)
    .where(_OF_WORKFLOW, _J.changed_at > _BEGAN)
)
_READS, _WRITES = t.job_input_user_data, t.job_output_user_data
_OTHER, _LAST = t.job.alias("writer"), t.result.alias("last")
_WRITTEN_UNTIL = (
    select(func.max(_LAST.c.completion_time))
    .select_from(
        _WRITES.join(_OTHER, _OTHER.c.id == _WRITES.c.job_id).join(
            _LAST, _LAST.c.id == _OTHER.c.result_id
        )
    )
    .where(_WRITES.c.user_data_id == _U.id)
    .scalar_subquery()
)
"""A reader starts after this, whatever the clocks of two nodes say."""
_OWN = exists().where(_WRITES.c.job_id == _J.id, _WRITES.c.user_data_id == _U.id)
_DATA = (
    select(_J.id, _U.name, _U.changed_at)
    .select_from(
        t.user_data.join(_READS, _READS.c.user_data_id == _U.id)
        .join(t.job, _J.id == _READS.c.job_id)
        .join(t.result, _R.id == _J.result_id)
    )
    .where(
        _U.workflow_id == bindparam("workflow"),
        _U.changed_at > _BEGAN,
        _U.changed_at > func.coalesce(_WRITTEN_UNTIL, 0),
        ~_OWN,
    )
    .order_by(_J.id, _U.name)
)


def standing(connection: Connection, workflow_id: int) -> dict[int, Standing]:
    """Every job by its id."""
    rows = connection.execute(_STANDING, {"workflow": workflow_id})
    words = {int(status): status for status in JobStatus}
    return {job_id: Standing(name, words[status], c) for job_id, name, status, c in rows}


def edited(connection: Connection, workflow_id: int) -> list[tuple[int, tuple[str, ...], float]]:
    """Jobs that were changed since their last attempt began: in what, and when."""
    rows = connection.execute(_EDITED, {"workflow": workflow_id})
    return [(row.id, tuple(row.changes or ()), row.changed_at) for row in rows]


def new_data(connection: Connection, workflow_id: int) -> list[tuple[int, str, float]]:
    """Jobs, and the user data they read that became another since their last attempt began."""
    rows = connection.execute(_DATA, {"workflow": workflow_id})
    return [(row.id, row.name, row.changed_at) for row in rows]


# ── files ────────────────────────────────────────────────────────────────────

_IN, _OUT = t.job_input_file.c, t.job_output_file.c
_WRITTEN = exists().where(
    _OUT.file_id == t.file.c.id, _OUT.job_id == _J.id, has_status(t.job, JobStatus.COMPLETED)
)
_USED = exists().where(_IN.file_id == t.file.c.id)


def used_files(connection: Connection, workflow_id: int) -> list[tuple[File, bool]]:
    """Files that jobs read, or that a completed job has written; and whether it has."""
    kind = records.KINDS[File]
    query = kind.select().add_columns(_WRITTEN.label("is_written"))
    query = query.where(t.file.c.workflow_id == workflow_id, _USED | _WRITTEN).order_by(t.file.c.id)
    found = connection.execute(query).mappings()
    return [(_file(kind, dict(row)), bool(row["is_written"])) for row in found]


def _file(kind: records.Kind, row: dict[str, Any]) -> File:
    del row["is_written"]
    file: File = kind.record_of(row)
    return file


def readers(connection: Connection, file_ids: Collection[int]) -> dict[int, list[int]]:
    """File id -> the jobs that read it."""
    return _users(connection, t.job_input_file, file_ids)


def writers(connection: Connection, file_ids: Collection[int]) -> dict[int, list[int]]:
    """File id -> the jobs that write it."""
    return _users(connection, t.job_output_file, file_ids)


def data_readers(connection: Connection, ids: Collection[int]) -> dict[int, list[int]]:
    """User data id -> the jobs that read it."""
    return _users(connection, t.job_input_user_data, ids)


def data_writers(connection: Connection, ids: Collection[int]) -> dict[int, list[int]]:
    """User data id -> the jobs that write it."""
    return _users(connection, t.job_output_user_data, ids)


def _users(connection: Connection, table: Table, ids: Collection[int]) -> dict[int, list[int]]:
    """Of such a table the second column is the thing, the first one the job."""
    job, thing = table.columns
    query = select(thing, job).where(among(thing)).order_by(thing, job)
    found: defaultdict[int, list[int]] = defaultdict(list)
    for thing_id, job_id in connection.execute(query, {"ids": list(ids)}):
        found[thing_id].append(job_id)
    return found
