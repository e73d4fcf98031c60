"""The part of the state that is for people: what they change, and what runs again because of it.

Beside store.py, whose verbs are those of workers and watches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slurmtorc.model import File, Job, JobChange, Standing, UserData


class Revisions(Protocol):
    """Verbs and questions about what was changed, and what it means for the next run."""

    # what runs again

    def rerun(
        self,
        workflow_id: int,
        job_ids: Collection[int],
        *,
        after_run: int | None = None,
        anew: bool = False,
        force: bool = False,
    ) -> int:
        """Begin a new run of exactly these jobs, and of what is blocked behind them; its id.

        Refused while jobs are pending or running; also while workers live, unless by `force` those
        that hold nothing are sent away. With `after_run`, only if that is still the last run.
        `anew`: a new lifetime, in which attempts are counted from 1 and all actions are armed.
        All other jobs keep their status.
        """

    def classify(self, workflow_id: int, job_ids: Collection[int], *, retry: bool) -> list[int]:
        """Decide about failures that were set aside; the ids of those that were.

        Pending_failed -> ready as the next attempt, or -> failed with all that follows from it.
        """

    def reset_jobs(
        self, workflow_id: int, job_ids: Collection[int], *, force: bool = False
    ) -> list[int]:
        """Exactly these jobs become uninitialized, at the attempt they had; the ids changed.

        Refused if one of them is pending or running; without `force` also while any job of the
        workflow is, or a worker lives. What waits for them waits again; they run once a new run
        begins.
        """

    def standing(self, workflow_id: int) -> Mapping[int, Standing]:
        """Of every job, by its id, what the beginning of a run has to know."""

    def edited(self, workflow_id: int) -> list[tuple[int, tuple[str, ...], float]]:
        """Jobs changed since their last attempt began: the id, in what, when."""

    def new_data(self, workflow_id: int) -> list[tuple[int, str, float]]:
        """Jobs, and the user data they read that was changed since their last attempt began."""

    def used_files(self, workflow_id: int) -> list[tuple[File, bool]]:
        """Files that are read or were written; with whether a completed job writes it."""

    def readers(self, file_ids: Collection[int]) -> Mapping[int, list[int]]:
        """File id -> the ids of the jobs that read it."""

    def writers(self, file_ids: Collection[int]) -> Mapping[int, list[int]]:
        """File id -> the ids of the jobs that write it."""

    def data_readers(self, user_data_ids: Collection[int]) -> Mapping[int, list[int]]:
        """User data id -> the ids of the jobs that read it."""

    def data_writers(self, user_data_ids: Collection[int]) -> Mapping[int, list[int]]:
        """User data id -> the ids of the jobs that write it."""

    def note_contents(self, hashes: Mapping[int, str | None]) -> None:
        """File id -> SHA-256 of its contents, as found when a run begins."""

    # what people change

    def update_job(self, job_id: int, change: JobChange) -> Job:
        """Change a job that no worker holds; the job as it is then.

        What decides its outputs makes it stale, once it has run.
        """

    def set_data(self, user_data_id: int, value: Any) -> UserData:
        """Give user data another value; the same value again changes nothing."""

    def disable(self, workflow_id: int, job_ids: Collection[int]) -> list[int]:
        """Leave jobs out, until they are enabled; the ids of those that were not left out."""

    def enable(self, workflow_id: int, job_ids: Collection[int]) -> list[int]:
        """Disabled -> uninitialized: they run with the next run; the ids of those disabled."""

    def delete_jobs(self, workflow_id: int, job_ids: Collection[int]) -> None:
        """Remove jobs with their results; what waited for them does so no more."""

    def archive(self, workflow_id: int, *, archived: bool) -> None:
        """Put a workflow into the archive, where nothing may run; or take it out.

        Refused while workers or allocations live.
        """
