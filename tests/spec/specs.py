"""Helpers for the tests of workflow files."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from slurmtorc import spec
from slurmtorc.cli.faults import path_text

if TYPE_CHECKING:
    from slurmtorc.errors import Fault
    from slurmtorc.model import Draft


def source(tree: dict[str, Any]) -> spec.Source:
    """A file that holds this tree."""
    return spec.Source("workflow.json", "json", json.dumps(tree, indent=1), tree)


def check(tree: dict[str, Any]) -> spec.Checked:
    """The check of a tree; a name and an empty list of jobs are added where they are missing."""
    return spec.check(source({"name": "w", "jobs": [], **tree}))


def draft(tree: dict[str, Any]) -> Draft:
    """The draft of a tree without errors."""
    checked = check(tree)
    assert checked.draft is not None, texts(checked)
    return checked.draft


def texts(checked: spec.Checked) -> list[str]:
    """The faults as 'path: message; hint', warnings marked."""
    return [text(fault) for fault in checked.faults]


def text(fault: Fault) -> str:
    mark = "warning: " if fault.warning else ""
    hint = f"; {fault.hint}" if fault.hint else ""
    return f"{mark}{path_text(fault.path)}: {fault.message}{hint}"


def job(name: str = "a", command: str = "true", **keys: Any) -> dict[str, Any]:
    return {"name": name, "command": command, **keys}


def only_error(tree: dict[str, Any]) -> Fault:
    """The one error of a tree; there may be warnings."""
    errors = [fault for fault in check(tree).faults if not fault.warning]
    assert len(errors) == 1, [text(fault) for fault in errors]
    return errors[0]


def waits(found: Draft) -> dict[str, set[str]]:
    """Of each job, the names of all jobs it waits for by name or by barrier."""
    names = [job.name for job in found.jobs]
    return {
        job.name: {
            names[number]
            for group in (job.depends_on, *(found.barriers[index] for index in job.after))
            for number in group
        }
        for job in found.jobs
    }


def write(path: Any, content: str) -> str:
    """Write a file; its name."""
    path.write_text(dedent(content), encoding="utf-8")
    return str(path)
