"""A read file -> every fault in it, or a Draft. Never raises for what a file says.

The order of the steps: variables, shape, parameters, names, references, graph. Each works with
what the one before could make of the file, so that one run shows all faults at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import Fault, SpecError
from slurmtorc.model import ActionType, Draft, Workflow
from slurmtorc.spec import records
from slurmtorc.spec.actions import ActionDrafter
from slurmtorc.spec.barriers import raise_barriers
from slurmtorc.spec.checks import check_sections
from slurmtorc.spec.copies import find_copies
from slurmtorc.spec.draft import JobDrafter
from slurmtorc.spec.draftchecks import check_datasets, check_draft
from slurmtorc.spec.families import Family, family
from slurmtorc.spec.faults import Faults
from slurmtorc.spec.items import Item, Sheet, read_sheet
from slurmtorc.spec.references import Resolver
from slurmtorc.spec.source import Source, collector_off, locate, read
from slurmtorc.spec.texts import check_texts
from slurmtorc.spec.unused import unused
from slurmtorc.spec.variables import applied

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {
    "files": "file",
    "user_data": "user data",
    "datasets": "dataset",
    "resource_requirements": "resource requirement",
    "slurm_schedulers": "scheduler",
    "failure_handlers": "failure handler",
    "jobs": "job",
}
"""What one entry of a named section is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a file holds, before and after expansion."""

    name: str
    description: str | None = None
    jobs: int = 0
    jobs_before_expansion: int = 0
    files: int = 0
    files_before_expansion: int = 0
    user_data: int = 0
    user_data_before_expansion: int = 0
    levels: int = 0
    """How many jobs the longest chain of dependencies has."""
    resource_requirements: int = 0
    slurm_schedulers: int = 0
    failure_handlers: int = 0
    actions: int = 0
    has_schedule_nodes_action: bool = False


@dataclass(slots=True)
class Checked:
    """What came of a check."""

    faults: list[Fault]
    """Errors and warnings, in file order where lines are known."""
    draft: Draft | None
    """None if there is any error."""
    unused: list[str]
    """Paths of keys that are accepted, but on which nothing acts yet."""
    summary: Summary | None
    """None if there is any error."""


@dataclass(slots=True)
class Work:
    """Everything known of a file while it is checked."""

    tree: dict[str, Any]
    """With its variables put in."""
    sheet: Sheet
    draft: Draft
    levels: int


def load(path: str) -> Draft:
    """Read and check a file, or standard input for '-'. Raises SpecError with all faults."""
    source = read(path)
    checked = check(source)
    if checked.draft is None:
        raise SpecError(source.name, checked.faults)
    return checked.draft


def check(source: Source) -> Checked:
    """Every fault of a file, and its Draft if none is an error."""
    faults = Faults()
    with collector_off():
        work = examine(source, faults)
        draft = None if faults.errors else work.draft
        if draft is not None:
            draft.workflow = records.workflow(work.sheet, work.tree)
            draft.spec = json.dumps(source.tree, separators=(",", ":"), ensure_ascii=False)
        summary = None if draft is None else _summary(draft, work)
        return Checked(placed(faults.all(), source), draft, unused(work.tree), summary)


def examine(source: Source, faults: Faults) -> Work:
    """Do all steps. The draft has holes where something was wrong, and no workflow yet."""
    tree = applied(source.tree, faults)
    sheet = read_sheet(tree, faults, _spelling(source.format))
    find_copies(sheet, faults)
    check_sections(sheet, faults)
    head = Item((), sheet.head, frozenset(sheet.unread), axes=records.head_axes(sheet))
    texts: list[Item[Any]] = [head, *sheet.jobs, *sheet.files, *sheet.user_data]
    lost = check_texts(texts, sheet.head.parameters or {}, faults)
    families = {
        key: family(word, getattr(sheet, key), faults, unread=key in sheet.unread)
        for key, word in _WORDS.items()
    }
    resolver = Resolver(faults, lost)
    draft = _drafted(sheet, families, resolver, faults)
    check_datasets(sheet, families, resolver)
    resolver.report()
    levels = check_draft(draft, sheet, families, faults)
    return Work(tree, sheet, draft, levels)


def placed(found: list[Fault], source: Source) -> list[Fault]:
    """The faults with their places, in file order; those without a place come last."""
    places = locate(source, {fault.path for fault in found if fault.path})
    for index, fault in enumerate(found):
        if fault.path in places:
            line, column = places[fault.path]
            found[index] = replace(fault, line=line, column=column)
    return sorted(found, key=lambda fault: (fault.line is None, fault.line or 0, fault.column or 0))


def _spelling(form: str) -> Mapping[str, str]:
    if form != "kdl":
        return {}
    from slurmtorc.spec.kdlwords import SPELLING  # noqa: PLC0415  only for KDL

    return SPELLING


def _drafted(
    sheet: Sheet, families: Mapping[str, Family], resolver: Resolver, faults: Faults
) -> Draft:
    draft = Draft(workflow=Workflow(name=sheet.head.name))
    draft.files = list(records.files(sheet.files, families["files"], faults))
    draft.user_data = list(records.user_data(sheet.user_data, families["user_data"]))
    draft.requirements = [records.requirement(item.shape) for item in sheet.resource_requirements]
    draft.schedulers = [records.scheduler(item.shape) for item in sheet.slurm_schedulers]
    draft.failure_handlers = [records.handler(item.shape) for item in sheet.failure_handlers]
    drafter = JobDrafter(draft, families, resolver)
    for item, first in zip(sheet.jobs, families["jobs"].firsts, strict=True):
        draft.jobs.extend(drafter.drafted(item, first))
    draft.barriers = raise_barriers(draft.jobs, drafter.groups)
    draft.actions = list(ActionDrafter(families, resolver, faults).drafted(sheet.actions))
    return draft


def _summary(draft: Draft, work: Work) -> Summary:
    sheet = work.sheet
    return Summary(
        name=draft.workflow.name,
        description=draft.workflow.description,
        jobs=len(draft.jobs),
        jobs_before_expansion=len(sheet.jobs),
        files=len(draft.files),
        files_before_expansion=len(sheet.files),
        user_data=len(draft.user_data),
        user_data_before_expansion=len(sheet.user_data),
        levels=work.levels,
        resource_requirements=len(draft.requirements),
        slurm_schedulers=len(draft.schedulers),
        failure_handlers=len(draft.failure_handlers),
        actions=len(draft.actions),
        has_schedule_nodes_action=any(
            action.action_type is ActionType.SCHEDULE_NODES for action in draft.actions
        ),
    )
