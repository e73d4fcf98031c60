"""For programs that are jobs: add jobs to the workflow one is a job of.

    from slurmtorc.spawn import Job, Orchestrator

    me = Orchestrator.from_env()
    if good_enough(results):
        me.converge(state={"best": best})
    else:
        me.spawn([Job(name=f"try_{me.generation + 1}", command="...")], state={"best": best})

A job finds its workflow, its store and itself in the environment that torc gave it. What it
spawns waits until it ends; all of a call is added, or nothing. A program that is tried again and
says the same again finds the jobs it spawned, and none of them is doubled: so names must follow
from the generation and from what was computed, never from a clock or a random number.

This module is public. It must never be needed by a worker: workers know nothing of generations.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import Conflict, InvalidValue
from slurmtorc.model import Spawned
from slurmtorc.model import SpawnJob as Job
from slurmtorc.rules import spawning as rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from slurmtorc.ports import Store

__all__ = ["Job", "Orchestrator", "Spawned", "converge", "spawn", "state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestrator:
    """A job that looks at results and spawns what is next, or converges."""

    workflow_id: int
    """The workflow it is a job of."""
    job_id: int
    """Its own id."""
    lineage: str
    """The chain of jobs that spawn one another; it begins with a job's own name."""
    generation: int = 0
    """How many generations came before it: 0 for a job of the workflow file.

    It is the same in every attempt and every run, so names made from it are, too.
    """
    url: str = field(repr=False)
    """The store; it may hold a password."""

    @classmethod
    def from_env(
        cls, *, lineage_fallback: str | None = None, environ: Mapping[str, str] | None = None
    ) -> Self:
        """The job that this program is.

        A spawned job is in the lineage it was spawned in. The first one is in
        `lineage_fallback`, or in one that bears its own name. Raises Conflict in a program that
        is no job.
        """
        env = os.environ if environ is None else environ
        name = _given(env, "TORC_JOB_NAME")
        return cls(
            workflow_id=_number(env, "TORC_WORKFLOW_ID"),
            job_id=_number(env, "TORC_JOB_ID"),
            lineage=rules.lineage_of(lineage_fallback or name, env),
            generation=rules.generation_of(env),
            url=_given(env, "TORC_STORE_URL", "TORC_API_URL"),
        )

    @property
    def state(self) -> Any:
        """The state this job was spawned with; None for the first job of a lineage."""
        return self._record(rules.record_name(self.lineage, self.generation))

    @property
    def final_state(self) -> Any:
        """What the lineage has converged to; None if it has not."""
        return self._record(rules.final_name(self.lineage))

    def spawn(self, jobs: Sequence[Job], *, state: Any = None) -> Spawned:
        """Add the next generation of jobs; they wait until this job has ended.

        `state` is any JSON value, kept for the next generation. The same names spawned again by
        the same job are the same jobs: nothing is added, and the state stays. Raises InvalidValue
        for jobs that cannot be, and Conflict when names are taken or iterations used up.
        """
        if not jobs:
            raise InvalidValue("no jobs to spawn", allowed="call converge() if nothing follows")
        return self._call(jobs, state)

    def converge(self, *, state: Any = None) -> Spawned:
        """Say that nothing follows, and keep the final state of the lineage."""
        return self._call((), state)

    def _call(self, jobs: Sequence[Job], state: Any) -> Spawned:
        with closing(_store(self.url)) as store:
            return store.spawn(self.job_id, self.lineage, jobs, state)

    def _record(self, name: str) -> Any:
        from slurmtorc.model import UserData  # noqa: PLC0415  only for who asks

        with closing(_store(self.url)) as store:
            found = store.rows(UserData, workflow_id=self.workflow_id, name=name).items
        return found[0].data["state"] if found else None


def spawn(jobs: Sequence[Job], *, state: Any = None, lineage: str | None = None) -> Spawned:
    """Add the next generation of jobs, as the job that this program is.

    See Orchestrator.spawn. `lineage` names the chain where this job is the first of it.
    """
    return Orchestrator.from_env(lineage_fallback=lineage).spawn(jobs, state=state)


def converge(*, state: Any = None, lineage: str | None = None) -> Spawned:
    """Say that nothing follows, and keep the final state. See Orchestrator.converge."""
    return Orchestrator.from_env(lineage_fallback=lineage).converge(state=state)


def state(*, lineage: str | None = None) -> Any:
    """The state that the job which this program is was spawned with; None for the first one."""
    return Orchestrator.from_env(lineage_fallback=lineage).state


def _store(url: str) -> Store:
    from slurmtorc.settings import Settings  # noqa: PLC0415  a program may import this and not call
    from slurmtorc.wiring import open_store  # noqa: PLC0415  the same

    return open_store(Settings(url=url), create=False)


def _given(env: Mapping[str, str], *names: str) -> str:
    found = next((env[name] for name in names if env.get(name)), None)
    if found is None:
        message = f"this is no job of a workflow: {names[0]} is not in the environment"
        raise Conflict(f"{message}; only a running job can spawn jobs")
    return found


def _number(env: Mapping[str, str], name: str) -> int:
    written = _given(env, name)
    if not written.isdecimal():
        raise InvalidValue(f"{name} is {written!r}", allowed="leave it as torc has set it")
    return int(written)
