"""A stored workflow as one JSON document, which importing.py reads back.

Records keep their ids, so that one can name another; groups of which each waits for all of
another are written as groups. What files and user data imply is left out: it follows from them.
"""

from __future__ import annotations

from dataclasses import fields
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from slurmtorc.model import (
    Action,
    Event,
    FailureHandler,
    File,
    Job,
    ResourceRequirements,
    Result,
    SlurmScheduler,
    UserData,
    Workflow,
)
from slurmtorc.ports import EVERYTHING
from slurmtorc.units import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slurmtorc.ports import Store

VERSION = "1.0"
SECTIONS: Mapping[str, type] = {
    "files": File,
    "user_data": UserData,
    "resource_requirements": ResourceRequirements,
    "slurm_schedulers": SlurmScheduler,
    "failure_handlers": FailureHandler,
    "jobs": Job,
    "workflow_actions": Action,
}
"""Key of the document -> what is in its list."""
OF_A_RUN = frozenset(
    {"compute_node_id", "start_time", "ready_since", "changed_at", "changes", "executed_by"}
)
"""Fields that mean nothing in another store."""


def export(
    store: Store,
    workflow_id: int,
    now: float,
    *,
    include_results: bool = False,
    include_events: bool = False,
) -> dict[str, Any]:
    """The whole workflow as plain values."""
    document: dict[str, Any] = {
        "export_version": VERSION,
        "exported_at": iso_time(now),
        "workflow": _plain(store.get(Workflow, workflow_id)),
        "spec": store.spec(workflow_id),
        "local_schedulers": [],
    }
    for key, kind in SECTIONS.items():
        document[key] = _records(store, kind, workflow_id)
    document["workflow_actions"] = [
        each for each in document["workflow_actions"] if not each["is_recovery"]
    ]
    _tie(store, workflow_id, document)
    if include_results:
        document["results"] = _records(store, Result, workflow_id)
    if include_events:
        document["events"] = _records(store, Event, workflow_id)
    return document


def _records(store: Store, kind: type, workflow_id: int) -> list[dict[str, Any]]:
    found: list[Any] = store.rows(kind, EVERYTHING, workflow_id=workflow_id).items
    return [_plain(record) for record in found]


def _plain(record: Any) -> dict[str, Any]:
    names = (each.name for each in fields(record) if each.name not in OF_A_RUN)
    return {name: _value(getattr(record, name)) for name in names}


def _value(value: Any) -> Any:
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


# ── who belongs to whom ──────────────────────────────────────────────────────


def _tie(store: Store, workflow_id: int, document: dict[str, Any]) -> None:
    """Add to jobs what they read, write and wait for; to actions, their jobs."""
    files, data = _ids(document["files"]), _ids(document["user_data"])
    users = {
        "input_file_ids": store.readers(files),
        "output_file_ids": store.writers(files),
        "input_user_data_ids": store.data_readers(data),
        "output_user_data_ids": store.data_writers(data),
    }
    ties = {key: _turned(found) for key, found in users.items()}
    links = store.links(workflow_id)
    groups = {-node: list(jobs) for node, jobs in links.waits_for.items() if node < 0}
    document["barriers"] = [{"id": group, "job_ids": jobs} for group, jobs in groups.items()]
    for job in document["jobs"]:
        job.update({key: found.get(job["id"], []) for key, found in ties.items()})
        before = links.waits_for.get(job["id"], ())
        implied = {
            writer
            for read, written in _THROUGH
            for thing in job[read]
            for writer in users[written].get(thing, ())
        }
        job["depends_on_job_ids"] = [n for n in before if n > 0 and n not in implied]
        job["after_barrier_ids"] = [-n for n in before if n < 0]
    for action in document["workflow_actions"]:
        action["job_ids"] = list(links.gates.get(action["id"], ()))


_THROUGH = (
    ("input_file_ids", "output_file_ids"),
    ("input_user_data_ids", "output_user_data_ids"),
)
"""By these a job waits for another without saying so."""


def _ids(records: Iterable[Mapping[str, Any]]) -> list[int]:
    return [record["id"] for record in records]


def _turned(users: Mapping[int, list[int]]) -> dict[int, list[int]]:
    """Thing -> jobs becomes job -> things."""
    found: dict[int, list[int]] = {}
    for thing, jobs in sorted(users.items()):
        for job in jobs:
            found.setdefault(job, []).append(thing)
    return found
