"""Known trouble in log files: what a line means, and what a person can do about it.

One table, in order of how much each entry explains: the first that fits a line is what is said
of it. Pure, so that the whole of it can be checked against recorded lines. What must never
happen here: a line of this program's own that tells of a success (INFO) being called trouble.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 500
"""Characters of a line that are looked at and shown."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble: how it is recognised, what it means, what helps."""

    category: str
    pattern: str
    meaning: str
    remedy: str
    warning: bool = False


MORE_MEMORY = "give the job's requirement more memory, or let 'torc watch ID --recover' do it"
MORE_TIME = "give the job's requirement more runtime, or let 'torc watch ID --recover' do it"
GO_ON = "'torc watch ID --auto-schedule' asks for nodes again and goes on"

TROUBLES: tuple[Trouble, ...] = (
    Trouble(
        "Missing Output Files", r"declared outputs? .*(missing|not there)|output file.* not found",
        "a job exited with 0 but did not write what it declares",
        "see where the job wrote, or correct its output_files",
    ),
    Trouble(
        "GPU", r"CUDA (error|out of memory)|CUDA_ERROR_\w+|cudaError\w*|NVML|\bXid\b"
        r"|no CUDA-capable device|HIP error|hipError\w+",
        "the GPU, its driver, or its memory refused",
        "check num_gpus of the requirement, the batch size, and the node's driver",
    ),
    Trouble(
        "OOM Killed",
        r"out of memory|oom[-_ ]?kill|cgroup.*(memory|oom)|memory cgroup|exceeded memory limit"
        r"|memory limit exceeded|cannot allocate memory|std::bad_alloc|\bMemoryError\b"
        r"|java\.lang\.OutOfMemoryError",
        "a process wanted more memory than it may have, and was ended or refused",
        MORE_MEMORY,
    ),
    Trouble(
        "Timeout", r"DUE TO TIME LIMIT|time limit (was )?reached|Exceeded (job|step) time limit",
        "the allocation or step ran to its time limit",
        f"{MORE_TIME}; ask for a longer walltime if jobs are stopped at the allocation's end",
    ),
    Trouble(
        "Preempted", r"DUE TO PREEMPTION|\bpreempted\b",
        "Slurm gave the nodes to somebody of higher priority",
        GO_ON, warning=True,
    ),
    Trouble(
        "Node Failure", r"NODE[_ ]FAIL|DUE TO NODE FAILURE|Node failure on|node .* not responding",
        "a node failed or lost contact",
        f"{GO_ON}; exclude the node (extra: --exclude=NODE) if it happens again",
    ),
    Trouble(
        "Canceled", r"\bCANCELLED AT\b|DUE to (SIGNAL|SCANCEL)|STEP .* ON .* CANCELLED",
        "somebody, or Slurm, canceled the allocation or a step",
        "ask who ran scancel; 'torc slurm sacct ID' shows the user id", warning=True,
    ),
    Trouble(
        "Segmentation Fault",
        r"segmentation fault|\bSIGSEGV\b|\bSIGBUS\b|bus error|core dumped|\bSIGILL\b"
        r"|illegal instruction",
        "a program crashed in its own code",
        "run it with the same input under a debugger; an illegal instruction means that it was "
        "built for another CPU",
    ),
    Trouble(
        "Disk Full", r"no space left on device|disk quota exceeded|quota exceeded|\bENOSPC\b",
        "a file system or your quota is full",
        "make room, or write elsewhere; then run the failed jobs again",
    ),
    Trouble(
        "Read-only File System", r"read-only file system|stale file handle|\bEROFS\b|\bESTALE\b",
        "a file system was away or not writable on that node",
        "try again on other nodes (extra: --exclude=NODE); tell the site",
    ),
    Trouble(
        "Permission Denied", r"permission denied|operation not permitted|\bEACCES\b",
        "a file may not be read, written or executed",
        "check owner and mode ('chmod +x' for scripts), and that nodes see the same file system",
    ),
    Trouble(
        "Python Exception",
        r"^(\w+\.)*(ModuleNotFoundError|ImportError)\b",
        "Python did not find a module",
        "activate the environment in the command or invocation_script",
    ),
    Trouble(
        "Python Exception", r"^(\w+\.)*\w+(Error|Exception|Interrupt)(: |$)",
        "a Python program ended by an exception",
        "read the lines before it in the file",
    ),
    Trouble(
        "Python Exception", r"^Traceback \(most recent call last\)",
        "a Python program met an exception",
        "read the lines that follow it in the file",
    ),
    Trouble(
        "Rust Panic", r"thread '.*' panicked at",
        "a Rust program ended by a panic", "read the lines that follow it in the file",
    ),
    Trouble(
        "File Not Found",
        r"no such file or directory|command not found|cannot open .*file|\bENOENT\b"
        r"|cannot open shared object file|exec format error",
        "a program, library or file is not there, or not for this machine",
        "check paths and modules: a compute node may see less than the login node",
    ),
    Trouble(
        "Connection Error",
        r"connection (refused|reset|timed out)|network is unreachable|no route to host"
        r"|could not resolve host|name or service not known|broken pipe|unable to contact slurm",
        "something could not be reached over the network",
        "check that compute nodes may reach it; a server may have been down for a while",
    ),
    Trouble(
        "Store", r"the store (does not answer|was lost)|database is locked|disk I/O error",
        "the store did not answer for a while; jobs went on meanwhile",
        "nothing, if it came back; else see where the store lies ('torc --url')", warning=True,
    ),
    Trouble(
        "Slurm Error", r"slurmstepd: error|srun: error|sbatch: error|slurmd\[.*\]: error"
        r"|\bsalloc: error|error: .*slurm",
        "a part of Slurm reports an error",
        "read the line; 'torc slurm sacct ID' shows how the allocation ended",
    ),
    Trouble(
        "Killed", r"\bkilled by signal\b|^.*: line \d+: +\d+ Killed|\bSIGKILL\b|^Killed$",
        "a process was killed, often for its memory",
        f"see 'torc workflows check-resources ID --include-failed'; {MORE_MEMORY}",
    ),
    Trouble(
        "Generic Error", r"^\W*(fatal|critical|error)\b|\b(ERROR|FATAL|CRITICAL)\b",
        "a line that calls itself an error",
        "read it in the file", warning=True,
    ),
)  # fmt: skip
"""What explains most comes first."""

_RANK = {trouble: place for place, trouble in enumerate(TROUBLES)}
_COMPILED = [
    (re.compile(trouble.pattern, re.IGNORECASE | re.ASCII), trouble) for trouble in TROUBLES
]
WORDS = (
    "error", "memory", "oom", "kill", "output", "bad_alloc", "cuda", "nvml", "xid", "hip",
    "time limit", "preempt", "node", "cancelled", "due to", "segmentation", "sigsegv", "sigbus",
    "core dumped", "sigill", "illegal", "no space", "quota", "enospc", "read-only", "stale file",
    "erofs", "estale", "denied", "not permitted", "eacces", "exception", "interrupt", "traceback",
    "panicked", "no such file", "not found", "cannot open", "enoent", "exec format", "connection",
    "unreachable", "no route", "resolve host", "not known", "broken pipe", "unable to contact",
    "the store", "locked", "fatal", "critical",
)  # fmt: skip
"""Every line of trouble holds one of these, whatever its case: searching for plain words is many
times faster than for patterns, and most lines of a log are fine."""
_FINE = re.compile(r"\b(INFO|DEBUG)\b")


@dataclass(frozen=True, slots=True)
class Finding:
    """One category of trouble in a text: the line that tells most, and how many there are."""

    trouble: Trouble
    line: int
    """From 1."""
    text: str
    count: int = 1


def recognise(line: str) -> Trouble | None:
    """What a line tells of; None for one that is no trouble, or says itself that it is fine."""
    shown = line[:LONGEST]
    lowered = shown.lower()
    if not any(word in lowered for word in WORDS) or _FINE.search(shown):
        return None
    return next((trouble for pattern, trouble in _COMPILED if pattern.search(shown)), None)


def scan(lines: Iterable[str]) -> list[Finding]:
    """One finding for each category of trouble, in the order of their first lines.

    Of several lines the one shown is the first of the kind that explains most: the exception
    that ended a traceback, not the traceback's first line.
    """
    found: dict[str, Finding] = {}
    for number, line in enumerate(lines, 1):
        trouble = recognise(line)
        if trouble is None:
            continue
        before = found.get(trouble.category)
        count = 1 if before is None else before.count + 1
        if before is None or _RANK[trouble] < _RANK[before.trouble]:
            found[trouble.category] = Finding(trouble, number, line.strip()[:LONGEST], count)
        else:
            found[trouble.category] = replace(before, count=count)
    return list(found.values())


# ── whose file it is ─────────────────────────────────────────────────────────

_SLURM_FILE = re.compile(r"slurm_output_wf(\d+)_sl(\d+)\.[oe]")
_WORKER_FILE = re.compile(r"job_runner_slurm_wf(\d+)_sl(\d+)_n\d+_pid\d+\.log")
_JOB_FILE = re.compile(r"job_wf(\d+)_j(\d+)_r(\d+)_a(\d+)\.(?:o|e|log)")
_OTHER_LOG = re.compile(r"(?:watch|job_runner|dmesg_slurm)_.*?wf(\d+)(?:_.*)?\.log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a file's name says of it."""

    workflow_id: int
    slurm_job_id: int | None = None
    job_id: int | None = None
    run_id: int | None = None
    attempt_id: int | None = None


def source(name: str) -> Source | None:
    """Whose log it is, by its name; None for a file that is no log of a workflow."""
    for pattern in (_SLURM_FILE, _WORKER_FILE):
        if match := pattern.fullmatch(name):
            return Source(workflow_id=int(match[1]), slurm_job_id=int(match[2]))
    if match := _JOB_FILE.fullmatch(name):
        workflow, job, run, attempt = map(int, match.groups())
        return Source(workflow_id=workflow, job_id=job, run_id=run, attempt_id=attempt)
    if match := _OTHER_LOG.fullmatch(name):
        return Source(workflow_id=int(match[1]))
    return None


def of_slurm(name: str) -> bool:
    """Whether Slurm wrote the file: what the batch script and srun said."""
    return _SLURM_FILE.fullmatch(name) is not None
