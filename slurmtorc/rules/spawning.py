"""Jobs that add jobs: lineages, generations, and what may be spawned.

A lineage is a chain of jobs that spawn one another; each successful call is one generation of
it. What a lineage has come to is kept as user data, under names that torc's clients parse too:
they are made and read here and nowhere else.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue
from slurmtorc.rules.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slurmtorc.model import SpawnJob

LINEAGE = "TORC_ORCHESTRATOR_LINEAGE_ID"
"""The variable by which a spawned job knows its lineage."""
GENERATION = "TORC_ORCHESTRATOR_GENERATION"
"""The variable by which it knows its generation; the same in every attempt and every run."""
MAX_ITERATIONS = 1000
"""Generations of one lineage, unless the workflow says otherwise."""

_PREFIX = "__torc_lineage__"
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_STORABLE = re.compile("[^\x00\ud800-\udfff]*")

# ── lineages ─────────────────────────────────────────────────────────────────


def lineage_of(name: str, env: Mapping[str, str] | None) -> str:
    """The lineage of a job: the one it was spawned in, or one that begins with it."""
    return (env or {}).get(LINEAGE) or name


def record_name(lineage: str, generation: int) -> str:
    """The user data that holds the state of one generation."""
    return f"{records_of(lineage)}g{generation:06d}"


def final_name(lineage: str) -> str:
    """The user data that holds what a lineage has converged to."""
    return f"{records_of(lineage)}final"


def records_of(lineage: str) -> str:
    """What the names of all of a lineage's user data begin with."""
    return f"{_PREFIX}{lineage}__"


def last_generation(lineage: str, names: Iterable[str]) -> int:
    """The last generation that any of these names is the record of; 0 for none."""
    record = re.compile(re.escape(records_of(lineage)) + r"g(\d+)", re.ASCII)
    found = (record.fullmatch(name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)


def generation_of(env: Mapping[str, str] | None) -> int:
    """The generation of a job by its environment; 0 for one that was not spawned."""
    written = (env or {}).get(GENERATION, "")
    return int(written) if re.fullmatch(r"\d{1,9}", written, re.ASCII) else 0


def marked(env: Mapping[str, str] | None, lineage: str, generation: int) -> dict[str, str]:
    """The environment of a spawned job."""
    return {**(env or {}), LINEAGE: lineage, GENERATION: str(generation)}


def state_record(generation: int, count: int, state: Any, *, final: bool) -> dict[str, Any]:
    """What the user data of a generation holds."""
    record = {"generation": generation, "spawn_count": count, "state": state}
    return record | {"final": True} if final else record


# ── what may be spawned ──────────────────────────────────────────────────────


def refuse_faulty(lineage: str | None, jobs: Sequence[SpawnJob], state: Any) -> None:
    """Raise InvalidValue for the first thing that no store could make a job or a record of."""
    if lineage is not None and not _is_line(lineage):
        allowed = "write a name on one line"
        raise InvalidValue(f"the lineage {lineage!r} is no name", allowed=allowed)
    for job in jobs:
        _refuse_job(job)
    _refuse_doubles(jobs)
    _refuse_cycle(jobs)
    try:
        written = json.dumps(state, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        allowed = "use maps with text as keys, lists, text, finite numbers, true, false and null"
        raise InvalidValue(f"the state is no JSON: {error}", allowed=allowed) from None
    if not _STORABLE.fullmatch(written):
        raise InvalidValue("the state holds text that is not Unicode", allowed="leave it out")


def _refuse_job(job: SpawnJob) -> None:
    if not _is_line(job.name):
        raise InvalidValue(
            f"{job.name!r} is no name for a job", allowed="write text on one line, not empty"
        )
    where = f"job {job.name!r}"
    if not isinstance(job.command, str) or not job.command.strip():
        raise InvalidValue(f"{where}: its command is empty", allowed="write what it is to run")
    if isinstance(job.priority, bool) or not isinstance(job.priority, int) or job.priority < 0:
        raise InvalidValue(
            f"{where}: its priority is {job.priority!r}", allowed="write a whole number, 0 or more"
        )
    if isinstance(job.depends_on, str):
        allowed = f"write [{job.depends_on!r}]"
        raise InvalidValue(f"{where}: depends_on is a text, not a list", allowed=allowed)
    for text in _texts(job):
        if not isinstance(text, str) or not _STORABLE.fullmatch(text):
            raise InvalidValue(f"{where}: {text!r} cannot be stored", allowed="write plain text")


def _texts(job: SpawnJob) -> Iterable[Any]:
    yield job.command
    yield job.invocation_script or ""
    yield from job.depends_on
    for name, value in (job.env or {}).items():
        yield name
        yield value


def _is_line(text: object) -> bool:
    return isinstance(text, str) and bool(_LINE.fullmatch(text)) and bool(text.strip())


def _refuse_doubles(jobs: Sequence[SpawnJob]) -> None:
    seen: set[str] = set()
    for job in jobs:
        if job.name in seen:
            raise InvalidValue(
                f"two of the jobs are called {job.name!r}", allowed="give each a name of its own"
            )
        seen.add(job.name)


def _refuse_cycle(jobs: Sequence[SpawnJob]) -> None:
    numbers = {job.name: number for number, job in enumerate(jobs)}
    waits = [[numbers[name] for name in job.depends_on if name in numbers] for job in jobs]
    circle = Graph(len(jobs), list(waits)).cycle()
    if circle:
        path = " -> ".join(jobs[number].name for number in circle)
        raise InvalidValue(
            f"the jobs wait for one another: {path}", allowed="take one of these out of depends_on"
        )
