"""The watch of any number of workflows: look, decide by rules/watching.py, act, rest.

One tick is one round over all of them, with one question to Slurm's queue and at most one to
its accounting. Everything it must remember is in the store, under a lease that one watch of a
workflow holds at a time: whoever has not got it looks on and takes over when it runs out.
Between rounds it only glances at the store, so that an end is noticed when it comes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict, SlurmError, StoreUnavailable
from slurmtorc.model import ActionType, JobStatus, Workflow
from slurmtorc.rules.evidence import Standing
from slurmtorc.rules.watching import (
    Ask,
    Choice,
    Clear,
    Policy,
    Recover,
    Schedule,
    Sighting,
    Stop,
    Wait,
    decide,
    stuck,
)
from slurmtorc.schedule.undersized import why_left
from slurmtorc.watch.acts import Actor, Manner
from slurmtorc.watch.asking import Asking
from slurmtorc.watch.look import Scene, look

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slurmtorc.model import Allocation, Progress, WatchState
    from slurmtorc.watch.acts import Ports

log = logging.getLogger(__name__)

GLANCE_S = 2.0
"""How long the watch rests at most before it looks whether the store has changed."""
LEASE_SLACK_S = 10.0
"""What a round may take before another watch believes that this one is gone."""
OUTAGE_REST_S = 5.0
DONE = Stop(rule="once", reason="one look was asked for", exit_code=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How to watch."""

    policy: Policy = field(default_factory=Policy)
    manner: Manner = field(default_factory=Manner)
    poll_s: float = 60.0
    once: bool = False
    dry_run: bool = False
    """Say what would be done, and do and store nothing."""


@dataclass(frozen=True, slots=True)
class View:
    """What a display is told of one workflow after a round."""

    workflow: Workflow
    seen: Sighting
    scene: Scene
    choice: Choice
    acts: Sequence[str] = ()
    """What was done before the decision, or would be: sweeps, closings."""
    passive: bool = False
    """Another watch holds the lease."""
    next_look: float = 0.0


@dataclass(slots=True)
class Case:
    """One watched workflow."""

    workflow: Workflow
    ended: Stop | None = None
    rule: str = ""
    """Of the last decision that was stored."""


class Watch:
    """Follows workflows until nothing more will happen in any of them."""

    def __init__(
        self,
        ports: Ports,
        workflows: Sequence[Workflow],
        conduct: Conduct,
        show: Callable[[View], None],
    ) -> None:
        self.ports = ports
        self.conduct = conduct
        self.show = show
        self.cases = {workflow.id: Case(workflow) for workflow in workflows}
        self.actor = Actor(ports, conduct.manner)
        agents = ports.agents
        self.asking = None if agents is None else Asking(ports.store, agents)
        self._heard: dict[int, str] = {}
        self._next_look = 0.0
        self._stamp: object = None
        self._down_since: float | None = None

    @property
    def ended(self) -> Mapping[int, Stop]:
        """How the watches that are over have ended."""
        return {number: case.ended for number, case in self.cases.items() if case.ended}

    def tick(self) -> float | None:
        """A round if it is time for one; seconds to rest, or None when all is over.

        A store that does not answer is waited for, as long as the workflows say.
        """
        now = self.ports.clock.now()
        try:
            rest = self._step(now)
        except StoreUnavailable as error:
            return self._outage(error, now)
        if self._down_since is not None:
            log.warning("The store answers again")
            self._down_since = None
        return rest

    def _outage(self, error: StoreUnavailable, now: float) -> float:
        self._next_look = now  # the round that was cut short is made up for
        if self._down_since is None:
            log.warning("The store does not answer: %s", error)
            self._down_since = now
        patience = max(
            case.workflow.compute_node_wait_for_healthy_database_minutes
            for case in self.cases.values()
        )
        if now - self._down_since > 60 * patience:
            raise error
        return OUTAGE_REST_S

    def _step(self, now: float) -> float | None:
        scripts = self.ports.scripts
        ended = scripts is not None and scripts.poll()
        if self.ports.deputy is not None:
            ended = self.ports.deputy.poll() or ended
        if self.asking is not None:
            self._hear(self.asking)
        if now >= self._next_look or self._anything_over() or ended or self._heard:
            self._round(now)
        if len(self.ended) == len(self.cases):
            return None
        rest = max(0.0, self._next_look - self.ports.clock.now())
        return min(rest, GLANCE_S)

    def _hear(self, asking: Asking) -> None:
        for number, line in asking.hear().items():
            log.info("Workflow %d: %s", number, line)
            self._heard[number] = line

    def leave(self) -> None:
        """Give all leases back: another watch may go on at once."""
        if self.ports.scripts is not None:
            self.ports.scripts.stop()
        if self.ports.deputy is not None:
            self.ports.deputy.stop()
        if self.ports.agents is not None:
            self.ports.agents.stop()
        for number in self.cases:
            self.ports.store.leave_watch(number, self.ports.holder)

    def _deputy_is_busy(self) -> bool:
        return self.ports.deputy is not None and self.ports.deputy.busy

    # ── when to look ─────────────────────────────────────────────────────────

    def _open(self) -> list[int]:
        return [number for number, case in self.cases.items() if case.ended is None]

    def _anything_over(self) -> bool:
        """Whether the store has changed, and a workflow in it is complete."""
        before, self._stamp = self._stamp, self.ports.store.stamp()
        if before == self._stamp:
            return False
        return any(self.ports.store.outlook(number).is_complete for number in self._open())

    # ── a round ──────────────────────────────────────────────────────────────

    def _round(self, now: float) -> None:
        self._next_look = now + self.conduct.poll_s
        held = self._leases(now)
        mine = [number for number in self._open() if held[number] is not None]
        if mine and not self.conduct.dry_run:
            self.ports.store.suspect(mine)
            for number in mine:
                self._ask_for_nodes(self.cases[number].workflow)
        scenes = look(self.ports.store, self.ports.slurm, self.ports.clock, self._open())
        if not self.conduct.dry_run:
            self._believe([one for number in mine for one in scenes[number].changed])
        for number in self._open():
            self._judge(self.cases[number], scenes[number], held[number])

    def _ask_for_nodes(self, workflow: Workflow) -> None:
        """What goes wrong there in one workflow is no matter of the others, nor of the sweeps."""
        try:
            self.actor.ask_for_nodes(workflow)
        except (Conflict, SlurmError) as error:
            log.warning("Workflow %d: nodes could not be asked for: %s", workflow.id, error)

    def _believe(self, changed: Sequence[Allocation]) -> None:
        if changed:
            self.ports.store.observe(changed)

    def _leases(self, now: float) -> dict[int, WatchState | None]:
        """Of each workflow what is remembered, or None where another watch is at work."""
        if self.conduct.dry_run:
            return {number: self._remembered(number) for number in self._open()}
        until = now + self.conduct.poll_s + LEASE_SLACK_S
        with self.ports.store.together():
            return {
                number: self.ports.store.hold_watch(self.ports.watch_of(number, until))
                for number in self._open()
            }

    def _remembered(self, number: int) -> WatchState:
        found = self.ports.store.watch_state(number)
        return found or replace(self.ports.watch_of(number, 0.0), since=self.ports.clock.now())

    def _judge(self, case: Case, scene: Scene, memory: WatchState | None) -> None:
        """Sweep, decide and act in one workflow."""
        acts = [said] if (said := self._heard.pop(case.workflow.id, None)) else []
        passive = memory is None
        if not passive:
            prepare = self.actor.foresee if self.conduct.dry_run else self.actor.sweep
            acts += prepare(case.workflow, scene)
        seen = self._sighting(case, scene, memory)
        choice = self._choice(seen, passive=passive)
        if not passive and not self.conduct.dry_run:
            choice = self._after_actions(case, seen, choice)
            choice = self._act(case, scene, seen, choice)
            acts += self.actor.told()
        elif isinstance(choice, Ask) and self.asking is not None:
            name, prompt = self.asking.foresee(case.workflow)
            acts.append(f"would be shown to agent {name!r}:\n{prompt}")
        if isinstance(choice, Stop):
            case.ended = choice
        elif self._is_done(case):
            case.ended = DONE
        self.show(View(case.workflow, seen, scene, choice, acts, passive, self._next_look))

    def _is_done(self, case: Case) -> bool:
        """Whether one look was all, and nobody is still at work on what it began."""
        at_work = self._agent_thinks(case.workflow.id) or self._deputy_is_busy()
        return self.conduct.dry_run or (self.conduct.once and not at_work)

    def _agent_thinks(self, workflow_id: int) -> bool:
        agents = self.ports.agents
        return agents is not None and workflow_id in agents.busy

    def _sighting(self, case: Case, scene: Scene, memory: WatchState | None) -> Sighting:
        store, number = self.ports.store, case.workflow.id
        progress = store.progress(number)
        return Sighting(
            now=self.ports.clock.now(),
            progress=progress,
            backlog=store.backlog(number),
            answered=scene.answered,
            waiting=scene.standing(Standing.WAITING),
            running=scene.standing(Standing.RUNNING),
            doubtful=scene.standing(Standing.UNKNOWN),
            workers=scene.workers,
            unshown=self._unshown(progress),
            memory=memory or self._remembered(number),
        )

    def _unshown(self, progress: Progress) -> int:
        if self.asking is None or not progress.counts.get(JobStatus.PENDING_FAILED):
            return 0
        return self.asking.unshown(progress.workflow_id)

    def _choice(self, seen: Sighting, *, passive: bool) -> Choice:
        choice = decide(seen, self.conduct.policy)
        if isinstance(choice, Stop) and choice.rule == "stuck" and self._has_due(seen):
            return Wait(rule="actions", reason="an action is about to ask for nodes")
        if isinstance(choice, Stop) and choice.rule == "stuck" and seen.backlog.ready:
            choice = stuck(seen, why_left(self.ports.store, seen.progress.workflow_id))
        if passive and not (isinstance(choice, Stop) and seen.progress.is_complete):
            return self._passive(seen)
        if isinstance(choice, Stop | Recover) and self._agent_thinks(seen.progress.workflow_id):
            return Wait(rule="agent", reason="an agent thinks about jobs that were set aside")
        return choice

    @staticmethod
    def _passive(seen: Sighting) -> Wait:
        """What another watch decides is not ours to show; only the end is everybody's."""
        holder = f"{seen.memory.hostname} (process {seen.memory.pid})"
        return Wait(rule="passive", reason=f"another watch is at work: {holder}")

    def _after_actions(self, case: Case, seen: Sighting, choice: Choice) -> Choice:
        """What follows the last job is done before anything else follows it."""
        progress = seen.progress
        if isinstance(choice, Wait) or not progress.is_complete or progress.is_canceled:
            return choice
        return self.actor.finishes(case.workflow, seen) or choice

    def _has_due(self, seen: Sighting) -> bool:
        """Whether an action has become due since nodes were last asked for."""
        due = self.ports.store.pending_actions(seen.progress.workflow_id)
        return any(action.action_type is ActionType.SCHEDULE_NODES for action in due)

    def _act(self, case: Case, scene: Scene, seen: Sighting, choice: Choice) -> Choice:
        """Carry out a decision; what came of it."""
        try:
            done = self._carried_out(case, scene, seen, choice)
        except Conflict as error:
            log.warning("Workflow %d: %s", case.workflow.id, error)
            return Wait(rule="conflict", reason=str(error))
        except SlurmError as error:
            log.warning("Workflow %d: Slurm did not do as asked: %s", case.workflow.id, error)
            return Wait(rule="slurm", reason=f"Slurm did not do as asked: {error}")
        if done.rule != case.rule or not isinstance(done, Wait):
            case.rule = done.rule
            self.actor.note(case.workflow, done)
        return done

    def _carried_out(self, case: Case, scene: Scene, seen: Sighting, choice: Choice) -> Choice:
        if isinstance(choice, Schedule):
            return self.actor.schedule(case.workflow, scene, seen, choice)
        if isinstance(choice, Recover):
            recovered = self.actor.recover(case.workflow, seen, choice)
            case.workflow = self.ports.store.get(Workflow, case.workflow.id)
            return recovered
        if isinstance(choice, Ask) and self.asking is not None:
            return replace(choice, reason=f"{choice.reason}; {self.asking.ask(case.workflow)}")
        if isinstance(choice, Clear | Stop) and seen.progress.is_complete:
            self.actor.clear(case.workflow, scene, all_of_them=isinstance(choice, Clear))
        return choice
