"""Jobs that nobody's rules fit are shown to an agent, once; then they wait for a person.

What was shown is remembered by the newest result among it, in the decisions of the watch: a
watch that is started again, or by cron each minute, shows the same jobs once. An agent that
failed has seen nothing: the next watch tries again, this one does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.model import Decision, Job, JobStatus, Result
from slurmtorc.ports import EVERYTHING, NEWEST
from slurmtorc.rules.wording import counted
from slurmtorc.watch.prompt import Aside, prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Store
    from slurmtorc.watch.agent import Agents, Answer

ANSWER = "answer"
"""The word of a decision that tells of an agent's end."""


def set_aside(store: Store, workflow_id: int) -> list[Aside]:
    """The jobs that wait for a decision, and why."""
    status = JobStatus.PENDING_FAILED
    jobs = store.rows(Job, EVERYTHING, workflow_id=workflow_id, status=status).items
    if not jobs:
        return []
    results = store.rows(
        Result, EVERYTHING, workflow_id=workflow_id, status=status, superseded=False
    ).items
    by_attempt = {(one.job_id, one.attempt_id): one for one in results}
    return [Aside(job, by_attempt.get((job.id, job.attempt_id))) for job in jobs]


def newest(asides: Sequence[Aside]) -> int:
    """The id of the newest result among them."""
    return max((one.result.id for one in asides if one.result is not None), default=0)


@dataclass(slots=True)
class _Question:
    """What an agent is thinking about."""

    asides: Sequence[Aside]
    output: str


@dataclass(slots=True)
class Asking:
    """What one watch has shown to its agent."""

    store: Store
    agents: Agents
    _shown: dict[int, int] = field(default_factory=dict)
    """Workflow id -> the newest result that was shown."""
    _open: dict[int, _Question] = field(default_factory=dict)

    def unshown(self, workflow_id: int) -> int:
        """How many jobs wait for a decision, if some of them were never shown; else 0."""
        asides = set_aside(self.store, workflow_id)
        if not asides or newest(asides) <= self._shown_up_to(workflow_id):
            return 0
        return len(asides)

    def _shown_up_to(self, workflow_id: int) -> int:
        if workflow_id not in self._shown:
            where = {"workflow_id": workflow_id, "decision": ANSWER}
            last = self.store.rows(Decision, NEWEST, **where).items
            self._shown[workflow_id] = last[0].numbers["shown_up_to"] if last else -1
        return self._shown[workflow_id]

    def foresee(self, workflow: Workflow) -> tuple[str, str]:
        """To whom what would be shown."""
        return self.agents.agent.name, prompt(workflow, set_aside(self.store, workflow.id))

    def ask(self, workflow: Workflow) -> str:
        """Show what waits to the agent; a line that says so."""
        asides = set_aside(self.store, workflow.id)
        self._shown[workflow.id] = newest(asides)
        output = self.agents.ask(workflow, prompt(workflow, asides))
        self._open[workflow.id] = _Question(asides, output)
        name = self.agents.agent.name
        return f"agent {name!r} is asked about {counted(len(asides), 'job')}; its output: {output}"

    def hear(self) -> dict[int, str]:
        """Workflow id -> a line of what came of it, for each agent that has ended."""
        return {one.workflow_id: self._heard(one) for one in self.agents.poll()}

    def _heard(self, answer: Answer) -> str:
        question = self._open.pop(answer.workflow_id)
        left = {one.job.id for one in set_aside(self.store, answer.workflow_id)}
        decided = [one.job.id for one in question.asides if one.job.id not in left]
        count = len(question.asides)
        said = f"{len(decided)} of {counted(count, 'job')} decided"
        if answer.complaint is not None:
            return f"{answer.complaint}; {said}"
        line = f"agent {self.agents.agent.name!r} has answered: {said}"
        numbers = {
            "rule": "answered",
            "jobs": count,
            "decided": len(decided),
            "shown_up_to": newest(question.asides),
        }
        made = Decision(
            workflow_id=answer.workflow_id, decision=ANSWER, reason=line, numbers=numbers
        )
        self.store.note_decisions([made])
        return line
