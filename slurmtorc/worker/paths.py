"""Names of the files a worker writes; other tools find them by these names, which are torc's."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slurmtorc.model import StdioMode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

STDIO_FOLDER = "job_stdio"
ACTION_FOLDER = "actions"


class Stdio(NamedTuple):
    """Where one attempt's output goes; None is nowhere, equal paths are one file."""

    stdout: str | None
    stderr: str | None


def attempt_stem(workflow_id: int, job_id: int, run_id: int, attempt_id: int) -> str:
    """The name all files of one attempt begin with."""
    return f"job_{step_name(workflow_id, job_id, run_id, attempt_id)}"


def step_name(workflow_id: int, job_id: int, run_id: int, attempt_id: int) -> str:
    """What Slurm calls the step of one attempt; torc's name too."""
    return f"wf{workflow_id}_j{job_id}_r{run_id}_a{attempt_id}"


def stdio(output_dir: str, stem: str, mode: StdioMode) -> Stdio:
    """The files of one attempt."""
    base = f"{output_dir}/{STDIO_FOLDER}/{stem}"
    if mode is StdioMode.COMBINED:
        return Stdio(f"{base}.log", f"{base}.log")
    return Stdio(
        f"{base}.o" if mode in {StdioMode.SEPARATE, StdioMode.NO_STDERR} else None,
        f"{base}.e" if mode in {StdioMode.SEPARATE, StdioMode.NO_STDOUT} else None,
    )


def recovery_stdio(output_dir: str, stem: str) -> Stdio:
    """The files of the recovery script that was run after an attempt."""
    base = f"{output_dir}/{STDIO_FOLDER}/{stem}_recovery"
    return Stdio(f"{base}.o", f"{base}.e")


def action_log(output_dir: str, workflow_id: int, action_id: int, run_id: int, node_id: int) -> str:
    """Where the output of an action goes that a worker is about to execute; a new file."""
    name = f"action_wf{workflow_id}_a{action_id}_r{run_id}_n{node_id}"
    folder = Path(output_dir, ACTION_FOLDER)
    numbered = (f"{name}_{number}" if number > 1 else name for number in count(1))
    paths = (folder / f"{each}.log" for each in numbered)
    return str(next(path for path in paths if not path.exists()))


def stdio_mode(job: Mapping[str, Any] | None, workflow: Mapping[str, Any] | None) -> StdioMode:
    """A job's own choice, else the workflow's, else two files."""
    for config in (job, (workflow or {}).get("stdio")):
        if config and config.get("mode"):
            return StdioMode(config["mode"])
    return StdioMode.SEPARATE


def deletes_on_success(job: Mapping[str, Any] | None, workflow: Mapping[str, Any] | None) -> bool:
    """Whether the files of a successful attempt are removed."""
    for config in (job, (workflow or {}).get("stdio")):
        if config and config.get("delete_on_success") is not None:
            return bool(config["delete_on_success"])
    return False


def local_log(output_dir: str, host: str, workflow_id: int, run_id: int) -> Path:
    """The log of a worker of `torc run`."""
    return Path(output_dir, f"job_runner_{host}_wf{workflow_id}_r{run_id}.log")


def slurm_log(output_dir: str, workflow_id: int, slurm_job: int, node: int, pid: int) -> Path:
    """The log of a worker in an allocation."""
    name = f"job_runner_slurm_wf{workflow_id}_sl{slurm_job}_n{node}_pid{pid}.log"
    return Path(output_dir, name)
