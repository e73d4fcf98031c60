"""Who could take a ready job: workers, allocations that are asked for, actions that will ask.

Separate from the explanations because one job and a group of equal jobs are asked about alike.
What nobody has said how much there is of (a scheduler without memory, say) counts as enough: an
explanation may not invent a misfit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slurmtorc.model import AllocationStatus, SlurmState
from slurmtorc.rules.packing import misfits, room
from slurmtorc.rules.reasons import Reason
from slurmtorc.rules.undersized import Former, advice, complaint, too_small
from slurmtorc.rules.wording import counted
from slurmtorc.units import display_memory, display_seconds, iso_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from slurmtorc.model import Allocation, Capacity, ComputeNode, ResourceRequirements, Workflow

UNTOLD = 1 << 60
"""In an offer: as much as anybody may ask for, because nobody has said how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that has not ended."""

    node: ComputeNode
    whole: Capacity
    """All that its jobs may use; `seconds` from now to when it will end them."""
    free: Capacity
    """Of several nodes: what is free on all together, and nodes on which nothing runs."""
    holds: int
    """Jobs it holds, claimed or running."""
    counts_jobs: bool = False
    """It takes only so many jobs at a time; nobody but itself knows whether it has room."""

    @property
    def name(self) -> str:
        """For sentences."""
        node = self.node
        where = f"Slurm job {node.slurm_job_id}" if node.slurm_job_id else f"pid {node.pid}"
        return f"worker {node.id} ({node.hostname}, {where})"

    def misfits(self, need: ResourceRequirements) -> list[str]:
        """Why it can never run such a job, resource by resource; empty if it can."""
        return misfits(self.whole, need)

    def has_room(self, need: ResourceRequirements) -> bool:
        """Whether it could take one now; of one that counts jobs nobody but itself knows."""
        if need.num_nodes > 1:
            return not self.counts_jobs and self.free.nodes >= need.num_nodes
        return not self.counts_jobs and room(replace(self.free, nodes=1), need, 1) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An allocation that is asked for or there."""

    allocation: Allocation
    scheduler: str = ""
    """The scheduler's name."""
    offer: Capacity
    """What a worker of it will have; UNTOLD where its scheduler does not say."""
    state: SlurmState | None = None
    """What the queue says now, or said when it last answered."""
    why: str = ""
    """Why it waits, in plain words."""
    start_time: float | None = None
    """When Slurm expects it to begin, or when it began."""
    end_time: float | None = None

    @property
    def name(self) -> str:
        """For sentences."""
        known = self.allocation.scheduler_id
        return f"allocation {self.allocation.id}" + (f" (Slurm job {known})" if known else "")

    @property
    def begun(self) -> bool:
        """Whether workers of it are or were there."""
        return self.allocation.status is AllocationStatus.ACTIVE or self.state in {
            SlurmState.RUNNING,
            SlurmState.SUSPENDED,
            SlurmState.COMPLETING,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An action that will ask for allocations once its trigger holds."""

    action_id: int
    trigger: str
    pending: bool
    """Its trigger holds: whoever watches or works carries it out next."""
    scheduler: str
    offer: Capacity
    job_ids: frozenset[int] = frozenset()
    """The jobs its trigger is about."""
    after: frozenset[int] = frozenset()
    """The jobs that must be over before its trigger can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that could run a workflow's jobs."""

    now: float
    workflow_id: int
    workers: Sequence[Worker] = ()
    """Workers that have not ended."""
    asked: Sequence[Asked] = ()
    """Allocations that wait or run."""
    planned: Sequence[Planned] = ()
    """Actions that have not asked for their allocations yet."""
    former: Sequence[Former] = ()
    """Of each scheduler the last worker, if it has ended."""
    slurm_is_silent: str = ""
    """Why Slurm could not be asked; empty if it answered, or need not be."""


HOPE = frozenset({"room", "no_room", "may_fit", "allocation_waits", "allocation_starts",
                  "action_pending", "action_waits"})  # fmt: skip
"""Rules by which a ready job will run in the end."""


def takers(
    scene: Scene,
    need: ResourceRequirements,
    job_id: int | None = None,
    stuck: Collection[int] = (),
) -> Iterator[Reason]:
    """Who will take a ready job of this need, who will not, and why; `nobody` if there is none.

    `stuck`: ready jobs that nobody will take, unless it is an action that does not wait for them.
    """
    waits = {job_id, *stuck}
    reasons = [
        *_by_workers(scene, need),
        *_by_allocations(scene, need),
        *_by_actions(scene, need, job_id, waits),
    ]
    yield from reasons
    if not any(one.rule in HOPE for one in reasons):
        small = too_small(scene.former, need)
        yield from (_was_too_small(one, need) for one in small)
        told = any(one.rule not in {"slurm_silent", "action_behind"} for one in reasons)
        yield _nobody(scene, need, small, tried=told or bool(small))


def _by_workers(scene: Scene, need: ResourceRequirements) -> Iterator[Reason]:
    for worker in scene.workers:
        yield from beat(worker, scene.now)
        if worker.node.lease_until >= scene.now:
            yield _by_worker(worker, need)


def _by_worker(worker: Worker, need: ResourceRequirements) -> Reason:
    lacks = worker.misfits(need)
    asks = f"can never take it: it asks for {', '.join(lacks)}"
    rule, words = ("fits_not", asks) if lacks else _by_room(worker, need)
    numbers = {
        "compute_node_id": worker.node.id,
        "free_cpus": worker.free.cpus,
        "free_memory_bytes": worker.free.memory_bytes,
        "free_gpus": worker.free.gpus,
        "seconds_left": worker.whole.seconds,
        "holds": worker.holds,
        **({"misfits": lacks} if lacks else {}),
    }
    return Reason(rule=rule, text=f"{worker.name} {words}", numbers=numbers)


def _by_room(worker: Worker, need: ResourceRequirements) -> tuple[str, str]:
    """The rule, and what comes after the name of a worker that could take such a job some time."""
    if worker.counts_jobs:
        return "may_fit", f"takes only so many jobs at a time, and runs {worker.holds} now"
    free = offer_words(worker.free)
    if not worker.has_room(need):
        holds = counted(worker.holds, "job")
        return "no_room", f"has no room now: it holds {holds}, {free} free"
    if worker.whole.nodes > 1:
        share = offer_words(replace(worker.free, nodes=1))
        where = f"on its {worker.whole.nodes} nodes together"
        return "may_fit", f"has {share} free {where}: it starts there once one node has room"
    soon = "it should start within seconds, after the ready jobs that come before it"
    return "room", f"has room for it ({free} free): {soon}"


def _by_allocations(scene: Scene, need: ResourceRequirements) -> Iterator[Reason]:
    present = {worker.node.allocation_id for worker in scene.workers}
    for asked in scene.asked:
        if asked.allocation.id not in present:
            yield _by_allocation(asked, scene.now, need)
    if scene.slurm_is_silent:
        yield Reason(
            rule="slurm_silent",
            text=f"Slurm was not heard, so what is said of allocations may be old: "
            f"{scene.slurm_is_silent}",
        )


def _by_allocation(asked: Asked, now: float, need: ResourceRequirements) -> Reason:
    counts = asked.allocation.max_parallel_jobs is not None
    lacks = [] if counts else misfits(asked.offer, need)
    numbers = {
        "allocation_id": asked.allocation.id,
        "slurm_job_id": asked.allocation.scheduler_id,
        "state": asked.state.value if asked.state else None,
        "expected_start": iso_time(asked.start_time),
    }
    if lacks:
        text = f"{asked.name} will not take it: it asks for {', '.join(lacks)}"
        return Reason(rule="allocation_fits_not", text=text, numbers={**numbers, "misfits": lacks})
    unknown = asked.state is None and asked.allocation.scheduler_id is not None
    rule = "allocation_starts" if asked.begun else "allocation_waits"
    text = f"{asked.name} could take it: it {waiting_words(asked, now)}"
    remedy = f"torc watch {asked.allocation.workflow_id}" if unknown else ""
    return Reason(rule=rule, text=text, numbers=numbers, remedy=remedy)


def waiting_words(asked: Asked, now: float) -> str:
    """Where an allocation stands, as the end of a sentence."""
    if asked.begun:
        return "has begun: its workers will be there in a moment"
    if asked.allocation.scheduler_id is None:
        return "is not known to Slurm yet, or Slurm's answer was lost: a watch settles that"
    if asked.state is None:
        return "is not known to Slurm's queue now: it may have ended, which a watch finds out"
    why = f": {asked.why}" if asked.why else ""
    expected = ""
    if asked.start_time is not None and asked.start_time > now:
        expected = f"; Slurm expects it to begin in {display_seconds(asked.start_time - now)}"
    return f"is {asked.state.value} in Slurm's queue{why}{expected}"


def _by_actions(
    scene: Scene, need: ResourceRequirements, job_id: int | None, waits: Collection[int | None]
) -> Iterator[Reason]:
    for planned in scene.planned:
        about = job_id is None or not planned.job_ids or job_id in planned.job_ids
        if not planned.after.isdisjoint(waits):
            yield _behind(planned)
        elif about and not misfits(planned.offer, need):
            yield _by_action(planned, scene.workflow_id)


def _behind(planned: Planned) -> Reason:
    return Reason(
        rule="action_behind",
        text=f"action {planned.action_id} ({planned.trigger}) is no help: it asks for nodes of "
        f"{planned.scheduler} only after this has run",
        numbers={"action_id": planned.action_id, "trigger": planned.trigger},
    )


def _by_action(planned: Planned, workflow_id: int) -> Reason:
    numbers = {"action_id": planned.action_id, "trigger": planned.trigger}
    what = f"action {planned.action_id} ({planned.trigger}) asks for nodes of {planned.scheduler}"
    if planned.pending:
        return Reason(
            rule="action_pending",
            text=f"{what}: its trigger holds, and it is carried out by whoever watches or works",
            numbers=numbers,
            remedy=f"torc watch {workflow_id}   or   torc submit {workflow_id}",
        )
    return Reason(rule="action_waits", text=f"{what} once its trigger holds", numbers=numbers)


def _was_too_small(one: Former, need: ResourceRequirements) -> Reason:
    return Reason(
        rule="was_too_small",
        text=complaint(one, need),
        numbers={
            "compute_node_id": one.node.id,
            "slurm_scheduler": one.scheduler.name,
            "num_cpus": one.node.num_cpus,
            "memory_bytes": one.node.memory_bytes,
            "misfits": misfits(one.whole, need),
        },
    )


def _nobody(
    scene: Scene, need: ResourceRequirements, small: Sequence[Former], *, tried: bool
) -> Reason:
    """No worker, no allocation and no action will ever run it."""
    what = "nothing of that fits it" if tried else "no worker, no allocation and no action is there"
    ask = ask_for_nodes(scene.workflow_id)
    return Reason(
        rule="nobody",
        text=f"{what}: as things stand nobody will ever run it",
        numbers={"workers": len(scene.workers), "allocations": len(scene.asked)},
        remedy=f"{advice(small, need)} for the next time; now, with a larger one: {ask}"
        if small
        else ask,
    )


def begin_words(workflow: Workflow) -> str:
    """What begins the run of jobs that are in none. A later run is no start of the workflow."""
    number = workflow.id
    asks = (
        f"torc slurm regenerate {number} --submit" if workflow.run_id else f"torc submit {number}"
    )
    return f"torc run {number}  (here)   or   {asks}  (in Slurm)"


def ask_for_nodes(workflow_id: int) -> str:
    """What brings workers to jobs that none is coming to."""
    return (
        f"torc slurm regenerate {workflow_id} --submit   or   "
        f"torc watch {workflow_id} --auto-schedule   or, on this machine,   torc run {workflow_id}"
    )


def beat(worker: Worker, now: float) -> Iterator[Reason]:
    """Whether a worker is heard of: only what is worth a word."""
    node = worker.node
    silent = now - node.heartbeat
    if node.lease_until >= now:
        return
    yield Reason(
        rule="worker_silent",
        text=f"{worker.name} has not been heard of for {display_seconds(silent)}; its lease ran "
        f"out {display_seconds(now - node.lease_until)} ago, so it is probably gone",
        numbers={"compute_node_id": node.id, "heartbeat_age_s": silent},
        remedy=f"torc watch {node.workflow_id}  (takes its jobs back, and they are tried again)",
    )


# ── words ────────────────────────────────────────────────────────────────────


def need_words(need: ResourceRequirements) -> str:
    """What a job asks for."""
    parts = [counted(need.num_cpus, "CPU"), display_memory(need.memory_bytes)]
    if need.num_gpus:
        parts.append(counted(need.num_gpus, "GPU"))
    if need.num_nodes > 1:
        parts.append(counted(need.num_nodes, "node"))
    return ", ".join([*parts, f"{display_seconds(need.runtime_s)} of time"])


def offer_words(offer: Capacity) -> str:
    """What there is; what nobody has said is left out."""
    parts = []
    if offer.cpus < UNTOLD:
        parts.append(counted(offer.cpus, "CPU"))
    if offer.memory_bytes < UNTOLD:
        parts.append(display_memory(offer.memory_bytes))
    if 0 < offer.gpus < UNTOLD:
        parts.append(counted(offer.gpus, "GPU"))
    if offer.nodes > 1:
        parts.append(counted(offer.nodes, "node"))
    if offer.seconds is not None:
        parts.append(f"{display_seconds(max(0.0, offer.seconds))} of time")
    return ", ".join(parts) or "what its partition gives"


def need_numbers(need: ResourceRequirements) -> dict[str, object]:
    """The same for programs."""
    return {
        "num_cpus": need.num_cpus,
        "memory_bytes": need.memory_bytes,
        "num_gpus": need.num_gpus,
        "num_nodes": need.num_nodes,
        "runtime_s": need.runtime_s,
    }
