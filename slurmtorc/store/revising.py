"""The verbs of ports/revisions.py for every database; store/sql.py has the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.store import changing, relations, rerunning, resets, standing
from slurmtorc.store.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slurmtorc.model import File, Job, JobChange, Standing, UserData


class Revising(Transactions):
    """What people change, and what runs again because of it."""

    def rerun(
        self,
        workflow_id: int,
        job_ids: Collection[int],
        *,
        after_run: int | None = None,
        anew: bool = False,
        force: bool = False,
    ) -> int:
        """Begin a new run of exactly these jobs."""
        now = self.clock.now()
        how = {"anew": anew, "force": force}
        return self._change(
            lambda c: rerunning.rerun(c, workflow_id, job_ids, now, after_run=after_run, **how)
        )

    def classify(self, workflow_id: int, job_ids: Collection[int], *, retry: bool) -> list[int]:
        """Decide about failures that were set aside."""
        now = self.clock.now()
        return self._change(lambda c: resets.classify(c, workflow_id, job_ids, now, retry=retry))

    def reset_jobs(
        self, workflow_id: int, job_ids: Collection[int], *, force: bool = False
    ) -> list[int]:
        """Let jobs begin anew with the next run."""
        now = self.clock.now()
        return self._change(lambda c: resets.reset(c, workflow_id, job_ids, now, force=force))

    def standing(self, workflow_id: int) -> Mapping[int, Standing]:
        """What the beginning of a run has to know of every job."""
        return self._ask(lambda c: standing.standing(c, workflow_id))

    def edited(self, workflow_id: int) -> list[tuple[int, tuple[str, ...], float]]:
        """Jobs changed since their last attempt began."""
        return self._ask(lambda c: standing.edited(c, workflow_id))

    def new_data(self, workflow_id: int) -> list[tuple[int, str, float]]:
        """Jobs whose user data was changed since their last attempt began."""
        return self._ask(lambda c: standing.new_data(c, workflow_id))

    def used_files(self, workflow_id: int) -> list[tuple[File, bool]]:
        """Files that are read or were written."""
        return self._ask(lambda c: standing.used_files(c, workflow_id))

    def readers(self, file_ids: Collection[int]) -> Mapping[int, list[int]]:
        """Who reads files."""
        return self._ask(lambda c: standing.readers(c, file_ids))

    def writers(self, file_ids: Collection[int]) -> Mapping[int, list[int]]:
        """Who writes files."""
        return self._ask(lambda c: standing.writers(c, file_ids))

    def data_readers(self, user_data_ids: Collection[int]) -> Mapping[int, list[int]]:
        """Who reads user data."""
        return self._ask(lambda c: standing.data_readers(c, user_data_ids))

    def data_writers(self, user_data_ids: Collection[int]) -> Mapping[int, list[int]]:
        """Who writes user data."""
        return self._ask(lambda c: standing.data_writers(c, user_data_ids))

    def note_contents(self, hashes: Mapping[int, str | None]) -> None:
        """File id -> SHA-256 of its contents."""
        self._change(lambda c: relations.note_contents(c, hashes))

    def update_job(self, job_id: int, change: JobChange) -> Job:
        """Change a job that no worker holds."""
        now = self.clock.now()
        return self._change(lambda c: changing.update_job(c, job_id, change, now))

    def set_data(self, user_data_id: int, value: Any) -> UserData:
        """Give user data another value."""
        now = self.clock.now()
        return self._change(lambda c: changing.set_data(c, user_data_id, value, now))

    def disable(self, workflow_id: int, job_ids: Collection[int]) -> list[int]:
        """Leave jobs out."""
        now = self.clock.now()
        return self._change(lambda c: changing.disable(c, workflow_id, job_ids, now))

    def enable(self, workflow_id: int, job_ids: Collection[int]) -> list[int]:
        """Leave jobs out no more."""
        now = self.clock.now()
        return self._change(lambda c: changing.enable(c, workflow_id, job_ids, now))

    def delete_jobs(self, workflow_id: int, job_ids: Collection[int]) -> None:
        """Remove jobs with their results."""
        now = self.clock.now()
        self._change(lambda c: changing.delete_jobs(c, workflow_id, job_ids, now))

    def archive(self, workflow_id: int, *, archived: bool) -> None:
        """Put a workflow into the archive, or take it out."""
        now = self.clock.now()
        self._change(lambda c: changing.archive(c, workflow_id, now, archived=archived))
