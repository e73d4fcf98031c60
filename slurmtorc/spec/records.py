"""Validated items -> the records of a Draft that are not jobs or actions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slurmtorc.model import (
    FailureHandler,
    File,
    ResourceRequirements,
    SlurmScheduler,
    UserData,
    Workflow,
)
from slurmtorc.spec.families import is_line, values_are_risky
from slurmtorc.spec.parameters import Axes
from slurmtorc.spec.sound import require_sound
from slurmtorc.units import parse_duration, parse_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slurmtorc.spec import shape
    from slurmtorc.spec.families import Family
    from slurmtorc.spec.faults import Faults
    from slurmtorc.spec.items import Item, Sheet
    from slurmtorc.spec.placeholders import Scalar

_SAME = (
    "description", "project", "access_groups", "jobs_sort_method",
    "compute_node_expiration_buffer_seconds",
)  # fmt: skip
"""Fields that are None where the file has none."""
_DEFAULTED = (
    "use_pending_failed", "enable_ro_crate", "compute_node_wait_for_new_jobs_seconds",
    "compute_node_ignore_workflow_completion", "compute_node_wait_for_healthy_database_minutes",
    "compute_node_min_time_for_new_jobs_seconds",
)  # fmt: skip
"""Fields for which null means the record's default."""
_SECTIONS = ("execution_config", "resource_monitor", "dynamic_jobs")


def workflow(sheet: Sheet, tree: Mapping[str, Any]) -> Workflow:
    """The workflow itself. Sections kept as maps are kept as written, without nulls."""
    head = sheet.head
    kept = {key: getattr(head, key) for key in _SAME}
    kept |= {key: value for key in _DEFAULTED if (value := getattr(head, key)) is not None}
    if head.access_groups is not None:
        kept["access_groups"] = tuple(head.access_groups)
    execution, monitor, dynamic = (without_nulls(tree.get(key)) for key in _SECTIONS)
    return Workflow(
        name=head.name,
        metadata=metadata(head.metadata),
        env=next(head_axes(sheet).fill_all(head.env or None)),
        slurm_defaults=without_nulls(head.slurm_defaults),
        execution_config=execution,
        resource_monitor_config=monitor,
        dynamic_jobs=dynamic,
        **kept,
    )


def without_nulls(value: Any) -> Any:
    """A value, its maps without the keys that are null: there null means absent."""
    if isinstance(value, dict):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [without_nulls(entry) for entry in value]
    return value


def metadata(value: Any) -> dict[str, Any] | None:
    """Metadata as a map. Raises ValueError or SpecError for text that holds none."""
    found: dict[str, Any] | None = json.loads(value) if isinstance(value, str) else value
    if found is not None:
        require_sound(found, "metadata", escapes=True)
    return found


def head_axes(sheet: Sheet) -> Axes:
    """What the workflow's environment may name: every parameter that has one value.

    One of many values, written as text, goes in as it is written.
    """
    once: dict[str, Sequence[Scalar]] = {}
    for name, raw in (sheet.head.parameters or {}).items():
        found = sheet.shared.get(name)
        if found is not None and len(found) == 1:
            once[name] = found
        elif isinstance(raw, str):
            once[name] = (raw,)
    return Axes(once)


def files(items: Sequence[Item[shape.FileShape]], family: Family, faults: Faults) -> Iterator[File]:
    """Every file."""
    for item, first in zip(items, family.firsts, strict=True):
        if item.axes is None:
            continue
        names = family.names[first : first + item.count]
        risky = values_are_risky(item)
        for name, path in zip(names, item.axes.fill(item.shape.path), strict=True):
            if risky and not is_line(path):
                message = f"the parameters make the path {path!r}"
                faults.error(
                    (*item.path, "path"), message, "a path is one line without placeholders"
                )
                risky = False
            yield File(name=name, path=path, st_mtime=item.shape.st_mtime)


def user_data(items: Sequence[Item[shape.UserDataShape]], family: Family) -> Iterator[UserData]:
    """Every piece of user data."""
    for item, first in zip(items, family.firsts, strict=True):
        if item.axes is None:
            continue
        names = family.names[first : first + item.count]
        ephemeral = bool(item.shape.is_ephemeral)
        for name, data in zip(names, item.axes.fill_all(item.shape.data), strict=True):
            yield UserData(name=name, data=data, is_ephemeral=ephemeral)


def requirement(shape: shape.RequirementShape) -> ResourceRequirements:
    """One requirement."""
    return ResourceRequirements(
        **dict(shape),
        memory_bytes=parse_memory(shape.memory),
        runtime_s=parse_duration(shape.runtime),
    )


def scheduler(shape: shape.SchedulerShape) -> SlurmScheduler:
    """One scheduler."""
    return SlurmScheduler(**{key: value for key, value in shape if value is not None})


def handler(shape: shape.HandlerShape) -> FailureHandler:
    """One failure handler, its rules as maps with every default."""
    rules = tuple(rule.model_dump(exclude_none=True) for rule in shape.rules)
    return FailureHandler(name=shape.name, rules=rules)
