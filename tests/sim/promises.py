"""What must be true of every world, whatever went wrong in it: the store beside the truth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from slurmtorc.model import COMPLETE, Ending, JobStatus, SlurmState
from slurmtorc.rules.watching import STUCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.model import Result
    from slurmtorc.sim.launcher import Run
    from slurmtorc.sim.report import Report


def broken(report: Report) -> list[str]:
    """The promises that were not kept, each in a sentence."""
    checks = (_ends_once, _lost, _intents, _twice, _falsely_dead, _truthful, _surplus, _others)
    return [sentence for check in checks for sentence in check(report)]


def _applied(report: Report) -> list[Result]:
    return [result for result in report.results if not result.superseded]


def _ends_once(report: Report) -> Iterator[str]:
    attempts = Counter((r.job_id, r.run_id, r.attempt_id) for r in _applied(report))
    for (job, _, attempt), count in attempts.items():
        if count > 1:
            yield f"attempt {attempt} of job {job} has {count} results"
    successes = Counter(
        (r.job_id, r.run_id) for r in _applied(report) if r.status is JobStatus.COMPLETED
    )
    for (job, _), count in successes.items():
        if count > 1:
            yield f"job {job} was completed {count} times"


def _lost(report: Report) -> Iterator[str]:
    if report.stop is None:
        yield f"the watch still watches after {report.seconds:.0f} s"
        return
    unfinished = [job.name for job in report.jobs if job.status not in COMPLETE]
    stuck = report.stop.exit_code == STUCK
    if unfinished and not (stuck and report.stop.reason):
        yield f"{unfinished} are not at an end, and the watch says {report.stop}"
    if stuck and not unfinished:
        yield "the watch says stuck, and nothing is left"
    last = {r.job_id: r.status for r in sorted(_applied(report), key=lambda r: r.id)}
    for job in report.jobs:
        if job.status in COMPLETE - {JobStatus.CANCELED} and last.get(job.id) is not job.status:
            yield f"{job.name} is {job.status.word} without a result that says so"


def _intents(report: Report) -> Iterator[str]:
    tokens = Counter(booking.token for booking in report.bookings)
    for token, count in tokens.items():
        if count > 1:
            yield f"intent {token} has {count} allocations in Slurm"
    for token in tokens.keys() - {allocation.token for allocation in report.allocations}:
        yield f"allocation {token} is in Slurm without an intent"
    ids = {b.token: b.number for b in report.bookings}
    for one in report.allocations:
        if one.scheduler_id is not None and ids.get(one.token) != one.scheduler_id:
            yield f"allocation {one.id} is known as Slurm job {one.scheduler_id}, not {ids}"


def _twice(report: Report) -> Iterator[str]:
    """Two processes of one job that both succeeded.

    Nobody can know of a success whose worker was killed before it could tell the store, nor of
    what an orphan does on a node that is out of reach.
    """
    killed = {life.slurm_job_id for life in report.lives if not life.in_order}
    told = {(r.job_id, r.attempt_id) for r in report.results if r.return_code == 0}
    successes: dict[int, list[Run]] = {}
    for run in report.runs:
        untold = run.slurm_job_id in killed and (run.job_id, run.attempt_id) not in told
        if run.code == 0 and run.told and not _is_out_of_reach(report, run) and not untold:
            successes.setdefault(run.job_id, []).append(run)
    for job, runs in successes.items():
        if len(runs) > 1:
            yield f"job {job} ran to success {len(runs)} times: {runs}"


def _is_out_of_reach(report: Report, run: Run) -> bool:
    """Whether its worker was there when a node of its allocation failed; it may live on there."""
    (booking,) = (one for one in report.bookings if one.number == run.slurm_job_id)
    over = [*booking.runs_over, (booking.state, booking.end_time or 0.0)]
    failures = [when for state, when in over if state is SlurmState.NODE_FAIL]
    return any(
        life.start_time <= min(run.start_time, when)
        and (life.end_time is None or run.start_time <= life.end_time)
        for life in report.lives
        if life.slurm_job_id == run.slurm_job_id
        for when in failures
    )


def _falsely_dead(report: Report) -> Iterator[str]:
    """An orphaned attempt was never run, or its worker or its allocation was really over.

    When that was written down: what it says of the moment of the end may be too early, where a
    queue that left the allocation out was the last that anybody heard.
    """
    lives = {life.compute_node_id: life for life in report.lives if life.compute_node_id}
    ends = {b.number: b.end_time for b in report.bookings}
    ran = {(run.job_id, run.attempt_id) for run in report.runs}
    for result in _applied(report):
        life = lives.get(result.compute_node_id)
        never_ran = (result.job_id, result.attempt_id) not in ran
        if result.ending is not Ending.ORPHANED or never_ran or life is None:
            continue
        over = [t for t in (life.end_time, ends.get(life.slurm_job_id)) if t is not None]
        if not over or min(over) > report.ended_at[result.job_id, result.attempt_id]:
            yield f"{result.job_name} was given up while its worker was alive: {result}, {life}"


def _truthful(report: Report) -> Iterator[str]:
    """What a result says of a success, a process has done."""
    succeeded = {(run.job_id, run.attempt_id) for run in report.runs if run.code == 0}
    for result in _applied(report):
        done = (result.job_id, result.attempt_id) in succeeded
        if (result.return_code == 0) and not done:
            yield f"{result.job_name} is said to have succeeded, and did not: {result}"


def _others(report: Report) -> Iterator[str]:
    for one in report.strangers:
        if one.verdict.triggered:
            yield f"Slurm job {one.number}, which is somebody else's by now, was canceled"


def _surplus(report: Report) -> Iterator[str]:
    alive = [booking.number for booking in report.bookings if booking.state.alive]
    if alive:
        yield f"Slurm jobs {alive} are still there"
