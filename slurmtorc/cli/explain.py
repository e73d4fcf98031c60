"""`torc explain`: why a job is not running or ended as it did; what a workflow still needs.

It changes nothing. Facts are gathered in facts.py, reasons are found in rules/explaining.py and
rules/finishing.py; here they are printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from slurmtorc.cli.context import ID, State, TorcCommand, pass_state
from slurmtorc.cli.render import emit_json
from slurmtorc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slurmtorc.cli.scene import Hands
    from slurmtorc.model import Job
    from slurmtorc.rules.explaining import Facts
    from slurmtorc.rules.reasons import Reason, Section

TAIL_LINES = 10


@click.command("explain", cls=TorcCommand)
@click.argument("workflow_id", type=ID, required=False)
@click.argument("job", metavar="[JOB]", required=False)
@click.option("-j", "--job-id", type=ID, help="A job by its id, where its name is not at hand.")
@pass_state
def explain(state: State, workflow_id: int | None, job: str | None, job_id: int | None) -> None:
    """Why a job is not running, or what a workflow still needs.

    With a workflow alone: what runs and where, what waits for what, what nobody will ever run
    and how to mend that, its allocations with Slurm's reasons, and what the watch decided.

    With a job (its name, or its id): each thing that holds it back, with its numbers; or, if it
    has ended, what its return code means, its attempts, and what to do next.

    Example: torc explain 7 simulate_03
    """
    from slurmtorc.cli.facts import find_job
    from slurmtorc.model import Job

    if (workflow_id is None and job_id is None) or (job is not None and job_id is not None):
        raise UsageError("say which: 'torc explain WORKFLOW_ID', 'torc explain WORKFLOW_ID JOB', "
                         "or 'torc explain --job-id ID'")  # fmt: skip
    hands = _hands(state)
    if job_id is not None:
        _one_job(state, hands, _checked(state.store.get(Job, job_id), workflow_id))
    elif job is not None:
        assert workflow_id is not None, "a job's name stands behind its workflow"
        _one_job(state, hands, find_job(state.store, workflow_id, job))
    else:
        assert workflow_id is not None, "checked above"
        _whole(state, hands, workflow_id)


def _checked(job: Job, workflow_id: int | None) -> Job:
    if workflow_id not in {None, job.workflow_id}:
        raise UsageError(f"job {job.id} is one of workflow {job.workflow_id}, not {workflow_id}")
    return job


def _hands(state: State) -> Hands:
    from slurmtorc.cli.scene import Hands
    from slurmtorc.wiring import clock, slurm

    return Hands(state.store, lambda: slurm(state.settings), clock.now())


# ── a workflow ───────────────────────────────────────────────────────────────


def _whole(state: State, hands: Hands, workflow_id: int) -> None:
    from slurmtorc.cli.facts import of_workflow
    from slurmtorc.model import Workflow
    from slurmtorc.rules import finishing

    facts = of_workflow(hands, state.store.get(Workflow, workflow_id))
    headline, sections = finishing.headline(facts), finishing.explain(facts)
    if state.as_json:
        emit_json(
            {
                "workflow_id": workflow_id,
                "headline": headline,
                "is_complete": facts.progress.is_complete,
                "jobs_by_status": dict(facts.progress.counts),
                "sections": [_section(one) for one in sections],
            }
        )
        return
    click.echo(headline)
    for section in sections:
        click.echo(f"\n{section.title}")
        _say(section.reasons)


def _section(section: Section) -> dict[str, Any]:
    return {"title": section.title, "reasons": [_record(one) for one in section.reasons]}


# ── a job ────────────────────────────────────────────────────────────────────


class _Output(NamedTuple):
    """Where the last attempt wrote, and the end of what it wrote to stderr."""

    stdout: str | None = None
    stderr: str | None = None
    tail: str | None = None


def _one_job(state: State, hands: Hands, job: Job) -> None:
    from slurmtorc.cli.facts import of_job
    from slurmtorc.rules import explaining

    facts = of_job(hands, job)
    output = _output(facts)
    reasons = [*explaining.explain(facts), *_troubles(output)]
    headline = explaining.headline(facts)
    if state.as_json:
        emit_json(
            {
                "workflow_id": job.workflow_id,
                "job_id": job.id,
                "job_name": job.name,
                "status": job.status.word,
                "attempt_id": job.attempt_id,
                "headline": headline,
                "reasons": [_record(one) for one in reasons],
                "stdout_path": output.stdout,
                "stderr_path": output.stderr,
                "stderr_tail": output.tail,
            }
        )
        return
    click.echo(headline)
    _say(reasons)
    for line in _output_lines(output):
        click.echo(line)


def _output(facts: Facts) -> _Output:
    """Of the attempt that runs, else of the last that ended."""
    from slurmtorc.model import JobStatus
    from slurmtorc.worker.paths import attempt_stem, stdio, stdio_mode

    job, workflow, holder = facts.job, facts.workflow, facts.holder
    if job.status is JobStatus.RUNNING and holder is not None:
        stem = attempt_stem(workflow.id, job.id, workflow.run_id, job.attempt_id)
        mode = stdio_mode(job.stdio, workflow.execution_config)
        return _Output(*stdio(holder.node.output_dir, stem, mode))
    last = next((one for one in reversed(facts.attempts) if not one.superseded), None)
    if last is None:
        return _Output()
    return _Output(last.stdout_path, last.stderr_path, last.stderr_tail)


def _troubles(output: _Output) -> Iterator[Reason]:
    """What the end of stderr tells to those who know such lines."""
    from slurmtorc.rules.reasons import Reason
    from slurmtorc.slurm.logs import scan

    for finding in scan((output.tail or "").splitlines()):
        trouble = finding.trouble
        yield Reason(
            rule="stderr",
            text=f"stderr tells of {trouble.category}: {trouble.meaning} ({finding.text!r})",
            numbers={"category": trouble.category},
            remedy=trouble.remedy,
        )


def _output_lines(output: _Output) -> Iterator[str]:
    if output.stdout:
        yield f"  stdout: {output.stdout}"
    if output.stderr and output.stderr != output.stdout:
        yield f"  stderr: {output.stderr}"
    for line in (output.tail or "").splitlines()[-TAIL_LINES:]:
        yield f"  | {line}"


# ── both ─────────────────────────────────────────────────────────────────────


def _record(reason: Reason) -> dict[str, Any]:
    return {
        "rule": reason.rule,
        "text": reason.text,
        "numbers": dict(reason.numbers),
        "remedy": reason.remedy or None,
    }


def _say(reasons: Iterable[Reason]) -> None:
    for reason in reasons:
        click.echo(f"  * {reason.text}")
        if reason.remedy:
            click.echo(f"      try: {reason.remedy}")
