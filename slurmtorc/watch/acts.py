"""What a watch does: sweep the dead, ask for nodes, recover, clear up. Sweeps can be foreseen.

Whatever an act changes in the store commits together with what the watch remembers of it, under
the condition that this watch still holds the lease: a watch that was too slow changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from slurmtorc.errors import Conflict
from slurmtorc.model import ActionRun, ActionType, Decision, Job, JobStatus, Result, WatchState
from slurmtorc.ports import EVERYTHING, NEWEST
from slurmtorc.rules.evidence import Standing
from slurmtorc.rules.healing import Cause, Treatment
from slurmtorc.rules.requesting import Options
from slurmtorc.rules.watching import SOME_FAILED, STUCK, Recover, Schedule, Stop, Wait, pause
from slurmtorc.rules.wording import counted, does, several
from slurmtorc.schedule.regenerate import ask, plan_again, record
from slurmtorc.schedule.submit import cancel_ours, end_surplus, tell
from slurmtorc.watch.hook import TIMEOUT_S, run_hook
from slurmtorc.watch.look import standing_of
from slurmtorc.watch.recover import (
    INITIATED,
    Means,
    attempting,
    carry_out,
    lines,
    plan_recovery,
)
from slurmtorc.watch.sweep import settle, toll

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slurmtorc.model import Allocation, ComputeNode, Workflow
    from slurmtorc.ports import Clock, Slurm, Store
    from slurmtorc.rules.watching import Choice, Sighting
    from slurmtorc.schedule.regenerate import Regeneration
    from slurmtorc.schedule.submit import Outcome, Submitter
    from slurmtorc.watch.agent import Agents
    from slurmtorc.watch.look import Scene
    from slurmtorc.watch.recover import RecoveryPlan
    from slurmtorc.watch.scripts import Scripts
    from slurmtorc.watch.sweep import Toll, Traces

log = logging.getLogger(__name__)

CLEARING_S = 120.0
"""How long workers of a complete workflow are given to leave by themselves (seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a watch acts through, and who it is."""

    store: Store
    slurm: Slurm
    clock: Clock
    submitter: Submitter
    deputy: Deputy | None = None
    """Executes what is due when no worker is left; None in a simulation."""
    agents: Agents | None = None
    """Who is shown jobs that were set aside; None where nobody is."""
    scripts: Scripts | None = None
    """Recovery scripts of jobs whose worker died; None in a simulation, where all succeed."""
    traces: Callable[[Workflow, ComputeNode, Job], Traces]
    """What an attempt has left behind, as far as it can be read from here."""
    holder: str
    """Unique for each watch process."""
    hostname: str = ""
    pid: int = 0

    def watch_of(self, workflow_id: int, lease_until: float) -> WatchState:
        """This watch as the holder of a lease."""
        return WatchState(
            workflow_id=workflow_id,
            holder=self.holder,
            hostname=self.hostname,
            pid=self.pid,
            lease_until=lease_until,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to do what was decided."""

    output_dir: str = "torc_output"
    options: Options = field(default_factory=Options)
    treatment: Treatment = field(default_factory=Treatment)
    hook: str | None = None
    """The user's own program, run before a recovery."""
    most_recoveries: int | None = None


class Deputy(Protocol):
    """Executes actions in place of workers that are gone."""

    @property
    def busy(self) -> bool:
        """Whether any command runs."""

    def step(self, workflow: Workflow, output_dir: str) -> bool:
        """Do what is due; False once nothing is left to do."""

    def poll(self) -> bool:
        """Go on with what runs; whether anything has ended."""

    def stop(self) -> None:
        """End all commands."""


class Actor:
    """Does what a watch decides."""

    def __init__(self, ports: Ports, manner: Manner) -> None:
        self.ports = ports
        self.manner = manner
        self._clearing: dict[int, float] = {}
        self._told: list[str] = []

    def told(self) -> list[str]:
        """What has been said since the last call, for whoever watches the watch."""
        said, self._told = self._told, []
        return said

    def _say(self, line: str) -> None:
        log.info("%s", line)
        self._told.append(line)

    def note(self, workflow: Workflow, choice: Choice) -> None:
        """Record a decision."""
        log.info("Workflow %d: %s", workflow.id, choice.reason)
        decision = Decision(
            workflow_id=workflow.id,
            decision=type(choice).__name__.lower(),
            reason=choice.reason,
            numbers={"rule": choice.rule, **choice.numbers},
        )
        self.ports.store.note_decisions([decision])

    # ── what is due ──────────────────────────────────────────────────────────

    def ask_for_nodes(self, workflow: Workflow) -> None:
        """Execute pending actions here too: compute nodes may not be allowed to submit."""
        tell(self.ports.submitter.act(workflow, self.manner.output_dir))

    def finishes(self, workflow: Workflow, seen: Sighting) -> Wait | None:
        """All jobs are over; whether an action still runs, or is to: here, if no worker is left."""
        store = self.ports.store
        if not seen.workers:
            deputy = self.ports.deputy
            if deputy is None or not deputy.step(workflow, self.manner.output_dir):
                return None
            return Wait(rule="actions", reason="all jobs are over; actions are executed here")
        running = store.rows(ActionRun, workflow_id=workflow.id, end_time=None).items
        due = [
            one
            for one in store.pending_actions(workflow.id)
            if one.action_type is ActionType.RUN_COMMANDS and not one.persistent
        ]
        if not running and not due:
            return None
        where = f"runs on {running[0].hostname}" if running else "is about to run"
        number = running[0].action_id if running else due[0].id
        return Wait(rule="actions", reason=f"all jobs are over; action {number} {where}")

    # ── the dead ─────────────────────────────────────────────────────────────

    def foresee(self, workflow: Workflow, scene: Scene) -> list[str]:
        """What a sweep would do."""
        dead = [toll(self.ports.store, workflow, lost) for lost in scene.lost]
        closed = [f"allocation {one.id} has ended: {_reason(one)}" for one in scene.ended]
        return [line for each in dead for line in each.lines()] + closed

    def sweep(self, workflow: Workflow, scene: Scene) -> list[str]:
        """End the jobs of lost workers, and close allocations that nobody works in any more."""
        said: list[str] = []
        for lost in scene.lost:
            dead = toll(self.ports.store, workflow, lost)
            if self._settled(workflow, dead):
                said += dead.lines()
            else:
                scene.recovering += 1
        gone = {lost.node.id for lost in scene.lost if not self._held(lost.node.id)}
        left = {node.allocation_id for node in scene.nodes if node.id not in gone}
        for allocation in scene.ended:
            if allocation.id not in left:
                self.ports.store.closed(allocation.id, _reason(allocation))
                said.append(f"allocation {allocation.id} has ended: {_reason(allocation)}")
        for line in said:
            log.warning("%s", line)
        return said

    def _settled(self, workflow: Workflow, dead: Toll) -> bool:
        """Write down what became of a dead worker's jobs; False while a script runs first."""
        scripts = self.ports.scripts
        succeeded = {} if scripts is None else scripts.run(workflow, dead.fates)
        if succeeded is None:
            return False
        now = self.ports.clock.now()
        dead = dead.after_scripts(succeeded)
        return settle(self.ports.store, workflow, dead, now, self.ports.traces)

    def _held(self, node_id: int) -> bool:
        return bool(self.ports.store.held(node_id))

    # ── more nodes ───────────────────────────────────────────────────────────

    def schedule(
        self, workflow: Workflow, scene: Scene, seen: Sighting, choice: Schedule
    ) -> Choice:
        """Ask for what is missing; nothing may be, as what waits in the queue is enough."""
        retries = self._retries(workflow.id) if choice.only_retries else None
        plan = plan_again(
            self.ports.store,
            self.ports.slurm.site(),
            workflow.id,
            self.manner.options,
            output_dir=self.manner.output_dir,
            job_ids=retries,
            queued=[one for one in scene.allocations if standing_of(one) is Standing.WAITING],
        )
        if not plan.now:
            return _nothing_to_ask(choice, plan, seen)
        memory, now = seen.memory, self.ports.clock.now()
        in_vain = not choice.only_retries and self._was_in_vain(workflow.id, memory)
        with self.ports.store.together(durable=True):
            self.ports.store.remember_watch(replace(memory, last_scheduled_at=now))
            asked = record(self.ports.store, plan)
        outcome = ask(self.ports.submitter, plan.workflow, asked)
        tell(outcome)
        self._count(replace(memory, last_scheduled_at=now), outcome, in_vain=in_vain)
        for warning in plan.demand.warnings:
            log.warning("Workflow %d: %s", workflow.id, warning)
        return _scheduled(choice, outcome, plan.demand.warnings)

    def _retries(self, workflow_id: int) -> list[int]:
        ready = self.ports.store.rows(
            Job, EVERYTHING, workflow_id=workflow_id, status=JobStatus.READY
        ).items
        return [job.id for job in ready if job.attempt_id > 1 or job.origin is not None]

    def _was_in_vain(self, workflow_id: int, memory: WatchState) -> bool:
        """Whether no job has ended since nodes were last asked for, and nobody is there now."""
        if memory.last_scheduled_at is None:
            return False
        newest = self.ports.store.rows(Result, NEWEST, workflow_id=workflow_id).items
        return not newest or newest[0].completion_time < memory.last_scheduled_at

    def _count(self, memory: WatchState, outcome: Outcome, *, in_vain: bool = False) -> None:
        """After failures, and if no job has gained by it, the next try waits; each time longer."""
        if outcome.submitted and not in_vain:
            after = replace(memory, schedule_failures=0, not_before=0.0)
        else:
            failures = memory.schedule_failures + 1
            until = self.ports.clock.now() + pause(failures)
            after = replace(memory, schedule_failures=failures, not_before=until)
        self.ports.store.remember_watch(after)

    # ── the end of a run ─────────────────────────────────────────────────────

    def recover(self, workflow: Workflow, seen: Sighting, choice: Recover) -> Choice:
        """Heal what can be healed, and begin again; or say why nothing can."""
        plan = self._plan(workflow)
        if not plan.chosen:
            reason = f"{choice.reason}, and none of them can be healed"
            return Stop(rule="not_healed", reason=reason, exit_code=SOME_FAILED)
        number = seen.memory.recoveries + 1
        self._say(attempting(number, self.manner.most_recoveries))
        if self.manner.hook is not None and plan.number(Cause.UNKNOWN):
            plan = self._after_hook(workflow, plan, self.manner.hook)
        for line in lines(plan):
            self._say(line)
        now = self.ports.clock.now()
        memory = replace(seen.memory, recoveries=number, since=now, last_scheduled_at=now)
        outcome = carry_out(self.ports, plan, lambda: self.ports.store.remember_watch(memory))
        tell(outcome)
        if not outcome.submitted:
            self._count(memory, outcome)
        self._say(INITIATED)
        jobs = len(plan.chosen)
        again = f"{counted(jobs, 'job')} {does(jobs, 'run')} again (recovery {number})"
        reason = f"{choice.reason}; {again}"
        return Recover(rule="recovered", reason=reason, numbers={**choice.numbers, "jobs": jobs})

    def _plan(self, workflow: Workflow) -> RecoveryPlan:
        means = Means(
            site=self.ports.slurm.site(),
            output_dir=self.manner.output_dir,
            treatment=self.manner.treatment,
            options=self.manner.options,
        )
        return plan_recovery(self.ports.store, workflow.id, means)

    def _after_hook(self, workflow: Workflow, plan: RecoveryPlan, hook: str) -> RecoveryPlan:
        """Run the hook under a lease that outlasts it; the plan as it is after it."""
        store = self.ports.store
        until = self.ports.clock.now() + TIMEOUT_S + CLEARING_S
        if store.hold_watch(self.ports.watch_of(workflow.id, until)) is None:
            raise Conflict(f"another watch has taken over workflow {workflow.id}")
        run_hook(hook, plan.workflow, store.url)
        return self._plan(workflow)

    def clear(self, workflow: Workflow, scene: Scene, *, all_of_them: bool) -> None:
        """End what waits in the queue; with `all_of_them`, after a while also what runs."""
        surplus = end_surplus(self.ports.store, self.ports.slurm, workflow.id)
        if surplus:
            log.info("%d queued allocations were canceled: nothing is left to run", len(surplus))
        if not all_of_them:
            return
        now = self.ports.clock.now()
        since = self._clearing.setdefault(workflow.id, now)
        held = scene.allocations
        running = {one.scheduler_id: one.token for one in held if one.scheduler_id is not None}
        if now - since >= CLEARING_S and running:
            log.warning("%d allocations do not end by themselves; canceling them", len(running))
            cancel_ours(self.ports.slurm, running)


def _reason(allocation: Allocation) -> str:
    state = allocation.final_state
    if state is None or not state.final:
        return "gone: neither the queue nor a worker knows it"
    return state.value


def _nothing_to_ask(choice: Schedule, plan: Regeneration, seen: Sighting) -> Choice:
    demand = plan.demand
    # What later stages will have is no help to jobs that are ready and have no place.
    later = not demand.homeless and (plan.later or demand.armed)
    if choice.only_retries or demand.served or later:
        reason = f"{choice.reason}, and nodes for them are asked for already"
        return Wait(rule="served", reason=reason, numbers=choice.numbers)
    why = "; ".join(demand.warnings) or "no scheduler fits them"
    left = f"{several(seen.progress.unfinished, 'job')} left"
    return Stop(rule="no_place", reason=f"{left}, and no nodes can be had: {why}", exit_code=STUCK)


def _scheduled(choice: Schedule, outcome: Outcome, warnings: Sequence[str] = ()) -> Choice:
    submitted = len(outcome.submitted)
    numbers = {
        **choice.numbers,
        "submitted": submitted,
        "refused": len(outcome.refused),
        "open": len(outcome.open),
    }
    if submitted:
        asked = f"{counted(submitted, 'allocation')} asked for"
        reason = "; ".join([f"{choice.reason}: {asked}", *warnings])
        return replace(choice, reason=reason, numbers=numbers)
    said = [why for _, why in (*outcome.refused, *outcome.open)]
    return replace(
        choice, reason=f"{choice.reason}, but Slurm took none: {said[0]}", numbers=numbers
    )
