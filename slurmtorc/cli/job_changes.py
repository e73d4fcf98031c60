"""`torc jobs reset-status`, `disable`, `enable`, `update`, `delete`: people change jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.asking import DRY_RUN, NO_PROMPTS, agreed, perhaps
from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.reading import every
from slurmtorc.cli.render import emit_json, emit_table, note, plain
from slurmtorc.errors import Conflict, NotFound, UsageError
from slurmtorc.model import JobStatus
from slurmtorc.rules.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slurmtorc.model import Job
    from slurmtorc.ports import Store

_IDS = click.argument("job_ids", metavar="JOB_ID...", type=ID, nargs=-1, required=True)


def named(store: Store, job_ids: Iterable[int]) -> tuple[int, list[Job]]:
    """The workflow these jobs are of, and the jobs."""
    from slurmtorc.model import Job

    jobs = [store.get(Job, job_id) for job_id in dict.fromkeys(job_ids)]
    workflows = sorted({job.workflow_id for job in jobs})
    if len(workflows) > 1:
        listed = ", ".join(map(str, workflows))
        raise UsageError(f"these jobs are of several workflows ({listed}); name those of one")
    return workflows[0], jobs


# ── reset ────────────────────────────────────────────────────────────────────


@click.command("reset-status", cls=TorcCommand)
@click.argument("job_ids", metavar="[JOB_ID]...", type=ID, nargs=-1)
@click.option("-s", "--status", "statuses", metavar="A,B", help="All jobs with these statuses.")
@click.option("--return-code", type=int, help="All jobs whose last attempt ended with it.")
@click.option("-w", "--workflow-id", type=ID, help="Of this workflow, for --status and others.")
@click.option("-r", "--reinit", "reinitialize", is_flag=True, help="Begin a new run at once.")
@click.option(
    "--force",
    is_flag=True,
    help="Although workers are at work on other jobs; with --reinit idle ones are sent away.",
)
@DRY_RUN
@NO_PROMPTS
@pass_state
def reset_jobs(
    state: State,
    job_ids: tuple[int, ...],
    statuses: str | None,
    return_code: int | None,
    workflow_id: int | None,
    reinitialize: bool,
    force: bool,
    dry_run: bool,
    no_prompts: bool,
) -> int:
    """Let chosen jobs begin anew with the next run.

    Name them by id, or by --status or --return-code with --workflow-id. What comes behind them runs
    again too once that run begins: by --reinit at once, else by `torc workflows reinit`. A job that
    is pending or running is never reset.

    Example: torc jobs reset-status 42 43 --reinit
    """
    from slurmtorc.cli.resets import carry_out_reset

    if sum((bool(job_ids), statuses is not None, return_code is not None)) != 1:
        raise UsageError("name the jobs by ids, by --status or by --return-code: one of these")
    if job_ids and workflow_id is None:
        workflow_id, jobs = named(state.store, job_ids)
    elif workflow_id is None:
        raise UsageError("--status and --return-code need --workflow-id")
    elif job_ids:
        jobs = _of_workflow(state.store, workflow_id, job_ids)
    else:
        jobs = _matching(state.store, workflow_id, statuses, return_code)
    if not jobs:
        raise NotFound(f"no job of workflow {workflow_id} is chosen; see torc jobs list")
    return carry_out_reset(
        state,
        workflow_id,
        jobs,
        reinitialize=reinitialize,
        force=force,
        dry_run=dry_run,
        no_prompts=no_prompts,
    )


def _of_workflow(store: Store, workflow_id: int, job_ids: Sequence[int]) -> list[Job]:
    whose, jobs = named(store, job_ids)
    if whose != workflow_id:
        raise NotFound(f"job {jobs[0].id} is of workflow {whose}, not of {workflow_id}")
    return jobs


def _matching(
    store: Store, workflow_id: int, statuses: str | None, return_code: int | None
) -> list[Job]:
    from slurmtorc.model import Job, Result

    store.progress(workflow_id)  # an unknown workflow is an error, not an empty list
    if statuses is not None:
        wanted = [_status(word.strip()) for word in statuses.split(",")]
        return list(every(store, Job, workflow_id=workflow_id, status=wanted))
    last: dict[int, int] = {}
    for result in every(store, Result, workflow_id=workflow_id, superseded=False):
        last[result.job_id] = result.return_code
    ids = {job_id for job_id, code in last.items() if code == return_code}
    return [job for job in every(store, Job, workflow_id=workflow_id) if job.id in ids]


def _status(word: str) -> JobStatus:
    known = {status.word: status for status in JobStatus}
    if word not in known:
        raise UsageError(f"--status: {word!r} is no status; write some of {', '.join(known)}")
    return known[word]


# ── left out ─────────────────────────────────────────────────────────────────


@click.command("disable", cls=TorcCommand)
@_IDS
@click.option("--dependents", is_flag=True, help="And all jobs that wait for them.")
@DRY_RUN
@NO_PROMPTS
@pass_state
def disable(
    state: State, job_ids: tuple[int, ...], dependents: bool, dry_run: bool, no_prompts: bool
) -> None:
    """Leave jobs out of this run and of later ones.

    What waits for them stays blocked, and you are told which jobs; --dependents leaves these out as
    well. Actions do not wait for them. Refused for jobs that run, or have completed.

    Example: torc jobs disable 42 --dry-run
    """
    store = state.store
    workflow_id, jobs = named(store, job_ids)
    ids = [job.id for job in jobs]
    if dependents:
        ids += _behind(store, workflow_id, ids)
    if not dry_run and not agreed(
        state, f"Leave out {counted(len(ids), 'job')}?", no_prompts=no_prompts
    ):
        return
    with perhaps(store, dry_run=dry_run):
        moved = store.disable(workflow_id, ids)
        blocked = _blocked(store, workflow_id)
    _report(state, workflow_id, "disabled", moved, dry_run=dry_run, blocked=blocked)


def _behind(store: Store, workflow_id: int, job_ids: Sequence[int]) -> list[int]:
    """All that waits for these jobs, and for those, that can be left out."""
    from slurmtorc.rules.chains import behind

    standing = store.standing(workflow_id)
    kept = {JobStatus.COMPLETED, JobStatus.DISABLED}
    found = behind(store.links(workflow_id).waits_for, job_ids).difference(job_ids)
    return sorted(job_id for job_id in found if standing[job_id].status not in kept)


def _blocked(store: Store, workflow_id: int) -> list[dict[str, Any]]:
    """The jobs that wait for one that is left out."""
    from slurmtorc.rules.staleness import Facts, held_back

    jobs = store.standing(workflow_id)
    waiting = [at for at, job in jobs.items() if job.status is JobStatus.UNINITIALIZED]
    held = held_back(Facts(jobs=jobs, links=store.links(workflow_id)), waiting)
    return [
        {"id": job_id, "name": jobs[job_id].name, "disabled_job_id": culprit}
        for job_id, culprit in held.items()
    ]


@click.command("enable", cls=TorcCommand)
@_IDS
@DRY_RUN
@NO_PROMPTS
@pass_state
def enable(state: State, job_ids: tuple[int, ...], dry_run: bool, no_prompts: bool) -> None:
    """Let disabled jobs run again, with the next run.

    Begin it with `torc run ID` or `torc workflows reinit ID`.

    Example: torc jobs enable 42
    """
    store = state.store
    workflow_id, jobs = named(store, job_ids)
    if not dry_run and not agreed(
        state, f"Enable {counted(len(jobs), 'job')}?", no_prompts=no_prompts
    ):
        return
    with perhaps(store, dry_run=dry_run):
        moved = store.enable(workflow_id, [job.id for job in jobs])
        blocked = _blocked(store, workflow_id)
    _report(state, workflow_id, "enabled", moved, dry_run=dry_run, blocked=blocked)


@click.command("delete", cls=TorcCommand)
@_IDS
@DRY_RUN
@NO_PROMPTS
@pass_state
def delete(state: State, job_ids: tuple[int, ...], dry_run: bool, no_prompts: bool) -> None:
    """Delete jobs with their results; what waits for them waits no more. Files stay.

    Example: torc jobs delete 42 --dry-run
    """
    store = state.store
    workflow_id, jobs = named(store, job_ids)
    ids = [job.id for job in jobs]
    question = f"Delete {counted(len(ids), 'job')} of workflow {workflow_id} with their results?"
    if not dry_run and not agreed(state, question, no_prompts=no_prompts):
        return
    with perhaps(store, dry_run=dry_run):
        store.delete_jobs(workflow_id, ids)
    _report(state, workflow_id, "deleted", ids, dry_run=dry_run, blocked=())


def _report(
    state: State,
    workflow_id: int,
    verb: str,
    moved: Sequence[int],
    *,
    dry_run: bool,
    blocked: Sequence[dict[str, Any]],
) -> None:
    if state.as_json:
        told = {"workflow_id": workflow_id, "status": "success", "dry_run": dry_run}
        emit_json(told | {"job_ids": list(moved), "change": verb, "stays_blocked": list(blocked)})
        return
    would = "would be " if dry_run else ""
    listed = f": {', '.join(map(str, moved))}" if moved else ""
    click.echo(f"Workflow {workflow_id}: {counted(len(moved), 'job')} {would}{verb}{listed}")
    for job in blocked:
        note(f"job {job['id']} ({job['name']}) stays blocked behind job {job['disabled_job_id']}")


# ── update ───────────────────────────────────────────────────────────────────


@click.command("update", cls=TorcCommand)
@click.argument("job_id", type=ID)
@click.option("-n", "--name", help="Another name.")
@click.option("-c", "--command", help="Another command.")
@click.option("--invocation-script", metavar="PATH", help="Another script; '' for none.")
@click.option(
    "-e", "--env", metavar="NAME=VALUE", multiple=True, help="Set one variable; repeatable."
)
@click.option("--unset", metavar="NAME", multiple=True, help="Unset one variable; repeatable.")
@click.option("--depends-on", metavar="IDS", help="All jobs to wait for: 41,42; '' for none.")
@click.option("--priority", type=click.IntRange(min=0), help="Another priority.")
@click.option("--resource-requirements-id", type=ID, help="Other requirements.")
@click.option("--scheduler-id", type=ID, help="Another scheduler.")
@DRY_RUN
@NO_PROMPTS
@pass_state
def update(
    state: State,
    /,
    job_id: int,
    env: tuple[str, ...],
    unset: tuple[str, ...],
    depends_on: str | None,
    dry_run: bool,
    no_prompts: bool,
    **given: Any,
) -> None:
    """Change a job that no worker holds.

    If it has run, another command, script, environment or dependency makes it run again with the
    next `torc workflows reinit`.

    Example: torc jobs update 42 --command "python train.py --epochs 20"
    """
    from slurmtorc.model import Job, JobChange

    store = state.store
    before = store.get(Job, job_id)
    variables = _variables(before, env, unset) if env or unset else None
    waits_for = None if depends_on is None else _ids(depends_on)
    change = JobChange(env=variables, depends_on=waits_for, **given)
    if not change.given:
        raise UsageError("nothing to change; see torc jobs update --help")
    question = f"Change {_and(change.given)} of job {job_id} ({before.name})?"
    if not dry_run and not agreed(state, question, no_prompts=no_prompts):
        return
    old = store.dependencies([job_id])[job_id]
    with perhaps(store, dry_run=dry_run):
        after = store.update_job(job_id, change)
        new = store.dependencies([job_id])[job_id]
    rows = [*_differences(before, after), *([("depends_on", old, new)] if old != new else [])]
    if state.as_json:
        emit_json(plain(after) | {"depends_on_job_ids": new, "dry_run": dry_run})
        return
    title = f"Job {job_id} ({before.name}) {'would change' if dry_run else 'has changed'}"
    columns = ("Field", "Was", "Is")
    emit_table(title, columns, rows, empty=f"Job {job_id} is so already.")
    if set(after.changes or ()) - set(before.changes or ()):
        note(f"It runs again with: torc workflows reinit {after.workflow_id}")


def _and(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


_QUIET = frozenset({"changed_at", "changes"})


def _differences(before: Job, after: Job) -> list[tuple[str, Any, Any]]:
    was, now = plain(before), plain(after)
    return [
        (name, was[name], now[name])
        for name in was
        if was[name] != now[name] and name not in _QUIET
    ]


def _variables(job: Job, env: Sequence[str], unset: Sequence[str]) -> dict[str, str]:
    variables = dict(job.env or {})
    for name in unset:
        if name not in variables:
            raise Conflict(f"job {job.id} has no variable {name!r} of its own")
        del variables[name]
    for text in env:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {text!r}: write NAME=VALUE")
        variables[name] = value
    return variables


def _ids(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wrong = next((part for part in parts if not part.isdecimal()), None)
    if wrong is not None:
        raise UsageError(f"--depends-on: {wrong!r} is no job id; write ids, as in 41,42")
    return tuple(map(int, parts))
