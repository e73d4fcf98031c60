"""A Draft becomes rows: all of them, or none.

Rows are handed to the driver as tuples; with a million jobs anything more comfortable costs ten
times as much.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, insert, update

from slurmtorc.model import DEFAULT_REQUIREMENT, ActionType, ResourceRequirements
from slurmtorc.rules.implied import implied
from slurmtorc.store import events, ids
from slurmtorc.store import schema as t
from slurmtorc.store.dialect import many_changed
from slurmtorc.store.workflows import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from slurmtorc.model import Draft, DraftAction, DraftJob
    from slurmtorc.store.dialect import Dialect

_CLASS_COLUMNS = ("id", "workflow_id", "priority", "resource_requirements_id", "scheduler_id")
_JOB_COLUMNS = (
    "id",
    "workflow_id",
    "name",
    "command",
    "invocation_script",
    "class_id",
    "failure_handler_id",
    "cancel_on_blocking_job_failure",
    "supports_termination",
    "env",
    "stdio",
)
_ACTION_COLUMNS = (
    "id",
    "workflow_id",
    "trigger_type",
    "action_type",
    "action_config",
    "required_triggers",
    "persistent",
)
_DATA_TOKEN = re.compile(r"\$\{user_data\.(?:input|output)\.([^}]+)\}")


def create(connection: Connection, dialect: Dialect, draft: Draft, now: float) -> int:
    """Write everything a draft holds; the workflow's id."""
    values = columns_of(draft.workflow) | {"timestamp": now, "run_id": 0}
    workflow_id: int = connection.execute(
        insert(t.workflow).values(**values).returning(t.workflow.c.id)
    ).scalar_one()
    if draft.spec is not None:
        connection.execute(
            insert(t.workflow_spec), {"workflow_id": workflow_id, "spec": draft.spec}
        )
    writer = _Writer(connection, dialect, draft, workflow_id)
    writer.write()
    change = update(t.workflow).where(t.workflow.c.id == workflow_id)
    known = {"linked_jobs": max(writer.jobs, default=0), "job_count": len(writer.jobs)}
    connection.execute(change.values(**known))
    data = {"name": draft.workflow.name, "jobs": len(draft.jobs)}
    events.write(connection, workflow_id, now, [("workflow_created", data)])
    return workflow_id


class _Writer:
    """One draft on its way into the tables: index -> id for everything it refers to."""

    def __init__(
        self, connection: Connection, dialect: Dialect, draft: Draft, workflow_id: int
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.draft = draft
        self.workflow_id = workflow_id
        self.written: Counter[Table] = Counter()
        self.requirements = self._records(
            t.resource_requirements,
            [ResourceRequirements(name=DEFAULT_REQUIREMENT), *draft.requirements],
        )
        self.schedulers = self._records(t.slurm_scheduler, draft.schedulers)
        self.handlers = self._records(t.failure_handler, draft.failure_handlers)
        self.files = self._records(t.file, draft.files)
        self.user_data = self._records(t.user_data, draft.user_data)
        self.jobs = ids.take(connection, "job", len(draft.jobs))
        self.implied = implied(draft)
        self.groups = [*draft.barriers, *self.implied.barriers]
        self.barriers = ids.take(connection, "barrier", len(self.groups))
        self.classes = self._classes()

    def write(self) -> None:
        """Jobs, then everything that points at jobs."""
        self._load(t.job, _JOB_COLUMNS, self._job_rows())
        for table, rows in self._links():
            self._load(table, [column.name for column in table.columns], rows)
        self._actions()
        many_changed(self.connection, self.written, dead=False)

    def _records(self, table: Table, records: Sequence[Any]) -> range:
        """Rows of records that need no translation; their ids."""
        taken = ids.take(self.connection, table.name, len(records))
        texts = {column.name for column in table.columns if isinstance(column.type, JSON)}
        own = ("id", "workflow_id")
        names = [column.name for column in table.columns if column.name not in own]
        rows = (
            (record_id, self.workflow_id, *(_cell(record, name, texts) for name in names))
            for record_id, record in zip(taken, records, strict=True)
        )
        self._load(table, (*own, *names), rows)
        return taken

    def _load(self, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        self.written[table] += self.dialect.load(self.connection, table, columns, rows)

    # jobs

    def _classes(self) -> Mapping[tuple[int, int | None, int | None], int]:
        """(priority, requirement, scheduler) of the draft's jobs -> class id."""
        keys = list(dict.fromkeys(_class_key(job) for job in self.draft.jobs))
        taken = ids.take(self.connection, "job_class", len(keys))
        rows = (
            (class_id, self.workflow_id, priority, self._need(need), _id(self.schedulers, where))
            for class_id, (priority, need, where) in zip(taken, keys, strict=True)
        )
        self._load(t.job_class, _CLASS_COLUMNS, rows)
        return dict(zip(keys, taken, strict=True))

    def _need(self, index: int | None) -> int:
        """The id of a requirement; without one, of the implicit default in front of the list."""
        return self.requirements[0 if index is None else index + 1]

    def _job_rows(self) -> Iterator[tuple[Any, ...]]:
        """In the order of _JOB_COLUMNS."""
        data_ids = {
            data.name: str(self.user_data[i]) for i, data in enumerate(self.draft.user_data)
        }
        for job_id, job in self._jobs():
            yield (
                job_id,
                self.workflow_id,
                job.name,
                _with_ids(job.command, data_ids),
                _with_ids(job.invocation_script, data_ids),
                self.classes[_class_key(job)],
                _id(self.handlers, job.failure_handler),
                job.cancel_on_blocking_job_failure,
                job.supports_termination,
                _json(job.env),
                _json(job.stdio),
            )

    def _jobs(self) -> Iterator[tuple[int, DraftJob]]:
        return zip(self.jobs, self.draft.jobs, strict=True)

    def _links(self) -> Iterator[tuple[Table, Iterable[Sequence[Any]]]]:
        jobs, files, data = self.jobs, self.files, self.user_data
        yield t.job_depends_on, ((i, jobs[d]) for i, job in self._jobs() for d in job.depends_on)
        further = self.implied.depends_on.items()
        yield t.job_depends_on, ((jobs[j], jobs[d]) for j, others in further for d in others)
        yield t.job_input_file, ((i, files[f]) for i, job in self._jobs() for f in job.input_files)
        yield (
            t.job_output_file,
            ((i, files[f]) for i, job in self._jobs() for f in job.output_files),
        )
        yield (
            t.job_input_user_data,
            ((i, data[u]) for i, job in self._jobs() for u in job.input_user_data),
        )
        yield (
            t.job_output_user_data,
            ((i, data[u]) for i, job in self._jobs() for u in job.output_user_data),
        )
        yield t.barrier, ((b, self.workflow_id, 0, False) for b in self.barriers)
        groups = zip(self.barriers, self.groups, strict=True)
        yield t.barrier_in, ((b, jobs[j]) for b, group in groups for j in group)
        yield t.barrier_out, ((self.barriers[b], i) for i, job in self._jobs() for b in job.after)
        implied = self.barriers[len(self.draft.barriers) :]
        behind = self.implied.after.items()
        yield t.barrier_out, ((implied[b], jobs[j]) for j, after in behind for b in after)

    # actions

    def _actions(self) -> None:
        taken = ids.take(self.connection, "workflow_action", len(self.draft.actions))
        pairs = list(zip(taken, self.draft.actions, strict=True))
        rows = (self._action_row(action_id, action) for action_id, action in pairs)
        self._load(t.workflow_action, _ACTION_COLUMNS, rows)
        gates = ((action_id, self.jobs[j]) for action_id, action in pairs for j in action.jobs)
        self._load(t.action_job, ("action_id", "job_id"), gates)

    def _action_row(self, action_id: int, action: DraftAction) -> tuple[Any, ...]:
        """In the order of _ACTION_COLUMNS."""
        return (
            action_id,
            self.workflow_id,
            action.trigger_type.value,
            action.action_type.value,
            _json(self._action_config(action)),
            len(action.jobs) or 1,
            action.persistent,
        )

    def _action_config(self, action: DraftAction) -> dict[str, Any]:
        """As torc stores it."""
        if action.action_type is ActionType.RUN_COMMANDS:
            return {"commands": list(action.commands)}
        config: dict[str, Any] = {
            "scheduler_type": "slurm",
            "scheduler_id": _id(self.schedulers, action.scheduler),
            "num_allocations": action.num_allocations,
            "start_one_worker_per_node": action.start_one_worker_per_node,
        }
        if action.max_parallel_jobs is not None:
            config["max_parallel_jobs"] = action.max_parallel_jobs
        return config


def _class_key(job: DraftJob) -> tuple[int, int | None, int | None]:
    return (job.priority, job.requirement, job.scheduler)


def _id(taken: range, index: int | None) -> int | None:
    return None if index is None else taken[index]


def _cell(record: Any, name: str, texts: set[str]) -> Any:
    value = getattr(record, name)
    return _json(value) if name in texts else value


def _json(value: Any) -> str | None:
    """JSON columns are loaded as text: both drivers pass it on untouched."""
    return None if value is None else json.dumps(value, ensure_ascii=False, default=dict)


def _with_ids(command: str | None, data_ids: Mapping[str, str]) -> str | None:
    """`${user_data.output.NAME}` of a record without data stands for the record's id."""
    if command is None or "${user_data." not in command:
        return command
    return _DATA_TOKEN.sub(lambda match: data_ids.get(match[1], match[0]), command)
