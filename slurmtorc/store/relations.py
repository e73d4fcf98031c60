"""Questions about what hangs together: who waits for whom, which files must exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from slurmtorc.errors import NotFound
from slurmtorc.model import File, UserData
from slurmtorc.store import records
from slurmtorc.store import schema as t
from slurmtorc.store.among import among

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection

_D, _IN, _OUT = t.job_depends_on.c, t.barrier_in.c, t.barrier_out.c

_WAITS_FOR = (
    select(_D.job_id, _D.depends_on_job_id)
    .where(among(_D.job_id))
    .union(
        select(_OUT.job_id, _IN.job_id)
        .join(t.barrier_in, _IN.barrier_id == _OUT.barrier_id)
        .where(among(_OUT.job_id))
    )
    .order_by("job_id", "depends_on_job_id")
)
_NOTE = update(t.file).where(t.file.c.id == bindparam("file")).values(st_mtime=bindparam("mtime"))

_NOTE_CONTENTS = (
    update(t.file).where(t.file.c.id == bindparam("file")).values(content_hash=bindparam("hash"))
)


def dependencies(connection: Connection, job_ids: Collection[int]) -> dict[int, list[int]]:
    """Of each job, the ids of the jobs it waits for; barriers are seen through."""
    found: dict[int, list[int]] = {job_id: [] for job_id in job_ids}
    for job_id, other in connection.execute(_WAITS_FOR, {"ids": list(job_ids)}):
        found[job_id].append(other)
    return found


def required_files(connection: Connection, workflow_id: int) -> list[File]:
    """Files that jobs read and no job writes: they must exist before the run begins."""
    kind = records.KINDS[File]
    read, written = t.job_input_file.c.file_id, t.job_output_file.c.file_id
    query = kind.select().where(
        t.file.c.workflow_id == workflow_id,
        select(read).where(read == t.file.c.id).exists(),
        ~select(written).where(written == t.file.c.id).exists(),
    )
    found = connection.execute(query.order_by(t.file.c.id)).mappings()
    return [kind.record_of(row) for row in found]


def missing_user_data(connection: Connection, workflow_id: int) -> list[UserData]:
    """User data that jobs read, that no job writes and that has no value."""
    kind = records.KINDS[UserData]
    read, written = t.job_input_user_data.c.user_data_id, t.job_output_user_data.c.user_data_id
    query = kind.select().where(
        t.user_data.c.workflow_id == workflow_id,
        t.user_data.c.data.is_(None),
        select(read).where(read == t.user_data.c.id).exists(),
        ~select(written).where(written == t.user_data.c.id).exists(),
    )
    found = connection.execute(query.order_by(t.user_data.c.id)).mappings()
    return [kind.record_of(row) for row in found]


def note_files(connection: Connection, times: Mapping[int, float | None]) -> None:
    """Store modification times."""
    rows = [{"file": file_id, "mtime": mtime} for file_id, mtime in times.items()]
    if rows:
        connection.execute(_NOTE, rows)


def note_contents(connection: Connection, hashes: Mapping[int, str | None]) -> None:
    """Store what was read of files' contents."""
    rows = [{"file": file_id, "hash": contents} for file_id, contents in hashes.items()]
    if rows:
        connection.execute(_NOTE_CONTENTS, rows)


def spec(connection: Connection, workflow_id: int) -> str | None:
    """The spec as it was written, as JSON. Raises NotFound."""
    workflow = t.workflow.outerjoin(t.workflow_spec)
    query = select(t.workflow_spec.c.spec).select_from(workflow)
    row = connection.execute(query.where(t.workflow.c.id == workflow_id)).first()
    if row is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    written: str | None = row.spec
    return written
