"""A file of jobs to be spawned -> the jobs, with their parameters multiplied.

Separate from the check of a workflow file: what these jobs name is in a store and not in the
file, so only the shape can be seen here. Nothing is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from slurmtorc.errors import InvalidValue, SpecError
from slurmtorc.model import SpawnJob
from slurmtorc.spec.check import placed
from slurmtorc.spec.complaints import complain
from slurmtorc.spec.faults import Faults
from slurmtorc.spec.fields import Count, Line, Names, Parameters, Shape
from slurmtorc.spec.parameters import axes, values
from slurmtorc.spec.source import read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from slurmtorc.spec.faults import Path


class SpawnJobShape(Shape):
    """One job to be spawned, or a family of them made by parameters."""

    name: Line
    """Unique in the workflow."""
    command: str
    """What to run."""
    invocation_script: str | None = None
    """Put in front of the command."""
    env: dict[str, str] | None = None
    """Environment of this job."""
    resource_requirements: Line | None = None
    """Name of a requirement of the workflow."""
    failure_handler: Line | None = None
    """Name of a failure handler of the workflow."""
    scheduler: Line | None = None
    """Name of a scheduler of the workflow."""
    priority: Count = 0
    """Jobs with a higher priority start first."""
    cancel_on_blocking_job_failure: bool = True
    """Cancel this job when a job it waits for fails."""
    depends_on: Names | None = None
    """Jobs of the workflow, or of this file."""
    parameters: Parameters | None = None
    """Name -> values."""
    parameter_mode: Literal["product", "zip"] | None = None
    """'product' (default) or 'zip'."""


class SpawnShape(Shape):
    """A file of jobs to be spawned."""

    jobs: list[SpawnJobShape] = Field(default_factory=list)
    """The jobs; none if the lineage has converged."""
    lineage: Line | None = None
    """The chain of jobs that spawn one another."""
    state: Any = None
    """Any value, kept for the next generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one file asks for."""

    jobs: list[SpawnJob]
    lineage: str | None = None
    state: Any = None


def load_batch(path: str) -> Batch:
    """Read a file, or standard input for '-'. Raises SpecError with all faults."""
    source = read(path)
    faults = Faults()
    try:
        shape = SpawnShape.model_validate(source.tree)
        jobs = [job for index, one in enumerate(shape.jobs) for job in _copies(one, index, faults)]
    except ValidationError as error:
        complain(faults, (), error, _allowed)
    if faults.errors:
        raise SpecError(source.name, placed(faults.all(), source))
    return Batch(jobs=jobs, lineage=shape.lineage, state=shape.state)


def _allowed(inside: Path) -> Collection[str]:
    return (SpawnJobShape if "jobs" in inside else SpawnShape).model_fields


def _copies(shape: SpawnJobShape, index: int, faults: Faults) -> Iterator[SpawnJob]:
    """Every copy of one entry."""
    raw = shape.model_dump(exclude_none=True, exclude={"parameters", "parameter_mode"})
    try:
        found = {name: values(value) for name, value in (shape.parameters or {}).items()}
        copies = axes(found, zipped=shape.parameter_mode == "zip")
    except InvalidValue as error:
        faults.error(("jobs", index, "parameters"), error.problem, error.allowed)
        return
    texts = {key: value for key, value in raw.items() if isinstance(value, str | list | dict)}
    for filled in copies.fill_all(texts):
        yield SpawnJob(**raw | filled)
