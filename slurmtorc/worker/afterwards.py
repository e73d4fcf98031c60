"""What is left to do for an attempt whose worker died, by somebody in its place.

The files it wrote, and the recovery script that its worker would have run: with the names, the
place and the environment that it would have had there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slurmtorc.model import DEFAULT_REQUIREMENT, Claim, ResourceRequirements
from slurmtorc.ports import Order
from slurmtorc.worker import paths
from slurmtorc.worker.attempts import attempt_of, environment, tail_of
from slurmtorc.worker.employ import surroundings
from slurmtorc.worker.rooms import Place

if TYPE_CHECKING:
    from slurmtorc.model import ComputeNode, Job, Workflow
    from slurmtorc.rules.endings import Verdict


class Left(NamedTuple):
    """The files of an attempt, as far as they can be seen from here."""

    stdout_path: str | None
    stderr_path: str | None
    stderr_tail: str | None


def left_by(workflow: Workflow, node: ComputeNode, job: Job) -> Left:
    """What the attempt that a job is at has written on its worker's node."""
    mode = paths.stdio_mode(job.stdio, workflow.execution_config)
    files = paths.stdio(node.output_dir, _stem(workflow, job), mode)
    return Left(files.stdout, files.stderr, tail_of(files.stderr))


def script_order(
    workflow: Workflow, node: ComputeNode, job: Job, *, script: str, verdict: Verdict, url: str
) -> Order:
    """The process of a job's recovery script."""
    around = surroundings(workflow, node.output_dir, url)
    found = environment(attempt_of(_claim(job), around, Place()), around, hide_gpus=False)
    stdio = paths.recovery_stdio(node.output_dir, _stem(workflow, job))
    return Order(
        key=job.id,
        command=script,
        env={
            **found,
            "TORC_RETURN_CODE": str(verdict.return_code),
            "TORC_ENDING": verdict.ending.value,
        },
        directory=around.directory,
        stdout=stdio.stdout,
        stderr=stdio.stderr,
    )


def _stem(workflow: Workflow, job: Job) -> str:
    return paths.attempt_stem(workflow.id, job.id, workflow.run_id, job.attempt_id)


def _claim(job: Job) -> Claim:
    """The job as its worker had claimed it; a script has no requirement."""
    return Claim(
        job_id=job.id,
        name=job.name,
        command=job.command,
        invocation_script=job.invocation_script,
        attempt_id=job.attempt_id,
        spared_attempts=job.spared_attempts,
        env=job.env,
        stdio=job.stdio,
        failure_handler_id=job.failure_handler_id,
        requirement=ResourceRequirements(name=DEFAULT_REQUIREMENT),
    )
