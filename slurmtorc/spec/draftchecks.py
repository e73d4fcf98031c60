"""Faults that show only once the draft stands: between jobs and what they name, and cycles."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from slurmtorc.rules.graph import describe, graph_of, holds
from slurmtorc.units import format_walltime, parse_walltime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slurmtorc.model import Draft, DraftJob
    from slurmtorc.spec.families import Family
    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.items import Sheet
    from slurmtorc.spec.references import Resolver

_SHOWN_ON_CYCLE = 12


def check_datasets(sheet: Sheet, families: Mapping[str, Family], resolver: Resolver) -> None:
    """Datasets are kept for later, but their names must exist today."""
    for item in sheet.jobs:
        for key in ("input_datasets", "output_datasets"):
            for index, text in enumerate(getattr(item.shape, key) or ()):
                path = (*item.path, key, index)
                if item.axes is not None and path not in resolver.lost:
                    for name in set(islice(item.axes.fill(text), item.count)):
                        resolver.name(families["datasets"], name, path)


def check_draft(draft: Draft, sheet: Sheet, families: Mapping[str, Family], faults: Faults) -> int:
    """Add the faults; the number of levels, 0 if there is a cycle."""
    check = _DraftCheck(draft, sheet, families, faults)
    check.walltimes()
    check.own_products("files", "file")
    check.own_products("user_data", "user data")
    return check.graph()


class _DraftCheck:
    """The checks of one draft."""

    def __init__(
        self, draft: Draft, sheet: Sheet, families: Mapping[str, Family], faults: Faults
    ) -> None:
        self.draft = draft
        self.sheet = sheet
        self.families = families
        self.faults = faults

    def path(self, job: int) -> Path:
        """The item that a job comes from."""
        return self.sheet.jobs[self.families["jobs"].item_of(job)].path

    def walltimes(self) -> None:
        """A job that may take longer than the allocations of the scheduler it names."""
        limits = [parse_walltime(scheduler.walltime) for scheduler in self.draft.schedulers]
        runtimes = [requirement.runtime_s for requirement in self.draft.requirements]
        told: set[Path] = set()
        for number, job in enumerate(self.draft.jobs):
            if job.scheduler is None or job.requirement is None:
                continue
            limit = limits[job.scheduler]
            if limit is not None and runtimes[job.requirement] > limit:
                path = self.path(number)
                if path not in told:
                    told.add(path)
                    self.too_long(job, job.requirement, job.scheduler, path)

    def too_long(self, job: DraftJob, requirement: int, scheduler: int, path: Path) -> None:
        """The fault for one job."""
        needs, offers = self.draft.requirements[requirement], self.draft.schedulers[scheduler]
        message = (
            f"job {job.name!r} may run {needs.runtime} (requirement {needs.name!r}), "
            f"longer than the walltime {offers.walltime} of scheduler {offers.name!r}"
        )
        hint = f"write walltime: {format_walltime(needs.runtime_s)!r} or more, or a shorter runtime"
        self.faults.error((*path, "scheduler"), message, hint)

    def own_products(self, kind: str, word: str) -> None:
        """A job that reads what it writes would wait for itself; it is taken out of its inputs."""
        told: set[Path] = set()
        for number, job in enumerate(self.draft.jobs):
            inputs, outputs = getattr(job, f"input_{kind}"), getattr(job, f"output_{kind}")
            both = [n for n in outputs if holds(inputs, n)] if inputs and outputs else []
            if both:
                setattr(job, f"input_{kind}", tuple(n for n in inputs if n not in both))
                path = (*self.path(number), f"input_{kind}")
                if path not in told:
                    told.add(path)
                    name = self.families[kind].names[both[0]]
                    message = f"job {job.name!r} has the {word} {name!r} as input and as output"
                    self.faults.error(path, message, "leave one out; a job cannot wait for itself")

    def graph(self) -> int:
        """The number of levels; a fault if there is a cycle."""
        graph = graph_of(self.draft)
        levels = graph.levels()
        if levels is not None:
            return max(levels, default=-1) + 1
        nodes = graph.cycle()
        first = next(node for node in nodes if node < len(self.draft.jobs))
        message = f"these wait for each other: {' -> '.join(self.described(nodes))}"
        self.faults.error(self.path(first), message, "leave out one of these dependencies")
        return 0

    def described(self, nodes: list[int]) -> Iterator[str]:
        """What the nodes of a cycle are called; the middle of a long one is left out."""
        words = [word for word in (describe(self.draft, node) for node in nodes) if word]
        if len(words) <= _SHOWN_ON_CYCLE:
            return iter(words)
        left = len(words) - _SHOWN_ON_CYCLE
        head = words[: _SHOWN_ON_CYCLE - 2]
        return iter([*head, f"({left:,} more)", *words[-2:]])
