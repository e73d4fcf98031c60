"""The same workflow written out: one entry for each copy, names instead of patterns.

The result is a workflow file again. Expanding it once more changes nothing.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import SpecError
from slurmtorc.spec.actions import ALIASES, JOB_TRIGGERS
from slurmtorc.spec.check import examine, placed
from slurmtorc.spec.draft import REGEXES
from slurmtorc.spec.faults import Faults
from slurmtorc.spec.records import head_axes, without_nulls
from slurmtorc.spec.source import collector_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from slurmtorc.model import DraftJob
    from slurmtorc.spec.check import Work
    from slurmtorc.spec.families import Group
    from slurmtorc.spec.items import Item
    from slurmtorc.spec.source import Source

_LEFT_OUT = frozenset(
    {
        "parameters", "parameter_mode", "use_parameters", "depends_on_regexes",
        *(pattern for _, pattern in REGEXES.values()),
    }
)  # fmt: skip
_FILLED = ("resource_requirements", "scheduler", "label", "input_datasets", "output_datasets")
"""Keys of jobs that parameters reach into, and that the draft does not hold as text."""
_AS_WRITTEN = frozenset({"data", "metadata"})
"""Keys whose value is the user's own; null means something there."""


def expand(source: Source) -> dict[str, Any]:
    """The expanded tree. Raises SpecError if the file has an error."""
    faults = Faults()
    with collector_off():
        work = examine(source, faults)
        if faults.errors:
            raise SpecError(source.name, placed(faults.all(), source))
        return _Expansion(work).tree()


class _Expansion:
    """Writes out one file."""

    def __init__(self, work: Work) -> None:
        self.raw = work.tree
        self.sheet = work.sheet
        self.draft = work.draft
        self.listed: dict[int, list[str]] = {}
        """The names of groups already written; groups are shared."""

    def tree(self) -> dict[str, Any]:
        """The whole file, its keys in their order."""
        special: Mapping[str, Callable[[], Iterator[dict[str, Any]]]] = {
            "jobs": self.jobs,
            "files": self.files,
            "user_data": self.user_data,
            "actions": self.actions,
        }
        found = {}
        for key, value in self.raw.items():
            if key in special and value is not None:
                found[key] = list(special[key]())
            elif key not in {"parameters", "variables"} and value is not None:
                found[key] = value if key in _AS_WRITTEN else without_nulls(value)
        if found.get("env"):
            found["env"] = next(head_axes(self.sheet).fill_all(found["env"]))
        return found

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Every job."""
        jobs = iter(self.draft.jobs)
        for item, raw in zip(self.sheet.jobs, self.raw["jobs"], strict=True):
            kept = _kept(raw)
            filled = _filled(item, {key: kept[key] for key in _FILLED if key in kept})
            for job, texts in zip(islice(jobs, item.count), filled, strict=False):
                found = kept | texts | self.job(job)
                yield {key: value for key, value in found.items() if value not in (None, [])}

    def job(self, job: DraftJob) -> dict[str, Any]:
        """What the draft knows of a job, in the words of a file."""
        return {
            "name": job.name,
            "command": job.command,
            "invocation_script": job.invocation_script,
            "env": job.env,
            "depends_on": self.waits(job),
            **{
                key: self.names(getattr(job, key), self.draft.files)
                for key in ("input_files", "output_files")
            },
            **{
                key: self.names(getattr(job, key), self.draft.user_data)
                for key in ("input_user_data", "output_user_data")
            },
        }

    def waits(self, job: DraftJob) -> list[str]:
        """The names of all jobs that a job waits for, one by one."""
        if not job.after:
            return self.names(job.depends_on, self.draft.jobs)
        groups = (self.draft.barriers[index] for index in job.after)
        numbers = sorted({*job.depends_on, *chain.from_iterable(groups)})
        return [self.draft.jobs[number].name for number in numbers]

    def names(self, group: Group, records: Sequence[Any]) -> list[str]:
        """The names of a group."""
        if len(group) == 1:
            return [records[group[0]].name]
        found = self.listed.get(id(group))
        if found is None:
            found = self.listed[id(group)] = [records[number].name for number in group]
        return found

    def files(self) -> Iterator[dict[str, Any]]:
        """Every file."""
        files = iter(self.draft.files)
        for item, raw in zip(self.sheet.files, self.raw["files"], strict=True):
            kept = _kept(raw)
            filled = _filled(item, {key: kept[key] for key in ("identifier",) if key in kept})
            for file, texts in zip(islice(files, item.count), filled, strict=False):
                yield kept | texts | {"name": file.name, "path": file.path}

    def user_data(self) -> Iterator[dict[str, Any]]:
        """All user data."""
        records = iter(self.draft.user_data)
        for item, raw in zip(self.sheet.user_data, self.raw["user_data"], strict=True):
            kept = _kept(raw)
            for record in islice(records, item.count):
                data = {} if record.data is None else {"data": record.data}
                yield kept | {"name": record.name} | data

    def actions(self) -> Iterator[dict[str, Any]]:
        """Every action, in today's words."""
        for action, raw in zip(self.draft.actions, self.raw["actions"], strict=True):
            found = {ALIASES.get(key, key): value for key, value in _kept(raw).items()}
            found.pop("job_name_regexes", None)
            found.pop("jobs", None)
            if action.trigger_type in JOB_TRIGGERS:
                found["jobs"] = self.names(action.jobs, self.draft.jobs)
            yield found


def _kept(raw: dict[str, Any]) -> dict[str, Any]:
    """An entry without nulls, parameters and patterns."""
    return {
        key: value if key in _AS_WRITTEN else without_nulls(value)
        for key, value in raw.items()
        if value is not None and key not in _LEFT_OUT
    }


def _filled(item: Item[Any], texts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    assert item.axes is not None  # the file has no error
    return item.axes.fill_all(texts)
