"""A document of exporting.py -> a Draft: a new workflow with ids of its own, and nothing run yet.

The document may have been written by hand, cut off, or be something else; so every value is
looked at before anything is stored, and all that is wrong is told at once.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import Fault, InvalidValue, SpecError
from slurmtorc.model import (
    DEFAULT_REQUIREMENT,
    ActionType,
    Draft,
    DraftAction,
    DraftJob,
    FailureHandler,
    File,
    ResourceRequirements,
    SlurmScheduler,
    TriggerType,
    UserData,
    Workflow,
)
from slurmtorc.rules.graph import describe, graph_of
from slurmtorc.schedule.exporting import VERSION
from slurmtorc.units import parse_duration, parse_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Path: TypeAlias = tuple[str | int, ...]

_MOST = 20
"""Faults that are told; a file that is something else has as many as it has lines."""


def imported(text: str, source: str, *, name: str | None = None) -> Draft:
    """The draft of a document. Raises SpecError with all that is wrong."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SpecError(source, [Fault(f"this is not JSON: {error}")]) from error
    reading = _Reading(document)
    draft = reading.draft(name)
    if reading.faults:
        raise SpecError(source, reading.faults[:_MOST])
    _refuse_cycle(draft, source)
    return draft


def _refuse_cycle(draft: Draft, source: str) -> None:
    graph = graph_of(draft)
    if graph.levels() is None:
        names = [name for node in graph.cycle() if (name := describe(draft, node))]
        raise SpecError(source, [Fault(f"jobs wait for each other: {' -> '.join(names)}")])


# ── values ───────────────────────────────────────────────────────────────────


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


_IS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "str": (lambda value: isinstance(value, str), "a text"),
    "int": (_number, "a whole number"),
    "float": (lambda value: _number(value) or isinstance(value, float), "a number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "Mapping[str, Any]": (lambda value: isinstance(value, dict), "a map"),
    "Mapping[str, str]": (_texts, "a map of texts"),
    "tuple[str, ...]": (
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
        "a list of texts",
    ),
    "tuple[Mapping[str, Any], ...]": (
        lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
        "a list of maps",
    ),
    "Any": (lambda _value: True, "anything"),
}
"""The types that fields of records have, as they are written there."""
_OWN = frozenset({"id", "workflow_id"})


class _Reading:
    """One document on its way to a draft."""

    def __init__(self, document: Any) -> None:
        self.document = document if isinstance(document, dict) else {}
        self.faults: list[Fault] = []
        if not isinstance(document, dict):
            self.fault((), "this is no exported workflow: it is not a map")
        elif document.get("export_version") != VERSION:
            found = document.get("export_version")
            self.fault(("export_version",), f"is {found!r}; this program reads {VERSION!r}")
        self.at: dict[str, dict[int, int]] = {}
        """Section -> id -> index."""

    def fault(self, path: Path, message: str) -> None:
        self.faults.append(Fault(message, path))

    # records

    def section(self, key: str) -> list[tuple[Path, dict[str, Any]]]:
        """The records of one list; and where each id is in it."""
        found = self.document.get(key)
        found = [] if found is None else found
        if not isinstance(found, list):
            self.fault((key,), "must be a list")
            return []
        known = self.at.setdefault(key, {})
        records: list[tuple[Path, dict[str, Any]]] = []
        for index, each in enumerate(found):
            path: Path = (key, index)
            if not isinstance(each, dict) or not _number(each.get("id")):
                self.fault(path, "must be a map with an id that is a whole number")
            elif each["id"] in known:
                self.fault((*path, "id"), f"{each['id']} is the id of another one already")
            else:
                known[each["id"]] = len(records)
                records.append((path, each))
        return records

    def values(self, kind: type, raw: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """The fields of a record that are given, checked."""
        values = {}
        for each in fields(kind):
            if each.name in _OWN or each.name not in raw:
                continue
            value, (wanted, _, optional) = raw[each.name], str(each.type).partition(" | ")
            fits, said = _IS.get(wanted, _IS["Any"])
            if value is None and (optional or wanted == "Any"):
                continue
            if not fits(value):
                self.fault((*path, each.name), f"must be {said}, and is {value!r:.40}")
            else:
                values[each.name] = tuple(value) if wanted.startswith("tuple") else value
        return values

    def records(self, key: str, kind: type, **fixed: Any) -> list[Any]:
        """A list of records that refer to nothing."""
        return [
            made
            for path, raw in self.section(key)
            if (made := self.record(kind, raw, path, **fixed)) is not None
        ]

    def record(self, kind: type, raw: Mapping[str, Any], path: Path, **fixed: Any) -> Any:
        try:
            return kind(**{**self.values(kind, raw, path), **fixed})
        except TypeError:  # a field without a default is missing
            self.fault(path, f"has not all that a {kind.__name__} needs: name, and the like")
            return None

    # references

    def index(self, key: str, record_id: Any, path: Path) -> int | None:
        """Where a record is in its list, by its id."""
        if record_id is None:
            return None
        found = self.at.get(key, {}).get(record_id) if _number(record_id) else None
        if found is None:
            self.fault(path, f"names {record_id!r}, which {key} does not have")
        return found

    def indices(self, key: str, raw: Mapping[str, Any], name: str, path: Path) -> tuple[int, ...]:
        ids = raw.get(name) or []
        if not isinstance(ids, list):
            self.fault((*path, name), "must be a list of ids")
            return ()
        found = (self.index(key, each, (*path, name)) for each in ids)
        return tuple(each for each in found if each is not None)

    # the whole

    def draft(self, name: str | None) -> Draft:
        """Everything; what is wrong is in `faults`."""
        draft = Draft(workflow=self.workflow(name))
        draft.files = self.records("files", File, st_mtime=None, content_hash=None)
        draft.user_data = self.records("user_data", UserData, changed_at=None)
        draft.schedulers = self.records("slurm_schedulers", SlurmScheduler)
        draft.failure_handlers = self.records("failure_handlers", FailureHandler)
        draft.requirements = self.requirements()
        raw_jobs = self.section("jobs")
        self.names(raw_jobs)
        draft.barriers = [
            self.indices("jobs", raw, "job_ids", path) for path, raw in self.section("barriers")
        ]
        draft.jobs = [job for path, raw in raw_jobs if (job := self.job(raw, path)) is not None]
        actions = self.section("workflow_actions")
        draft.actions = [
            action for path, raw in actions if (action := self.action(raw, path)) is not None
        ]
        spec = self.document.get("spec")
        draft.spec = spec if isinstance(spec, str) else None
        return draft

    def workflow(self, name: str | None) -> Workflow:
        raw = self.document.get("workflow")
        if not isinstance(raw, dict):
            self.fault(("workflow",), "is missing, or no map")
            return Workflow(name="")
        fresh: dict[str, Any] = {"run_id": 0, "is_canceled": False, "is_archived": False}
        if name:
            fresh["name"] = name
        return self.record(Workflow, raw, ("workflow",), **fresh) or Workflow(name="")

    def requirements(self) -> list[ResourceRequirements]:
        """All but the implicit one, which every store makes by itself; sizes from their texts."""
        found = list[ResourceRequirements]()
        at = self.at.setdefault("resource_requirements", {})
        implicit = ResourceRequirements(name=DEFAULT_REQUIREMENT)
        for path, raw in self.section("resource_requirements"):
            need = self.record(ResourceRequirements, raw, path)
            if need is None:
                continue
            need = self.measured(need, path)
            if need == implicit:
                at[raw["id"]] = -1
            else:
                at[raw["id"]] = len(found)
                found.append(need)
        return found

    def measured(self, need: ResourceRequirements, path: Path) -> ResourceRequirements:
        try:
            size, seconds = parse_memory(need.memory), parse_duration(need.runtime)
        except InvalidValue as error:
            self.fault(path, str(error))
            return need
        return replace(need, memory_bytes=size, runtime_s=seconds)

    def names(self, jobs: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
        seen: set[Any] = set()
        for path, raw in jobs:
            name = raw.get("name")
            if not isinstance(name, str) or name in seen:
                what = f"there is another job named {name!r}" if name in seen else "has no name"
                self.fault((*path, "name"), what)
            else:
                seen.add(name)

    def job(self, raw: Mapping[str, Any], path: Path) -> DraftJob | None:
        need = self.index("resource_requirements", raw.get("resource_requirements_id"), path)
        ties = {
            "requirement": None if need == -1 else need,
            "scheduler": self.index("slurm_schedulers", raw.get("scheduler_id"), path),
            "failure_handler": self.index("failure_handlers", raw.get("failure_handler_id"), path),
            "depends_on": self.indices("jobs", raw, "depends_on_job_ids", path),
            "after": self.indices("barriers", raw, "after_barrier_ids", path),
            "input_files": self.indices("files", raw, "input_file_ids", path),
            "output_files": self.indices("files", raw, "output_file_ids", path),
            "input_user_data": self.indices("user_data", raw, "input_user_data_ids", path),
            "output_user_data": self.indices("user_data", raw, "output_user_data_ids", path),
        }
        plain = {name: value for name, value in raw.items() if name not in ties}
        job: DraftJob | None = self.record(DraftJob, plain, path, **ties)
        return job

    def action(self, raw: Mapping[str, Any], path: Path) -> DraftAction | None:
        config = raw.get("action_config")
        try:
            trigger, kind = TriggerType(raw["trigger_type"]), ActionType(raw["action_type"])
        except (KeyError, ValueError) as error:
            self.fault(path, f"has no known trigger_type and action_type: {error}")
            return None
        if not isinstance(config, dict):
            self.fault((*path, "action_config"), "must be a map")
            return None
        given = {**config, "persistent": raw.get("persistent", False)}
        fixed = {
            "trigger_type": trigger,
            "action_type": kind,
            "jobs": self.indices("jobs", raw, "job_ids", path),
            "scheduler": self.index("slurm_schedulers", config.get("scheduler_id"), path),
        }
        plain = {name: value for name, value in given.items() if name not in fixed}
        action: DraftAction | None = self.record(DraftAction, plain, path, **fixed)
        return action
