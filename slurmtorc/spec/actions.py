"""Actions: what their trigger needs, what their type needs, and the jobs they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slurmtorc.model import ActionType, DraftAction, TriggerType
from slurmtorc.rules.triggers import OF_WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slurmtorc.spec.families import Family, Group
    from slurmtorc.spec.faults import Faults
    from slurmtorc.spec.items import Item
    from slurmtorc.spec.references import Resolver
    from slurmtorc.spec.shape import ActionShape

JOB_TRIGGERS = frozenset({TriggerType.ON_JOBS_READY, TriggerType.ON_JOBS_COMPLETE})
ALIASES = {"scheduler_name": "scheduler", "job_name_patterns": "jobs"}
"""Older key -> the key it means."""
_SELECTORS = ("jobs", "job_name_patterns", "job_name_regexes")
_SCHEDULING = (
    "scheduler", "scheduler_name", "scheduler_type", "num_allocations",
    "start_one_worker_per_node", "max_parallel_jobs",
)  # fmt: skip
"""Keys that only schedule_nodes has."""


class ActionDrafter:
    """Drafts actions. References that cannot be resolved are left to the resolver to report."""

    def __init__(self, families: Mapping[str, Family], resolver: Resolver, faults: Faults) -> None:
        self.families = families
        self.resolver = resolver
        self.faults = faults

    def drafted(self, items: Sequence[Item[ActionShape]]) -> Iterator[DraftAction]:
        """All actions."""
        for item in items:
            self.check_aliases(item)
            if not item.broken & {"trigger_type", "action_type"}:
                yield self.action(item)

    def action(self, item: Item[ActionShape]) -> DraftAction:
        """One action."""
        shape = item.shape
        trigger, kind = TriggerType(shape.trigger_type), ActionType(shape.action_type)
        gate = self.gate(item, trigger)
        if kind is ActionType.RUN_COMMANDS:
            self.check_commands(item)
        if shape.persistent and trigger not in OF_WORKERS:
            hint = "leave it out; `persistent` is for on_worker_start and on_worker_complete"
            message = f"an {trigger} action cannot be persistent: it is executed once in a run"
            self.faults.error((*item.path, "persistent"), message, hint)
        return DraftAction(
            trigger_type=trigger,
            action_type=kind,
            jobs=gate,
            commands=tuple(shape.commands or ()) if kind is ActionType.RUN_COMMANDS else (),
            scheduler=self.scheduler(item) if kind is ActionType.SCHEDULE_NODES else None,
            num_allocations=shape.num_allocations or 1,
            start_one_worker_per_node=bool(shape.start_one_worker_per_node),
            max_parallel_jobs=shape.max_parallel_jobs,
            persistent=self.persistent(item, trigger, kind),
        )

    def persistent(self, item: Item[ActionShape], trigger: TriggerType, kind: ActionType) -> bool:
        """What is about a worker is done by every worker, unless the file says otherwise."""
        given = item.shape.persistent
        found = trigger in OF_WORKERS if given is None else given
        if found and trigger in OF_WORKERS and kind is ActionType.SCHEDULE_NODES:
            message = f"every worker asks for nodes ({trigger}), whose workers ask for more"
            self.faults.warn(item.path, message, "write `persistent: false` to ask once")
        return found

    def check_aliases(self, item: Item[ActionShape]) -> None:
        """Both spellings of a key are one too many."""
        for old, new in ALIASES.items():
            if getattr(item.shape, old) is not None and getattr(item.shape, new) is not None:
                message = f"`{old}` is an older name of `{new}`, and both are given"
                self.faults.error((*item.path, old), message, f"leave `{old}` out")

    def check_commands(self, item: Item[ActionShape]) -> None:
        """What run_commands needs, and what it does not use."""
        path = (*item.path, "commands")
        if not item.shape.commands and "commands" not in item.broken:
            self.faults.error(path, "run_commands has no commands", "write `commands`, a list")
        for index, command in enumerate(item.shape.commands or ()):
            if not command.strip():
                self.faults.error((*path, index), "the command is empty", "leave it out")
        for key in _SCHEDULING:
            if getattr(item.shape, key) is not None:
                self.faults.warn((*item.path, key), "run_commands does not use this")

    def scheduler(self, item: Item[ActionShape]) -> int | None:
        """The number of the scheduler that schedule_nodes names."""
        shape = item.shape
        if shape.commands:
            self.faults.warn((*item.path, "commands"), "schedule_nodes does not use this")
        key = "scheduler" if shape.scheduler is not None else "scheduler_name"
        name = getattr(shape, key)
        if name is not None:
            return self.resolver.name(self.families["slurm_schedulers"], name, (*item.path, key))
        if not item.broken & {"scheduler", "scheduler_name"}:
            hint = "name an entry of slurm_schedulers"
            self.faults.error(item.path, "schedule_nodes has no `scheduler`", hint)
        return None

    def gate(self, item: Item[ActionShape], trigger: TriggerType) -> Group:
        """The jobs an action waits for; none for triggers that do not wait for jobs."""
        given = [key for key in _SELECTORS if getattr(item.shape, key)]
        if trigger not in JOB_TRIGGERS:
            for key in given:
                self.faults.warn((*item.path, key), f"{trigger} does not wait for jobs")
            return ()
        if not given and not item.broken & set(_SELECTORS):
            message = f"{trigger} does not say which jobs it waits for"
            self.faults.error(item.path, message, "write `jobs` or `job_name_regexes`")
        return tuple(sorted({*self.named(item), *self.matched(item)}))

    def named(self, item: Item[ActionShape]) -> Iterator[int]:
        """The jobs named one by one."""
        for key in ("jobs", "job_name_patterns"):
            for index, name in enumerate(getattr(item.shape, key) or ()):
                path = (*item.path, key, index)
                number = self.resolver.name(self.families["jobs"], name, path)
                if number is not None:
                    yield number

    def matched(self, item: Item[ActionShape]) -> Iterator[int]:
        """The jobs that patterns match."""
        for index, pattern in enumerate(item.shape.job_name_regexes or ()):
            path = (*item.path, "job_name_regexes", index)
            yield from self.resolver.pattern(self.families["jobs"], pattern, path)
