"""Which jobs of a workflow run again in a run that begins, and why.

Beside triggers.py, which says the same of actions. The shell looks at files and at the store and
hands over facts; here they become reasons. What must never happen: a job that runs again without
a reason that can be told, one that stays although something before it runs again, or one that
runs again at every reinit although nobody has changed anything.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from slurmtorc.model import UNSUCCESSFUL, JobStatus, Links
from slurmtorc.rules.chains import followers, in_order
from slurmtorc.rules.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slurmtorc.model import Standing

TOLERANCE_S = 0.01
"""File systems keep modification times less exactly than they tell them."""


class Cause(StrEnum):
    """Why a job runs again; the words are those of `-f json`."""

    RESTART = "restart"
    RESET = "reset"
    TERMINATED = "terminated"
    CANCELED = "canceled"
    SET_ASIDE = "pending_failed"
    EDITED = "edited"
    USER_DATA = "user_data"
    FILE_CHANGED = "file_changed"
    FILE_APPEARED = "file_appeared"
    FILE_DISAPPEARED = "file_disappeared"
    CONTENTS_CHANGED = "contents_changed"
    OUTPUT_MISSING = "output_missing"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its cause, what it is about, and when that happened, if it is known."""

    cause: Cause
    what: str = ""
    """A file's path, the name of user data or of a job, or what was changed in the job."""
    when: float | None = None
    note: str = ""
    others: int = 0
    """How many more jobs before this one run again."""
    left_by_job: bool = False
    """Of an input file: whether a job that completed had written it."""
    readers: Sequence[int] = ()
    """Of an output file that is missing: the jobs that read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSeen:
    """A file as it was noted, and as it is now; None for one that is not there."""

    path: str
    noted: float | None
    now: float | None
    left_by_job: bool = False
    """Whether a job that completed writes it."""
    noted_contents: str | None = None
    contents: str | None = None
    by_contents: bool = False
    """Whether contents were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a workflow whose next run is about to begin."""

    jobs: Mapping[int, Standing]
    links: Links = field(default_factory=Links)
    findings: Mapping[int, Sequence[Reason]] = field(default_factory=dict)
    """Of each job that has ended, what was found changed since."""


_BY_STATUS = {
    JobStatus.UNINITIALIZED: Cause.RESET,
    JobStatus.TERMINATED: Cause.TERMINATED,
    JobStatus.PENDING_FAILED: Cause.SET_ASIDE,
}
_STILL_TO_RUN = frozenset(
    {JobStatus.BLOCKED, JobStatus.READY, JobStatus.PENDING, JobStatus.RUNNING}
)
_CAN_BE_STALE = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})


def change(seen: FileSeen) -> Reason | None:
    """What has become of a file that jobs read; None if nothing that matters."""
    if seen.now is None:
        gone = Reason(Cause.FILE_DISAPPEARED, seen.path, left_by_job=seen.left_by_job)
        return None if seen.noted is None else gone
    if seen.by_contents and seen.noted_contents is not None:
        differ = seen.contents != seen.noted_contents
        return Reason(Cause.CONTENTS_CHANGED, seen.path, seen.now) if differ else None
    note = "its contents were not noted, so its time decides" if seen.by_contents else ""
    if seen.noted is None:
        new = not seen.left_by_job  # a producer that noted no time left it there all the same
        return Reason(Cause.FILE_APPEARED, seen.path, seen.now, note) if new else None
    if abs(seen.now - seen.noted) > TOLERANCE_S:
        return Reason(Cause.FILE_CHANGED, seen.path, seen.now, note)
    return None


def again(facts: Facts, *, anew: bool = False) -> dict[int, tuple[Reason, ...]]:
    """Every job that runs again, after all it waits for, with the reasons.

    Jobs that the present run has still before it are not among them, but what comes after them
    is. `anew`: all of them, except those that are left out.
    """
    order = in_order(facts.links.waits_for, facts.jobs)
    return _walked(facts if anew else _without_excused(facts, order), order, anew=anew).found


def _walked(facts: Facts, order: Sequence[int], *, anew: bool = False) -> _Walk:
    walk = _Walk(facts, anew=anew)
    for node in order:
        walk.visit(node)
    return walk


# ── files that were cleaned up ───────────────────────────────────────────────

_NEEDS_NO_INPUT = frozenset({JobStatus.COMPLETED, JobStatus.DISABLED})


def _without_excused(facts: Facts, order: Sequence[int]) -> Facts:
    """The facts without findings that are about files which nobody needs any more.

    A file between jobs may go once all that read it are completed. It is missed as soon as one
    of them runs again, and then the job that writes it does, and all that comes after that.
    """
    excusable = {
        job_id: reasons
        for job_id, found in facts.findings.items()
        if (reasons := [each for each in found if _can_be_excused(facts, job_id, each)])
    }
    if not excusable:
        return facts
    strict = {
        job_id: [each for each in found if each not in excusable.get(job_id, ())]
        for job_id, found in facts.findings.items()
    }
    runs = set(_walked(replace(facts, findings=strict), order).running)
    _recall(facts, runs, _writers_of_missing(excusable))
    kept = {job_id: found for job_id, found in facts.findings.items() if job_id in runs}
    return replace(facts, findings=kept)


def _can_be_excused(facts: Facts, job_id: int, reason: Reason) -> bool:
    """Whether it is about a file between jobs that is not there, of a job that completed."""
    job = facts.jobs.get(job_id)
    if job is None or job.status is not JobStatus.COMPLETED:
        return False
    if reason.cause is Cause.FILE_DISAPPEARED:
        return reason.left_by_job
    return reason.cause is Cause.OUTPUT_MISSING and any(one != job_id for one in reason.readers)


def _writers_of_missing(excusable: Mapping[int, Sequence[Reason]]) -> dict[int, list[int]]:
    """Job id -> the jobs whose missing output it reads."""
    writers: defaultdict[int, list[int]] = defaultdict(list)
    for job_id, reasons in excusable.items():
        for reader in (one for reason in reasons for one in reason.readers):
            writers[reader].append(job_id)
    return writers


def _recall(facts: Facts, runs: set[int], writers: Mapping[int, Sequence[int]]) -> None:
    """Add to `runs` the jobs whose missing output is read again, and what comes after them."""
    jobs, after = facts.jobs, followers(facts.links.waits_for)
    found = [
        writer
        for reader, before in writers.items()
        if reader in runs or (reader in jobs and jobs[reader].status not in _NEEDS_NO_INPUT)
        for writer in before
    ]
    while found:
        node = found.pop()
        if node in runs or (node in jobs and jobs[node].status is JobStatus.DISABLED):
            continue
        runs.add(node)
        found += (*after.get(node, ()), *writers.get(node, ()))


# ── the walk ─────────────────────────────────────────────────────────────────


def held_back(facts: Facts, chosen: Iterable[int]) -> dict[int, int]:
    """Of what is to run: the jobs that wait for one that is left out, and for which."""
    to_run = set(chosen)
    by: dict[int, int] = {}
    for node in in_order(facts.links.waits_for, facts.jobs):
        job = facts.jobs.get(node)
        before = facts.links.waits_for.get(node, ())
        if job is not None and job.status is JobStatus.DISABLED:
            by[node] = node
        elif job is None or node in to_run or job.status in _STILL_TO_RUN:
            culprit = next((by[other] for other in before if other in by), None)
            if culprit is not None:
                by[node] = culprit
    return {node: culprit for node, culprit in by.items() if node > 0 and node != culprit}


class _Walk:
    """One pass over all nodes, each after all that it waits for."""

    def __init__(self, facts: Facts, *, anew: bool) -> None:
        self.facts = facts
        self.anew = anew
        self.found: dict[int, tuple[Reason, ...]] = {}
        self.running: dict[int, Reason] = {}
        """Nodes that run in the new run, as the reason they are to those behind them."""
        self.lost: set[int] = set()
        """Nodes that ended without success and stay so."""

    def visit(self, node: int) -> None:
        before = self.facts.links.waits_for.get(node, ())
        upstream = self._upstream(before)
        job = self.facts.jobs.get(node)
        if job is None:
            self._barrier(node, before, upstream)
        elif job.status in _STILL_TO_RUN and not self.anew:
            self.running[node] = Reason(Cause.UPSTREAM, job.name)
        elif job.status is not JobStatus.DISABLED:
            self._job(node, job, before, upstream)

    def _barrier(self, node: int, before: Sequence[int], upstream: Reason | None) -> None:
        if upstream is not None:
            self.running[node] = upstream
        if any(other in self.lost for other in before):
            self.lost.add(node)

    def _job(
        self, node: int, job: Standing, before: Sequence[int], upstream: Reason | None
    ) -> None:
        reasons = [*self._own(node, job, before), *([upstream] if upstream else [])]
        if reasons:
            self.found[node] = tuple(reasons)
            self.running[node] = Reason(Cause.UPSTREAM, job.name)
        elif job.status in UNSUCCESSFUL:
            self.lost.add(node)

    def _own(self, node: int, job: Standing, before: Sequence[int]) -> Sequence[Reason]:
        if self.anew:
            return [Reason(Cause.RESTART)]
        if job.status in _BY_STATUS:
            return [Reason(_BY_STATUS[job.status])]
        if job.status is JobStatus.CANCELED:
            kept = job.cancels and any(other in self.lost for other in before)
            return [] if kept else [Reason(Cause.CANCELED)]
        return self.facts.findings.get(node, ()) if job.status in _CAN_BE_STALE else ()

    def _upstream(self, before: Sequence[int]) -> Reason | None:
        """The first of what runs before a node, and how many others do."""
        reasons = [self.running[other] for other in before if other in self.running]
        if not reasons:
            return None
        others = len(reasons) - 1 + sum(reason.others for reason in reasons)
        return Reason(Cause.UPSTREAM, reasons[0].what, others=others)


# ── what is said ─────────────────────────────────────────────────────────────

_SAID = {
    Cause.RESTART: "everything runs again",
    Cause.RESET: "it has not run, or was reset",
    Cause.TERMINATED: "it was terminated before it had ended",
    Cause.CANCELED: "it was canceled, and nothing that failed stands before it",
    Cause.SET_ASIDE: "it failed and was set aside",
    Cause.EDITED: "its {what} was changed",
    Cause.USER_DATA: "user data {what} was changed",
    Cause.FILE_CHANGED: "input file {what} was changed",
    Cause.FILE_APPEARED: "input file {what} has appeared",
    Cause.FILE_DISAPPEARED: "input file {what} has disappeared",
    Cause.CONTENTS_CHANGED: "the contents of input file {what} were changed",
    Cause.OUTPUT_MISSING: "its output file {what} is missing",
    Cause.UPSTREAM: "runs after {what}, which runs again",
}


def say(reason: Reason, when: str | None = None) -> str:
    """A reason in words; `when` is its moment as people read it."""
    what = f"{reason.what} and {counted(reason.others, 'other')}" if reason.others else reason.what
    said = _SAID[reason.cause].format(what=what)
    if reason.others:
        said = said.replace("which runs", "which run")
    parts = [said, *([when] if when else [])]
    return " ".join(parts) + (f" ({reason.note})" if reason.note else "")
