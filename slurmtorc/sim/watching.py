"""The watch of a simulated workflow: the real one, and the one place that knows its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slurmtorc.watch.acts import Manner, Ports
from slurmtorc.watch.sweep import Traces
from slurmtorc.watch.watcher import Conduct, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Clock, Slurm, Store
    from slurmtorc.rules.watching import Policy, Stop
    from slurmtorc.schedule.submit import Submitter

OUTPUT_DIR = "out"


@dataclass(frozen=True, slots=True)
class Watched:
    """A watch: its tick, and how it ended."""

    tick: Callable[[], float | None]
    ended: Callable[[], Stop | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What the watches of one world act through."""

    store: Store
    slurm: Slurm
    clock: Clock
    submitter: Submitter


def a_watch(outfit: Outfit, workflow: Workflow, policy: Policy, holder: str) -> Watched:
    """A new watch process of a workflow."""
    ports = Ports(
        store=outfit.store,
        slurm=outfit.slurm,
        clock=outfit.clock,
        submitter=outfit.submitter,
        traces=lambda *_: Traces(),
        holder=holder,
    )
    conduct = Conduct(policy=policy, manner=Manner(output_dir=OUTPUT_DIR))
    watch = Watch(ports, [workflow], conduct, lambda _: None)
    return Watched(watch.tick, lambda: watch.ended.get(workflow.id))
