"""Known trouble in a workflow's log files: which files are read, whose they are, how it is shown.

Shared by `torc slurm parse-logs` and `torc logs analyze`. What is trouble, and what helps, is in
slurm/logs.py. Files are read only; one that cannot be read is named, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.bundles.places import Packed, packed_below
from slurmtorc.cli.reading import every
from slurmtorc.errors import Conflict, NotFound, TorcError
from slurmtorc.model import Allocation, ComputeNode, Job, JobStatus, Result
from slurmtorc.ports import Page
from slurmtorc.rules.wording import counted
from slurmtorc.slurm import logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slurmtorc.cli.context import State
    from slurmtorc.ports import Store

Log = Path | Packed
"""A log file, or one that has been packed."""
SHOWN = 5
"""Places of one kind of trouble, and jobs of one allocation, that are named."""
SUFFIXES = frozenset({".o", ".e", ".log", ".out", ".err"})
PASSED_OVER = "slurm_env_"
"""Files of variables: their names would be taken for errors."""
FAILED = [JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who a log belongs to, as far as its name and the store tell."""

    source: logs.Source | None
    allocation_id: int | None = None
    job_name: str | None = None
    failed_jobs: tuple[str, ...] = ()
    """Of an allocation: jobs that did not succeed in it."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One kind of trouble in one file."""

    file: Log
    finding: logs.Finding
    owner: Owner


@dataclass(slots=True)
class Scan:
    """What reading some files has come to."""

    files: int = 0
    issues: list[Issue] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def count(self, *, warning: bool) -> int:
        """How many lines are warnings, or errors."""
        kind = (one.finding for one in self.issues if one.finding.trouble.warning is warning)
        return sum(finding.count for finding in kind)


# ── which files ──────────────────────────────────────────────────────────────


def files_below(path: Path, workflow_id: int | None = None) -> list[Log]:
    """The logs in a directory and below it, packed ones too, or the one file; or of a workflow."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotFound(f"there is no file or directory {path}")
    found = (one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
    files = sorted(one for one in found if _wanted(one.name, workflow_id))
    packed = packed_below(path, workflow_id)
    return [*files, *(one for one in packed if _wanted(one.name, workflow_id))]


def _wanted(name: str, workflow_id: int | None) -> bool:
    if name.startswith(PASSED_OVER):
        return False
    source = logs.source(name)
    return workflow_id is None or (source is not None and source.workflow_id == workflow_id)


def directories_of(store: Store, workflow_id: int) -> list[Path]:
    """Where the workers of a workflow and their allocations have written."""
    store.progress(workflow_id)  # an unknown workflow is an error, not an empty report
    found = {one.output_dir for one in every(store, Allocation, workflow_id=workflow_id)}
    found |= {one.output_dir for one in every(store, ComputeNode, workflow_id=workflow_id)}
    return sorted(Path(one) for one in found if one)


# ── reading ──────────────────────────────────────────────────────────────────


def read(files: Iterable[Log], owners: Owners, *, errors_only: bool = False) -> Scan:
    """Look through all of these files."""
    scan = Scan()
    for file in files:
        try:
            with file.open(encoding="utf-8", errors="replace") as lines:
                found = logs.scan(lines)
        except OSError as error:
            scan.unread.append(f"{file} cannot be read: {error.strerror}")
            continue
        except Conflict as error:  # a damaged bundle
            scan.unread.append(str(error))
            continue
        scan.files += 1
        kept = [one for one in found if not (errors_only and one.trouble.warning)]
        scan.issues += [Issue(file, one, owners.of(file.name)) for one in kept]
    return scan


class Owners:
    """Whose a log is, by the name of the file, and by the store where there is one."""

    def __init__(self, store: Store | None = None, workflow_id: int | None = None) -> None:
        self._store = store
        self._workflow_id = workflow_id
        self._known: dict[str, Owner] = {}

    @classmethod
    def known_to(cls, state: State, workflow_id: int | None) -> Owners:
        """With the store's knowledge of a workflow, if there is a store and it knows it."""
        if workflow_id is None:
            return cls()
        try:
            state.store.progress(workflow_id)
        except TorcError:
            return cls()
        return cls(state.store, workflow_id)

    def of(self, name: str) -> Owner:
        """The owner of a file."""
        if name not in self._known:
            self._known[name] = self._found(logs.source(name))
        return self._known[name]

    def _found(self, source: logs.Source | None) -> Owner:
        store = self._store
        if store is None or source is None or source.workflow_id != self._workflow_id:
            return Owner(source=source)
        if source.slurm_job_id is not None:
            return _of_allocation(store, source, source.slurm_job_id)
        if source.job_id is not None:
            return _of_job(store, source, source.job_id)
        return Owner(source=source)


def _of_allocation(store: Store, source: logs.Source, slurm_job_id: int) -> Owner:
    found = store.rows(
        Allocation, Page(limit=1), workflow_id=source.workflow_id, scheduler_id=slurm_job_id
    ).items
    if not found:
        return Owner(source=source)
    workers = [one.id for one in store.rows(ComputeNode, allocation_id=found[0].id).items]
    page = Page(limit=SHOWN + 1)
    failed = store.rows(Result, page, compute_node_id=workers, status=FAILED).items
    names = tuple(dict.fromkeys(one.job_name for one in failed))
    return Owner(source=source, allocation_id=found[0].id, failed_jobs=names)


def _of_job(store: Store, source: logs.Source, job_id: int) -> Owner:
    page = Page(limit=1)
    job = store.rows(Job, page, workflow_id=source.workflow_id, id=job_id).items
    if not job:
        return Owner(source=source)
    attempt = {"run_id": source.run_id, "attempt_id": source.attempt_id}
    result = store.rows(Result, page, job_id=job_id, **attempt).items
    node_id = result[0].compute_node_id if result else None
    allocation = store.get(ComputeNode, node_id).allocation_id if node_id else None
    return Owner(source=source, job_name=job[0].name, allocation_id=allocation)


# ── showing ──────────────────────────────────────────────────────────────────


def report(scan: Scan, **head: Any) -> dict[str, Any]:
    """The scan for programs; `head` comes first."""
    return {
        **head,
        "files_scanned": scan.files,
        "total_issues": sum(issue.finding.count for issue in scan.issues),
        "errors": scan.count(warning=False),
        "warnings": scan.count(warning=True),
        "issues": [_record(issue) for issue in scan.issues],
        "unread": scan.unread,
    }


def _record(issue: Issue) -> dict[str, Any]:
    finding, owner = issue.finding, issue.owner
    source = owner.source
    return {
        "file": str(issue.file),
        "line_number": finding.line,
        "line": finding.text,
        "count": finding.count,
        "category": finding.trouble.category,
        "severity": "warning" if finding.trouble.warning else "error",
        "meaning": finding.trouble.meaning,
        "remedy": finding.trouble.remedy,
        "workflow_id": source.workflow_id if source else None,
        "slurm_job_id": source.slurm_job_id if source else None,
        "allocation_id": owner.allocation_id,
        "job_id": source.job_id if source else None,
        "job_name": owner.job_name,
        "run_id": source.run_id if source else None,
        "attempt_id": source.attempt_id if source else None,
        "failed_jobs": list(owner.failed_jobs),
    }


def show(scan: Scan) -> None:
    """The scan for people: a paragraph for each kind of trouble, errors first."""
    for text in _lines(scan):
        click.echo(text)
    for text in scan.unread:
        click.echo(f"torc: warning: {text}", err=True)


def _lines(scan: Scan) -> Iterator[str]:
    order = {id(trouble): place for place, trouble in enumerate(logs.TROUBLES)}

    def rank(issue: Issue) -> tuple[bool, int]:
        return issue.finding.trouble.warning, order[id(issue.finding.trouble)]

    for _, group in groupby(sorted(scan.issues, key=rank), key=rank):
        yield from _paragraph(list(group))
    errors, warnings = scan.count(warning=False), scan.count(warning=True)
    files = counted(scan.files, "file")
    yield f"{files} read: {errors} lines with errors, {warnings} with warnings"


def _paragraph(issues: list[Issue]) -> Iterator[str]:
    trouble = issues[0].finding.trouble
    lines = sum(issue.finding.count for issue in issues)
    kind = "warning" if trouble.warning else "error"
    yield f"{trouble.category} ({kind}): {counted(lines, 'line')} in {counted(len(issues), 'file')}"
    yield f"  means: {trouble.meaning}"
    yield f"  helps: {trouble.remedy}"
    for issue in issues[:SHOWN]:
        yield f"  {issue.file}:{issue.finding.line}{_whose(issue.owner)}"
        yield f"  | {issue.finding.text}"
    if len(issues) > SHOWN:
        yield f"  … and {len(issues) - SHOWN} more files (-f json lists all)"
    yield ""


def _whose(owner: Owner) -> str:
    parts = []
    if owner.job_name is not None and owner.source is not None:
        parts.append(f"job {owner.job_name}, attempt {owner.source.attempt_id}")
    if owner.allocation_id is not None:
        parts.append(f"allocation {owner.allocation_id}")
    if owner.failed_jobs:
        more = " …" if len(owner.failed_jobs) > SHOWN else ""
        parts.append(f"failed in it: {', '.join(owner.failed_jobs[:SHOWN])}{more}")
    return f"  ({'; '.join(parts)})" if parts else ""
