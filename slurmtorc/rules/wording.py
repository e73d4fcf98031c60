"""Words that many sentences share: numbers of things, lists of names, what is in the archive.

Pure, and apart from who says them: whoever refuses, explains or reports says it alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

NAMED = 5
"""Of many things, how many are named."""


def counted(number: int, what: str) -> str:
    """'1 job', '3 jobs'."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def several(count: int, what: str) -> str:
    """'1 job is', '3 jobs are'."""
    return f"{counted(count, what)} {'is' if count == 1 else 'are'}"


def does(count: int, what: str) -> str:
    """A verb after a number of things: 1 job 'waits', 3 jobs 'wait'."""
    return f"{what}s" if count == 1 else what


def listed(names: Sequence[str], count: int | None = None) -> str:
    """The first few names, and how many more there are."""
    shown = names[:NAMED]
    more = (len(names) if count is None else count) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def ranged(count: int, first: str, last: str) -> str:
    """Jobs that were made side by side: 1 job ('a'), 3 jobs ('a' … 'c')."""
    return f"1 job ('{first}')" if count == 1 else f"{count} jobs ('{first}' … '{last}')"


def no_jobs(workflow_id: int, ids: Collection[int]) -> str:
    """That a workflow has not all of the jobs that were named."""
    named = listed([str(job_id) for job_id in sorted(ids)])
    return f"workflow {workflow_id} has no jobs with these ids: {named}"


def archived(workflow_id: int) -> str:
    """Why nothing may be done with a workflow in the archive, and what opens it again."""
    return (
        f"workflow {workflow_id} is archived; take it out of the archive first: "
        f"torc workflows archive false {workflow_id}"
    )
