"""Workflows out of a store and into one: the same but for ids, or every fault told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_draft, a_job, a_need, a_scheduler, begin, run_all

from slurmtorc.errors import SpecError
from slurmtorc.model import (
    ActionType,
    DraftAction,
    FailureHandler,
    File,
    Job,
    TriggerType,
    UserData,
    Workflow,
)
from slurmtorc.schedule.exporting import SECTIONS, export
from slurmtorc.schedule.importing import imported
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.clock import ManualClock

REFERENCES = {
    "resource_requirements_id": "resource_requirements",
    "scheduler_id": "slurm_schedulers",
    "failure_handler_id": "failure_handlers",
    "depends_on_job_ids": "jobs",
    "job_ids": "jobs",
    "after_barrier_ids": "barriers",
    "input_file_ids": "files",
    "output_file_ids": "files",
    "input_user_data_ids": "user_data",
    "output_user_data_ids": "user_data",
}


@pytest.fixture
def store(clock: ManualClock) -> Iterator[SqlStore]:
    opened = SqlStore("sqlite://", clock)
    yield opened
    opened.close()


def of_everything() -> Any:
    jobs = (
        a_job("a", requirement=0, output_files=(0,), output_user_data=(0,), priority=3),
        a_job("b", scheduler=0, failure_handler=0, env={"A": "1"}, input_files=(0,)),
        a_job("c", 1, input_user_data=(0,), invocation_script="s.sh", stdio={"mode": "none"}),
        a_job("d", after=(0,), cancel_on_blocking_job_failure=False, supports_termination=True),
    )
    nodes = {"action_type": ActionType.SCHEDULE_NODES, "scheduler": 0, "num_allocations": 2}
    actions = [
        DraftAction(trigger_type=TriggerType.ON_JOBS_READY, jobs=(1, 2), **nodes),
        DraftAction(
            trigger_type=TriggerType.ON_WORKER_START,
            action_type=ActionType.RUN_COMMANDS,
            commands=("true", "echo done"),
            persistent=True,
        ),
    ]
    return a_draft(
        *jobs,
        workflow=Workflow(name="all", user="u", env={"B": "2"}, metadata={"k": [1, None]}),
        barriers=[(0, 1, 2)],
        files=[File(name="f", path="f"), File(name="g", path="sub/g")],
        user_data=[UserData(name="d"), UserData(name="e", data={"x": [1.5, "y", None]})],
        requirements=[a_need("big", memory="2g", runtime="PT2H")],
        schedulers=[a_scheduler("s", partition="p")],
        failure_handlers=[FailureHandler(name="h", rules=({"exit_codes": [1], "max_retries": 3},))],
        actions=actions,
        spec='{"name": "all"}',
    )


def without_ids(document: dict[str, Any]) -> dict[str, Any]:
    """Ids become places in their lists."""
    at = {
        key: {record["id"]: place for place, record in enumerate(document[key])}
        for key in (*SECTIONS, "barriers")
    }

    def plain(value: Any, key: str = "") -> Any:
        if key in REFERENCES and value is not None:
            places = at[REFERENCES[key]]
            return [places[each] for each in value] if isinstance(value, list) else places[value]
        if isinstance(value, dict):
            gone = {"id", "workflow_id", "timestamp", "exported_at"}
            return {k: plain(v, k) for k, v in value.items() if k not in gone}
        return [plain(each) for each in value] if isinstance(value, list) else value

    found: dict[str, Any] = plain(document)
    return found


def test_what_was_imported_is_exported_the_same_but_for_ids(store: SqlStore) -> None:
    store.create(a_draft("other", files=[File(name="x", path="x")]))  # so that ids differ
    first = export(store, store.create(of_everything()), 1.0)
    second = export(store, store.create(imported(json.dumps(first), "f")), 2.0)
    assert first["jobs"][0]["id"] != second["jobs"][0]["id"]
    assert without_ids(first) == without_ids(second)
    third = export(store, store.create(imported(json.dumps(second), "f", name="new")), 3.0)
    assert third["workflow"]["name"] == "new"


def test_an_import_has_not_run_and_waits_for_the_same(store: SqlStore) -> None:
    workflow_id, node = begin(store, of_everything())
    run_all(store, node)
    document = export(store, workflow_id, 1.0, include_results=True, include_events=True)
    assert document["results"]
    assert document["events"]
    new = store.create(imported(json.dumps(document), "f"))
    assert store.get(Workflow, new).run_id == 0
    jobs = store.rows(Job, workflow_id=new).items
    assert {job.status.word for job in jobs} == {"uninitialized"}
    store.initialize(new)
    was = [job.id for job in store.rows(Job, workflow_id=workflow_id).items]
    names = {job.id: job.name for job in store.rows(Job).items}
    waits = [
        {names[j]: sorted(names[o] for o in found) for j, found in store.dependencies(ids).items()}
        for ids in (was, [job.id for job in jobs])
    ]
    assert waits[0] == waits[1]


def test_groups_that_wait_for_groups_stay_groups(store: SqlStore) -> None:
    firsts = [a_job(f"a{n}") for n in range(300)]
    lasts = [a_job(f"b{n}", after=(0,)) for n in range(300)]
    draft = a_draft(*firsts, *lasts, barriers=[tuple(range(300))])
    workflow_id = store.create(draft)
    store.initialize(workflow_id)
    text = json.dumps(export(store, workflow_id, 1.0))
    assert sum(map(len, (j["depends_on_job_ids"] for j in json.loads(text)["jobs"]))) == 0
    again = imported(text, "f")
    assert again.barriers == [tuple(range(300))]
    assert again.jobs[-1].after == (0,)


GARBAGE: list[tuple[Any, str]] = [
    ("", "this is not JSON"),
    ("[1, 2", "this is not JSON"),
    ([], "this is no exported workflow"),
    ({}, "is None; this program reads '1.0'"),
    ({"export_version": "9.9"}, "is '9.9'"),
    ({"export_version": "1.0"}, "is missing, or no map"),
    ({"jobs": {}}, "must be a list"),
    ({"jobs": [1]}, "must be a map with an id"),
    ({"jobs": [{"id": True}]}, "must be a map with an id"),
    ({"jobs": [{"id": 1, "command": "x"}]}, "has no name"),
    ({"jobs": [{"id": 1, "name": "a", "command": 5}]}, "must be a text, and is 5"),
    ({"jobs": [{"id": 1, "name": "a"}]}, "has not all that a DraftJob needs"),
    ({"jobs": [{"id": 1, "name": "a", "command": "x", "priority": "high"}]}, "a whole number"),
    ({"jobs": [{"id": 1, "name": "a", "command": "x", "env": {"A": 1}}]}, "a map of texts"),
    ({"jobs": [{"id": 1, "name": "a", "command": "x", "depends_on_job_ids": [7]}]}, "names 7"),
    ({"jobs": [{"id": 1, "name": "a", "command": "x", "depends_on_job_ids": 7}]}, "list of ids"),
    ({"jobs": [{"id": 1, "name": "a", "command": "x", "depends_on_job_ids": [1]}]}, "each other"),
    ({"jobs": [{"id": n, "name": "a", "command": "x"} for n in (1, 2)]}, "another job named 'a'"),
    ({"jobs": [{"id": 1, "name": n, "command": "x"} for n in "ab"]}, "id of another one already"),
    ({"resource_requirements": [{"id": 1, "name": "r", "memory": "lots"}]}, "lots"),
    ({"workflow_actions": [{"id": 1, "trigger_type": "never"}]}, "never"),
    ({"workflow": {"name": 5}}, "must be a text"),
]


@pytest.mark.parametrize(("parts", "said"), GARBAGE)
def test_what_is_no_export_is_refused_with_the_place(parts: Any, said: str) -> None:
    if isinstance(parts, dict) and parts and "export_version" not in parts:
        parts = {"export_version": "1.0", "workflow": {"name": "w"}} | parts
    text = parts if isinstance(parts, str) else json.dumps(parts)
    with pytest.raises(SpecError) as refused:
        imported(text, "file.json")
    assert any(said in fault.message for fault in refused.value.faults), refused.value.faults
