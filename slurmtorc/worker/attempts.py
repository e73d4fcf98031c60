"""One attempt of a job: from a claim to the order for its process, from its exit to a report."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from signal import Signals
from typing import TYPE_CHECKING

from slurmtorc.model import DEFAULT_REQUIREMENT, JobStatus, Report
from slurmtorc.ports import Order
from slurmtorc.rules.endings import LAUNCH_FAILED, Stopped, judge
from slurmtorc.worker import paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import Claim, ExecutionConfig, Workflow
    from slurmtorc.ports import Exit
    from slurmtorc.rules.endings import Verdict
    from slurmtorc.worker.rooms import Place

TAIL_BYTES = 4096
"""How much of a failed attempt's stderr is kept with its result."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is the same for all attempts of one worker."""

    workflow: Workflow
    directory: str
    """Where jobs run: absolute."""
    output_dir: str
    """Where their output goes: absolute."""
    url: str
    config: ExecutionConfig

    @cached_property
    def env(self) -> Mapping[str, str]:
        """What every job finds in its environment."""
        return {
            "TORC_WORKFLOW_ID": str(self.workflow.id),
            "TORC_RUN_ID": str(self.workflow.run_id),
            "TORC_OUTPUT_DIR": self.output_dir,
            "TORC_WORKFLOW_SUBMISSION_DIR": self.directory,
            "TORC_API_URL": self.url,
            "TORC_STORE_URL": self.url,
        }


@dataclass(slots=True)
class Attempt:
    """A claimed job on this worker."""

    claim: Claim
    stdio: paths.Stdio
    place: Place


def attempt_of(claim: Claim, around: Surroundings, place: Place) -> Attempt:
    """An attempt with its files and devices chosen."""
    workflow = around.workflow
    stem = paths.attempt_stem(workflow.id, claim.job_id, workflow.run_id, claim.attempt_id)
    mode = paths.stdio_mode(claim.stdio, workflow.execution_config)
    return Attempt(claim, paths.stdio(around.output_dir, stem, mode), place)


def order_for(attempt: Attempt, around: Surroundings, *, hide_gpus: bool) -> Order:
    """The process of an attempt."""
    claim = attempt.claim
    need = claim.requirement
    named = need.name != DEFAULT_REQUIREMENT
    limited = around.config.limit_resources and named
    script = claim.invocation_script
    workflow = around.workflow
    step = paths.step_name(workflow.id, claim.job_id, workflow.run_id, claim.attempt_id)
    return Order(
        key=claim.job_id,
        command=f"{script} {claim.command}" if script else claim.command,
        env=environment(attempt, around, hide_gpus=hide_gpus),
        directory=around.directory,
        stdout=attempt.stdio.stdout,
        stderr=attempt.stdio.stderr,
        memory_limit=need.memory_bytes if limited else None,
        stop_signal=signal_named(around.config.termination_signal),
        step=step,
        need=need if named else None,
        nodes=attempt.place.nodes,
    )


def signal_named(name: str) -> int:
    """SIGTERM and TERM are the same."""
    return Signals[f"SIG{name.removeprefix('SIG')}"]


def environment(attempt: Attempt, around: Surroundings, *, hide_gpus: bool) -> dict[str, str]:
    """What a job finds in its environment beside what the worker has."""
    claim = attempt.claim
    env = {
        **around.env,
        "TORC_JOB_ID": str(claim.job_id),
        "TORC_JOB_NAME": claim.name,
        "TORC_ATTEMPT_ID": str(claim.attempt_id),
    }
    gpus = attempt.place.gpus
    if gpus or hide_gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        env["ROCR_VISIBLE_DEVICES"] = ",".join(gpus)
    return env | dict(around.workflow.env or {}) | dict(claim.env or {})


def report_of(
    attempt: Attempt, exit_: Exit, around: Surroundings, stopped: Stopped | None
) -> Report:
    """What an ended process means for its job."""
    files, absent = _outputs(attempt.claim.outputs, around.directory)
    missing = absent if exit_.code == 0 else ()  # what a failed job left is noted all the same
    verdict = _verdict(exit_, stopped, missing, around.config)
    success = verdict.status is JobStatus.COMPLETED
    stdio = _tidied(attempt, around) if success else attempt.stdio
    tail = None if success else _words(exit_, missing, stdio)
    back = stopped is Stopped.INTERRUPTED and not success
    return Report(
        job_id=attempt.claim.job_id,
        run_id=around.workflow.run_id,
        attempt_id=attempt.claim.attempt_id,
        return_code=verdict.return_code,
        status=verdict.status,
        ending=verdict.ending,
        start_time=exit_.start_time,
        completion_time=exit_.end_time,
        peak_memory_bytes=exit_.peak_memory_bytes,
        avg_memory_bytes=exit_.avg_memory_bytes,
        peak_cpu_percent=exit_.peak_cpu_percent,
        avg_cpu_percent=exit_.avg_cpu_percent,
        stdout_path=stdio.stdout,
        stderr_path=stdio.stderr,
        stderr_tail=tail,
        files=files,
        again=back,
        spared=back,  # the job has not failed
    )


def _verdict(
    exit_: Exit, stopped: Stopped | None, missing: Sequence[str], config: ExecutionConfig
) -> Verdict:
    if exit_.launch_error is not None:
        return LAUNCH_FAILED
    why = Stopped.MEMORY if exit_.over_memory else stopped
    return judge(
        exit_.code,
        exit_.signal,
        stopped=why,
        slurm=exit_.slurm_state,
        missing_output=bool(missing),
        config=config,
    )


def _outputs(
    declared: Sequence[tuple[int, str]], directory: str
) -> tuple[tuple[tuple[int, float], ...], tuple[str, ...]]:
    """(file id, modification time) of the outputs that exist; paths of those that do not."""
    found, missing = [], []
    for file_id, path in declared:
        try:
            found.append((file_id, os.stat(os.path.join(directory, path)).st_mtime))  # noqa: PTH116, PTH118
        except OSError:
            missing.append(path)
    return tuple(found), tuple(missing)


def _tidied(attempt: Attempt, around: Surroundings) -> paths.Stdio:
    """The files that are left of a successful attempt."""
    if not paths.deletes_on_success(attempt.claim.stdio, around.workflow.execution_config):
        return attempt.stdio
    for path in {*attempt.stdio} - {None}:
        with contextlib.suppress(OSError):
            os.unlink(str(path))  # noqa: PTH108
    return paths.Stdio(None, None)


def _words(exit_: Exit, missing: Sequence[str], stdio: paths.Stdio) -> str | None:
    """What there is to say about a failure: ours first, then the job's last words."""
    ours = []
    if exit_.launch_error is not None:
        ours.append(f"torc: could not be started: {exit_.launch_error}")
    if missing:
        ours.append(f"torc: exit 0, but declared output is missing: {', '.join(missing)}")
    if exit_.over_memory:
        ours.append("torc: ended for using more memory than its requirement allows")
    return "\n".join([*ours, *filter(None, [tail_of(stdio.stderr)])]) or None


def tail_of(path: str | None) -> str | None:
    """The end of a file as text, from the beginning of a line; None if there is none."""
    data = last_bytes(path)
    if data is None:
        return None
    cut = len(data) > TAIL_BYTES
    text = data[-TAIL_BYTES:].decode(errors="replace").replace("\x00", "")  # Postgres takes no NUL
    if cut:
        text = text.partition("\n")[2] or text
    return text.rstrip() or None


def last_bytes(path: str | None) -> bytes | None:
    """The end of a file: one byte more than is shown of it, if it is longer than that."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123  once for each failed job, and each step
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES - 1))
            return file.read()
    except OSError:
        return None
