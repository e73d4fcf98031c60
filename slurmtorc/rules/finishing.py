"""What a workflow still needs to finish: facts in, one page of reasons out.

The sections follow the questions people ask: what runs, what waits and for what, what will never
run and how that is mended, what was asked of Slurm, what failed, and what the watch thinks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slurmtorc.model import JobStatus, Links, SlurmState
from slurmtorc.rules.chains import behind, longest
from slurmtorc.rules.firing import PENDING
from slurmtorc.rules.offers import (
    HOPE,
    beat,
    begin_words,
    need_words,
    offer_words,
    takers,
    waiting_words,
)
from slurmtorc.rules.reasons import Reason, Section, chain_words, in_words
from slurmtorc.rules.wording import NAMED, counted, listed, several
from slurmtorc.units import display_seconds, iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slurmtorc.model import (
        Action,
        Allocation,
        Capacity,
        Decision,
        Progress,
        ResourceRequirements,
        Result,
        WatchState,
        Workflow,
    )
    from slurmtorc.rules.firing import Stage
    from slurmtorc.rules.offers import Asked, Scene, Worker
    from slurmtorc.rules.reasons import Named

S = JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Ready jobs that ask for the same."""

    need: ResourceRequirements
    count: int
    names: Sequence[str]
    """Some of them."""
    some: Sequence[int] = ()
    """Their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of a workflow."""

    workflow: Workflow
    progress: Progress
    scene: Scene
    ready: Sequence[Group] = ()
    unfinished: Mapping[int, Named] = field(default_factory=dict)
    """Every job that is not finished, by id."""
    links: Links = field(default_factory=Links)
    gone: Sequence[Allocation] = ()
    """Allocations that have ended, or never came to be."""
    actions: Sequence[tuple[Action, Stage]] = ()
    """Those that failed or were lost, and those that are due with nobody there to execute them."""
    failures: Sequence[Result] = ()
    """Some of the results that made jobs fail."""
    watch: WatchState | None = None
    decisions: Sequence[Decision] = ()
    """The last ones, newest first."""


def headline(facts: Facts) -> str:
    """How far it is, in one line."""
    workflow, progress = facts.workflow, facts.progress
    counts = ", ".join(f"{progress.counts[s]} {s.word}" for s in S if progress.counts.get(s))
    if progress.is_canceled:
        what = "was canceled"
    elif progress.is_complete:
        what = "is finished" if not progress.unsuccessful else "is finished, not all of it well"
    else:
        what = f"has {progress.unfinished} of {progress.total} jobs to finish"
    return f"Workflow {workflow.id} ({workflow.name}), run {workflow.run_id}, {what}: {counts}"


def explain(facts: Facts) -> list[Section]:
    """The page; sections that have nothing to say are left out."""
    sections = (
        Section("What is in the way", tuple(_in_the_way(facts))),
        Section("What runs, and where", tuple(_running(facts))),
        Section("What is ready", tuple(_ready(facts))),
        Section("What waits for what", tuple(_waiting(facts))),
        Section("Allocations", tuple(_allocations(facts))),
        Section("What failed", tuple(_failed(facts))),
        Section("Actions", tuple(_actions(facts))),
        Section("The watch", tuple(_watched(facts))),
    )
    return [section for section in sections if section.reasons]


# ── in the way ───────────────────────────────────────────────────────────────


def _in_the_way(facts: Facts) -> Iterator[Reason]:
    """What nobody will ever run unless something is done."""
    if facts.workflow.is_canceled:
        yield Reason(
            rule="workflow_canceled",
            text="the workflow was canceled: no job of it starts any more",
        )
        return
    yield from _not_begun(facts)
    yield from _dead_ends(facts)
    for worker in facts.scene.workers:
        yield from beat(worker, facts.scene.now)
    stuck = _stuck(facts)
    for group in facts.ready:
        reasons = list(takers(facts.scene, group.need, stuck=stuck))
        if not any(one.rule in HOPE for one in reasons):
            yield _nobody(group, reasons)


def _stuck(facts: Facts) -> set[int]:
    """Some of the ready jobs that only an action could bring nodes for."""
    bare = replace(facts.scene, planned=[one for one in facts.scene.planned if one.pending])
    return {
        job_id
        for group in facts.ready
        if not any(one.rule in HOPE for one in takers(bare, group.need))
        for job_id in group.some
    }


def _not_begun(facts: Facts) -> Iterator[Reason]:
    count = facts.progress.counts.get(S.UNINITIALIZED, 0)
    workflow = facts.workflow
    if count:
        yield Reason(
            rule="not_initialized",
            text=f"{several(count, 'job')} in no run yet"
            if workflow.run_id
            else "the workflow has not begun",
            numbers={"jobs": count, "run_id": workflow.run_id},
            remedy=begin_words(workflow),
        )


_DEAD = {
    S.PENDING_FAILED: "set aside until somebody decides about them",
    S.DISABLED: "disabled",
}


def _dead_ends(facts: Facts) -> Iterator[Reason]:
    for status, what in _DEAD.items():
        jobs = [one for one in facts.unfinished.values() if one.status is status]
        if not jobs:
            continue
        ids = {one.id for one in jobs}
        after = [
            one
            for one in behind(facts.links.waits_for, ids)
            if one in facts.unfinished and facts.unfinished[one].status is S.BLOCKED
        ]
        waits = f"; {several(len(after), 'job')} blocked behind" if after else ""
        classify = f"torc jobs classify {jobs[0].id} retry   or   … fail"
        yield Reason(
            rule=status.word,
            text=f"{several(len(jobs), 'job')} {what}: {listed([j.name for j in jobs])}{waits}",
            numbers={"jobs": len(jobs), "blocked_behind": len(after)},
            remedy=classify if status is S.PENDING_FAILED else "",
        )


def _nobody(group: Group, reasons: Sequence[Reason]) -> Reason:
    last = reasons[-1]
    telling = [one for one in reasons[:-1] if "misfits" in one.numbers]
    telling += [one for one in reasons if one.rule == "action_behind"]
    details = [one.text for one in telling[:NAMED]]
    why = "; ".join(details) or "no worker, no allocation and no action is there"
    return Reason(
        rule="nobody",
        text=f"{several(group.count, 'ready job')} run by nobody as things stand "
        f"({listed(list(group.names), group.count)}): {why}",
        numbers={"jobs": group.count, "resource_requirements": group.need.name, **last.numbers},
        remedy=last.remedy,
    )


# ── what runs, what is ready, what waits ─────────────────────────────────────


def _running(facts: Facts) -> Iterator[Reason]:
    for worker in facts.scene.workers:
        yield _worker(worker, facts.scene.now)


def _worker(worker: Worker, now: float) -> Reason:
    left = worker.whole.seconds
    until = "" if left is None else f", {display_seconds(max(0.0, left))} left"
    age = now - worker.node.heartbeat
    free = "" if worker.counts_jobs else f", {offer_words(_timeless(worker))} free"
    return Reason(
        rule="worker",
        text=f"{worker.name} holds {counted(worker.holds, 'job')}{free}{until}; heard of "
        f"{display_seconds(age)} ago",
        numbers={
            "compute_node_id": worker.node.id,
            "holds": worker.holds,
            "free_cpus": worker.free.cpus,
            "seconds_left": left,
            "heartbeat_age_s": age,
        },
    )


def _timeless(worker: Worker) -> Capacity:
    return replace(worker.free, seconds=None)


def _ready(facts: Facts) -> Iterator[Reason]:
    """For each group the first reason to hope; those without are in the way."""
    if facts.workflow.is_canceled:
        return
    stuck = _stuck(facts)
    for group in facts.ready:
        reasons = takers(facts.scene, group.need, stuck=stuck)
        hope = next((one for one in reasons if one.rule in HOPE), None)
        if hope is not None:
            yield Reason(
                rule=hope.rule,
                text=f"{group.count} of {group.need.name!r} ({need_words(group.need)}; "
                f"{listed(list(group.names), group.count)}): {hope.text}",
                numbers={**hope.numbers, "jobs": group.count},
                remedy=hope.remedy,
            )


def _waiting(facts: Facts) -> Iterator[Reason]:
    blocked = facts.progress.counts.get(S.BLOCKED, 0)
    if not blocked:
        return
    chain = longest(facts.links.waits_for, facts.unfinished)
    names = [facts.unfinished[one].name for one in chain]
    yield Reason(
        rule="chain",
        text=f"{several(blocked, 'job')} blocked; the longest chain left has "
        f"{counted(len(chain), 'job')}: {chain_words(names)}",
        numbers={"blocked": blocked, "length": len(chain), "job_ids": chain},
    )


# ── allocations ──────────────────────────────────────────────────────────────


def _allocations(facts: Facts) -> Iterator[Reason]:
    for asked in facts.scene.asked:
        yield _asked(asked, facts.scene.now)
    if facts.scene.slurm_is_silent:
        yield Reason(
            rule="slurm_silent",
            text="Slurm was not heard, so what is said of allocations may be old: "
            f"{facts.scene.slurm_is_silent}",
        )
    for planned in facts.scene.planned:
        when = "now: its trigger holds" if planned.pending else f"later ({planned.trigger})"
        yield Reason(
            rule="action_pending" if planned.pending else "action_waits",
            text=f"action {planned.action_id} asks for nodes of {planned.scheduler} {when}",
            numbers={"action_id": planned.action_id, "trigger": planned.trigger},
        )
    yield from _over(facts.gone)


def _asked(asked: Asked, now: float) -> Reason:
    left = None if asked.end_time is None else asked.end_time - now
    if asked.begun and asked.state is not SlurmState.PENDING:
        until = "" if left is None else f", {display_seconds(max(0.0, left))} left"
        state = asked.state.value if asked.state else "active"
        where = f"is {state}{until}"
    else:
        where = waiting_words(asked, now)
    return Reason(
        rule="allocation",
        text=f"{asked.name} of {asked.scheduler or 'a deleted scheduler'} "
        f"({counted(asked.allocation.nodes, 'node')} with {offer_words(asked.offer)}) {where}",
        numbers={
            "allocation_id": asked.allocation.id,
            "slurm_job_id": asked.allocation.scheduler_id,
            "state": asked.state.value if asked.state else None,
            "expected_start": iso_time(asked.start_time),
            "end": iso_time(asked.end_time),
        },
    )


def _over(gone: Sequence[Allocation]) -> Iterator[Reason]:
    """How many ended in which way; refusals with Slurm's words."""
    counts: dict[str, int] = {}
    for one in gone:
        word = one.final_state.value if one.final_state else (one.reason or "its workers ended")
        counts[word] = counts.get(word, 0) + 1
    for word, count in counts.items():
        yield Reason(
            rule="allocations_over",
            text=f"{several(count, 'allocation')} over: {word}",
            numbers={"allocations": count},
        )


# ── what failed, and what the watch thinks ───────────────────────────────────


def _failed(facts: Facts) -> Iterator[Reason]:
    for result in facts.failures:
        yield Reason(
            rule="failed",
            text=f"{result.job_name} ({result.status.word}, attempt {result.attempt_id}): "
            f"{in_words(result.return_code, result.ending)}",
            numbers={
                "job_id": result.job_id,
                "return_code": result.return_code,
                "ending": result.ending.value,
            },
            remedy=f"torc explain {facts.workflow.id} --job-id {result.job_id}",
        )
    counts = facts.progress.counts
    failed = sum(counts.get(one, 0) for one in (S.FAILED, S.TERMINATED, S.PENDING_FAILED))
    if failed > len(facts.failures):
        more = failed - len(facts.failures)
        yield Reason(
            rule="more_failed",
            text=f"and {several(more, 'job')} like these",
            numbers={"jobs": more},
            remedy=f"torc results list {facts.workflow.id} --failed",
        )


def _actions(facts: Facts) -> Iterator[Reason]:
    for action, now in facts.actions:
        over = now.status != PENDING
        yield Reason(
            rule=f"action_{now.status}",
            text=f"action {action.id} ({action.trigger_type.value}: {action.action_type.value}) is "
            f"{now.status}: {now.why}",
            numbers={"action_id": action.id, "status": now.status},
            remedy=f"torc actions logs {action.id}   or   torc actions retry {action.id}"
            if over
            else "",
        )


def _watched(facts: Facts) -> Iterator[Reason]:
    watch, now = facts.watch, facts.scene.now
    if watch is not None and watch.holder and watch.lease_until >= now:
        yield Reason(
            rule="watched",
            text=f"it is watched on {watch.hostname} by process {watch.pid}",
            numbers={"hostname": watch.hostname, "pid": watch.pid},
        )
    elif not facts.progress.is_complete:
        yield Reason(
            rule="not_watched",
            text="nobody watches it: what dies is not noticed, and nothing is asked for again",
            remedy=f"torc watch {facts.workflow.id} --auto-schedule",
        )
    if watch is not None and watch.not_before > now:
        yield Reason(
            rule="pause",
            text=f"{counted(watch.schedule_failures, 'time')} in a row nothing came of asking for "
            f"nodes; the next try is in {display_seconds(watch.not_before - now)}",
            numbers={"schedule_failures": watch.schedule_failures, "not_before": watch.not_before},
        )
    for one in facts.decisions:
        yield _decision(one, now)


def _decision(one: Decision, now: float) -> Reason:
    numbers = ", ".join(f"{name} {_number(value)}" for name, value in one.numbers.items())
    return Reason(
        rule="decision",
        text=f"{display_seconds(now - one.timestamp)} ago: {one.decision}, because {one.reason}"
        + (f" ({numbers})" if numbers else ""),
        numbers={"decision": one.decision, "timestamp": one.timestamp, **one.numbers},
    )


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
